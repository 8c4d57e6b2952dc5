"""The present contents of the datasets of a run, each looked at once.

State: what was found. Neighbours: `treadle.io.contents` reads a dataset, `reusing.py` compares the contents with recorded ones.
"""

from __future__ import annotations

import stat
from pathlib import Path
from typing import TYPE_CHECKING

from treadle.errors import TreadleError
from treadle.io.contents import content_of, local_content_of
from treadle.pipeline.names import base_name

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from treadle.events import ContentRecord
    from treadle.io import Catalog
    from treadle.io.identity import FileIdentity
    from treadle.planning.reuse.facts import LastSuccess, Parts


class PresentContents:
    """The contents of the datasets of a run, and what earlier runs recorded about them.

    Args:
        catalog: the catalog of the run.
        last: the last success of each node, by name; a file that was not touched since is not read again.
    """

    def __init__(self, catalog: Catalog, last: Mapping[str, LastSuccess]) -> None:
        self._catalog = catalog
        self._known = {record.dataset: record for success in last.values() for record in (*success.inputs, *success.outputs)}
        self.missing: set[str] = set()
        """Inputs that no node makes and that do not exist."""
        self._plain_files: dict[str, str | None] = {}
        self._found: dict[str, ContentRecord] = {}
        self._by_base: dict[str, dict[str, ContentRecord]] = {}  # the same, by base name and name
        self._inputs: dict[str, dict[str, ContentRecord]] = {}  # by base name and name
        self._saved: dict[str, ContentRecord] = {}  # by base name: what a node of this run has saved
        self._before: dict[str, dict[str, FileIdentity | None]] = {}  # by base name and name: the file of an input before the run

    def is_in_memory(self, name: str) -> bool:
        """Return whether a dataset keeps its value in memory."""
        if self._plain_file(name) is not None:
            return False
        return name not in self._catalog or self._catalog.capabilities(name).in_memory

    def of_inputs(self, names: Iterable[str]) -> dict[str, str | None]:
        """Return the digests of inputs that no node makes, by base name; None for one that cannot be verified.

        The names of a transcoded dataset (`table@csv`, `table@text`) usually have the same file, but need not.
        """
        found: dict[str, list[str | None]] = {}
        for name in names:
            found.setdefault(base_name(name), []).append(self._of_input(name))
        return {base: _joined(digests) for base, digests in found.items()}

    def _of_input(self, name: str) -> str | None:
        if self.is_in_memory(name):
            return None
        found = self._find(name)
        if found is None:
            self.missing.add(name)
            return None
        self._inputs.setdefault(base_name(name), {})[name] = found
        return found.digest

    def newest(self, records: tuple[ContentRecord, ...]) -> tuple[ContentRecord, ...]:
        """Return the records of the same contents that were made last."""
        found = (self._found.get(record.dataset) for record in records)
        return tuple(
            new if new is not None and new.digest == old.digest else old for new, old in zip(found, records, strict=True)
        )

    def identify(self, names: Iterable[str]) -> None:
        """Identify the files of inputs, so that their contents can be read later if the files are still the same."""
        for name in names:
            identity = None if self.is_in_memory(name) else self._identity(name)
            self._before.setdefault(base_name(name), {})[name] = identity

    def of_input_before(self, base: str) -> str | None:
        """Return the digest that an input had when it was identified; None if it may have changed since."""
        before = self._before.get(base, {})
        if not before or None in before.values():
            return None
        digest = self.of_inputs(before)[base]
        is_same = all(identity is not None and identity.matches(self._identity(name)) for name, identity in before.items())
        return digest if is_same else None

    def _identity(self, name: str) -> FileIdentity | None:
        try:
            return self._catalog.file_identity(name)
        except (TreadleError, AttributeError):  # the run reports it; or it is the catalog of another framework
            return None

    def note_saved(self, records: Iterable[ContentRecord]) -> None:
        """Note what a node of this run has saved."""
        self._saved.update((base_name(record.dataset), record) for record in records)

    def was_replaced(self, base: str) -> bool:
        """Return whether a file has another content than a node of this run saved, or than it had when it was looked at.

        Then another process has replaced it, and a node that has loaded it may have loaded either content.
        """
        saved = self._saved.get(base)
        return any(map(self._is_replaced, self._by_base.get(base, {}).values() if saved is None else [saved]))

    def _is_replaced(self, record: ContentRecord) -> bool:
        if record.digest is None or record.location is None:
            return False
        path = Path(record.location)
        if not path.is_absolute():
            return False  # a URL
        try:
            status = path.stat()
        except OSError:
            return True
        facts = (status.st_size, status.st_mtime_ns, status.st_ino)
        if not stat.S_ISREG(status.st_mode) or facts == (record.size, record.mtime_ns, record.inode):
            return False
        found = local_content_of(record.dataset, record.location)
        return found is None or found.digest != record.digest

    def inputs_of(self, parts: Parts) -> tuple[ContentRecord, ...]:
        """Return the contents, as they were before the run, of the inputs of a node that no node makes."""
        found = (self._inputs.get(name.removeprefix("input "), {}) for name in parts if name.startswith("input "))
        return tuple(record for records in found for record in records.values())

    def of_outputs(self, names: Iterable[str]) -> dict[str, ContentRecord | None]:
        """Return the present content of each of these outputs that is persistent; None for one that does not exist."""
        return {name: self._find(name) for name in names if not self.is_in_memory(name)}

    def changed_outputs(self, names: Collection[str], success: LastSuccess, *, trusting: bool) -> list[str]:
        """Return one sentence for each output that is no longer what a node saved."""
        causes: list[str] = []
        for name in names:
            found = self._find(name)
            if found in success.outputs and found.digest is not None:  # as it is for most nodes of large projects
                continue
            record = next((each for each in success.outputs if each.dataset == name), None)
            if found is None:
                causes.append(f"output {name} is missing")
            elif record is None or record.digest is None or found.digest is None:
                causes += [] if trusting else [f"the content of output {name} cannot be verified"]
            elif record.digest != found.digest:
                causes.append(f"output {name} has changed since it was saved")
        return causes

    def _find(self, name: str) -> ContentRecord | None:
        known, path = self._known.get(name), self._plain_file(name)
        try:
            found = local_content_of(name, path, known) if path is not None else content_of(self._catalog[name], name, known)
        except TreadleError:  # it cannot be built; the run reports it
            return None
        if found is not None:
            self._found[name] = found
            self._by_base.setdefault(base_name(name), {})[name] = found
        return found

    def _plain_file(self, name: str) -> str | None:
        """Return the path of the file that is all that a dataset loads: one of thousands, whose datasets need not be built."""
        if name not in self._plain_files:
            recipe = self._catalog.recipe(name)
            self._plain_files[name] = recipe.plain_file() if recipe is not None else None
        return self._plain_files[name]


def _joined(digests: Collection[str | None]) -> str | None:
    """Return one digest for the files of a dataset, that of the file if they are equal; None if one is unknown."""
    known = [each for each in digests if each is not None]
    if len(known) < len(digests):
        return None
    return known[0] if len({*known}) == 1 else " ".join(known)
