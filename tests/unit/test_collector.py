import gc
import multiprocessing
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from treadle import collector
from treadle.collector import collection_paused, freeze_imports, has_frozen_imports, plan_excluded_from_gc


def test_pausing_puts_back_what_it_found():
    """The collector is off within the block and on after it, also after an error; where it was off, it stays off."""

    def fail():
        with collection_paused():
            assert not gc.isenabled()
            raise ValueError("no room")

    with pytest.raises(ValueError, match="no room"):
        fail()
    assert gc.isenabled()
    gc.disable()
    try:
        with collection_paused():
            assert not gc.isenabled()
        assert not gc.isenabled()
    finally:
        gc.enable()


@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")  # that is what is tested
def test_a_process_that_another_thread_forks_meanwhile_has_it():
    """Nothing would end the pause in a worker; if the application has disabled the collector, it stays so there, too."""
    pool = ThreadPoolExecutor(1)
    with collection_paused():
        assert pool.submit(_is_enabled_in_child).result()
    gc.disable()
    try:
        with collection_paused():
            assert not pool.submit(_is_enabled_in_child).result()
    finally:
        gc.enable()
    assert pool.submit(_is_enabled_in_child).result()
    pool.shutdown()


def _is_enabled_in_child():
    with multiprocessing.get_context("fork").Pool(1) as children:
        return children.apply(gc.isenabled)


def test_imports_pause_it_unless_a_command_has_frozen_its_own(monkeypatch):
    """The end of the pause would unfreeze what the command has frozen."""
    monkeypatch.setattr(collector, "_has_frozen_imports", False)
    gc.collect()
    with collection_paused(imports=True):
        assert not gc.isenabled()
        imported = [[] for _ in range(gc.get_threshold()[0] + 100)]
    assert gc.isenabled()
    young = {id(each) for each in gc.get_objects(generation=0)}
    assert young.isdisjoint(map(id, imported))  # they count as old, and have not been traversed for it
    assert gc.get_freeze_count() == 0
    try:
        freeze_imports()
        with collection_paused(imports=True):
            assert gc.isenabled()
            imported += [[] for _ in range(gc.get_threshold()[0] + 100)]
        assert gc.get_freeze_count() > 1_000
    finally:
        gc.unfreeze()


def test_a_long_run_leaves_out_what_was_there():
    """What was there before is frozen for the length of the block, and for that alone."""
    with plan_excluded_from_gc(nodes=100_000):
        assert gc.get_freeze_count() > 1_000
        with plan_excluded_from_gc(nodes=100_000):  # another run, at the same time
            pass
        assert gc.get_freeze_count() > 1_000
    assert gc.get_freeze_count() == 0


def test_a_short_run_changes_nothing():
    """With few nodes the collector works as ever."""
    before = gc.get_freeze_count()
    with plan_excluded_from_gc(nodes=10):
        assert gc.get_freeze_count() == before


def test_what_the_application_froze_stays_frozen():
    """An application that froze its own objects keeps them so."""
    gc.freeze()
    try:
        with plan_excluded_from_gc(nodes=100_000):
            pass
        assert gc.get_freeze_count() > 0
    finally:
        gc.unfreeze()


def test_frozen_imports_do_not_count_as_frozen_by_the_application(monkeypatch):
    """A command freezes what it has imported, and more later; a long run leaves out its plan all the same."""
    monkeypatch.setattr(collector, "_has_frozen_imports", False)
    assert not has_frozen_imports()
    try:
        freeze_imports()
        imports = gc.get_freeze_count()
        assert has_frozen_imports()
        more = [[] for _ in range(5_000)]
        with plan_excluded_from_gc(nodes=100_000):
            assert gc.get_freeze_count() >= imports + len(more)
        assert gc.get_freeze_count() == 0
        freeze_imports()
        assert gc.get_freeze_count() > imports
    finally:
        gc.unfreeze()


def test_modules_are_imported_before_imports_are_frozen(monkeypatch, tmp_path):
    """Modules that are named are frozen too, and the collector does not run while they are imported."""
    monkeypatch.setattr(collector, "_has_frozen_imports", False)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "frozen_threads.py").write_text("import gc\nENABLED = gc.isenabled()\nTHREADS = [[] for _ in range(20_000)]\n")
    try:
        freeze_imports("frozen_threads")
        import frozen_threads

        assert not frozen_threads.ENABLED
        assert gc.isenabled()
        assert not any(each is frozen_threads.THREADS for each in gc.get_objects())
    finally:
        gc.unfreeze()
        sys.modules.pop("frozen_threads", None)


def test_imports_are_not_frozen_if_the_application_froze_before(monkeypatch):
    """What the application froze stays its own, so that nothing here puts it back."""
    monkeypatch.setattr(collector, "_has_frozen_imports", False)
    gc.freeze()
    try:
        freeze_imports()
        assert not has_frozen_imports()
    finally:
        gc.unfreeze()
