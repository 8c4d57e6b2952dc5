from __future__ import annotations

import pickle

import pytest

from treadle.errors import DatasetError
from treadle.io.dataset import Capabilities, capabilities_of
from treadle.io.memory import CopyMode, MemoryDataset


def test_loads_what_was_saved():
    """What was saved is loaded, and counts as existing."""
    dataset = MemoryDataset()
    assert not dataset.exists()
    dataset.save({"a": 1})
    assert dataset.exists()
    assert dataset.load() == {"a": 1}


def test_changes_to_what_was_saved_and_loaded_stay_outside():
    """Neither the saved object nor the loaded one is the stored one."""
    value = [1]
    dataset = MemoryDataset(value)
    value.append(2)
    dataset.load().append(3)
    assert dataset.load() == [1]


def test_assign_keeps_the_object():
    """With copy mode assign, the very object is stored and loaded."""
    value = [1]
    assert MemoryDataset(value, copy_mode="assign").load() is value


def test_copy_mode_is_kept_as_a_choice():
    """The copy mode is an enum, None where it is inferred; a wrong one is an error."""
    assert MemoryDataset(copy_mode="copy").copy_mode is CopyMode.COPY
    assert MemoryDataset().copy_mode is None
    with pytest.raises(DatasetError):
        MemoryDataset(copy_mode="wrong")


def test_loading_nothing_is_an_error():
    """An empty dataset cannot be loaded, and says why."""
    with pytest.raises(DatasetError, match="memory dataset has no value"):
        MemoryDataset().load()


def test_none_is_data_but_cannot_be_saved():
    """A dataset may begin with None (a parameter may be null), but nobody can save None."""
    assert MemoryDataset(None).has_data
    assert MemoryDataset(None).load() is None
    with pytest.raises(DatasetError, match="None cannot be saved"):
        MemoryDataset().save(None)


def test_release_forgets():
    """A released dataset is empty."""
    dataset = MemoryDataset(1)
    dataset.release()
    assert not dataset.has_data


def test_lives_in_memory():
    """It declares that the engine has to carry its value."""
    assert capabilities_of(MemoryDataset()) == Capabilities(in_memory=True)


@pytest.mark.parametrize(
    "dataset", [MemoryDataset(), MemoryDataset(None), MemoryDataset([1], "assign", {"owner": "x"})], ids=repr
)
def test_pickles(dataset):
    """It survives pickle, emptiness included."""
    copied = pickle.loads(pickle.dumps(dataset))
    assert copied.has_data == dataset.has_data
    assert copied.copy_mode == dataset.copy_mode
    assert copied.metadata == dataset.metadata
    assert not dataset.has_data or copied.load() == dataset.load()


def test_describes_type_not_value():
    """It says the type of its value, not the value."""
    assert MemoryDataset("secret", "copy").describe() == {"data": "<str>", "copy_mode": "copy"}
    assert repr(MemoryDataset("secret")) == "MemoryDataset(data=<str>)"
