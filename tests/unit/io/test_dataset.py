from __future__ import annotations

import pytest

from treadle.io.dataset import Capabilities, Dataset, capabilities_of, describe_dataset, is_dataset


class Small(Dataset):
    main_process_only = True

    def load(self):
        return 1

    def save(self, data):
        self.data = data


class KedroLike:
    _SINGLE_PROCESS = True
    _EPHEMERAL = True

    def load(self):
        return 1

    def save(self, data):
        self.data = data

    def exists(self):
        return True

    def release(self):
        self.data = None

    def _describe(self):
        return {"table": "t"}


class Picture:
    """Like an image, which loads and saves itself and is still a value."""

    def load(self):
        return None

    def save(self, path):
        self.path = path


def test_defaults():
    """A dataset that only loads and saves has all the other methods."""
    small = Small()
    small.release()
    small.confirm()
    assert not small.exists()
    assert small.describe() == {}


def test_load_and_save_are_required():
    """A class without load or save cannot be instantiated."""

    class Half(Dataset):
        def load(self):
            return 1

    with pytest.raises(TypeError, match="save"):
        Half()


@pytest.mark.parametrize("kind", [Small, Small()])
def test_capabilities_are_declared(kind):
    """A class and its instance declare the same."""
    assert capabilities_of(kind) == Capabilities(in_memory=False, main_process_only=True)


def test_capabilities_in_kedros_words():
    """Kedro's declarations are understood."""
    assert capabilities_of(KedroLike()) == Capabilities(in_memory=True, main_process_only=True)


def test_capabilities_of_anything_else():
    """What declares nothing has none, and neither has what declares it by a property of the class."""

    class Silent:
        in_memory = property(lambda _: True)

    assert capabilities_of(Silent) == Capabilities()
    assert capabilities_of(Silent()) == Capabilities(in_memory=True)


def test_is_dataset():
    """Datasets of ours and of kedro count; classes, plain values and images do not."""
    assert is_dataset(Small())
    assert is_dataset(KedroLike())
    assert not is_dataset(Small)
    assert not is_dataset([1])
    assert not is_dataset(Picture())


def test_describe_either_way():
    """Facts are read from `describe` or kedro's `_describe`."""
    assert describe_dataset(Small()) == {}
    assert describe_dataset(KedroLike()) == {"table": "t"}
