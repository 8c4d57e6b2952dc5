"""The fingerprint of a node's function: everything that is reachable from it.

State: a `Fingerprinter` caches what it found out, so that 10,000 nodes over a few hundred functions take well under a second.
Values are read once: make a new one for each plan.
"""

from __future__ import annotations

import os
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from treadle.fingerprint.facts import Facts, Key, Part, digest_of, shown_value
from treadle.fingerprint.objects import Objects
from treadle.named_tuple import NamedTuple
from treadle.project.current import configured_project, is_configured

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from collections.abc import Set as AbstractSet

    from treadle.project.code import CodeStamp


class CodeFingerprint(NamedTuple):
    """What a node's function depends on.

    Attributes:
        digest: of everything; equal digests mean that the function computes the same from the same inputs.
        parts: what it consists of, for people: `{"function demo.nodes.clean": "<hash>", "global demo.nodes.LIMIT": "3",
            "distribution pandas": "3.1.1"}`. Values are short texts or hashes; secrets are never readable. The part `callable`
            is the function itself. Parts differ where digests do.
        unknown: what could not be followed, a sentence each.
        is_complete: False if the function depends on something that cannot be compared, so that the node always has to run.
    """

    digest: str
    parts: Mapping[str, str]
    unknown: tuple[str, ...]
    is_complete: bool


@lru_cache(maxsize=4)  # a service makes a fingerprinter for each run
def _real_stamp(stamp: CodeStamp) -> Mapping[str, tuple[int, int]]:
    """Return when the code's files were changed and their sizes, by the real paths of the files."""
    return {os.path.realpath(path): (mtime, size) for path, mtime, size in stamp}


class _Reached(NamedTuple):
    """What is reachable from a set of objects."""

    digest: str
    parts: dict[str, frozenset[Part]]
    shown: dict[str, str]
    classes: frozenset[Key]
    unknown: frozenset[str]
    is_complete: bool


class Fingerprinter:
    """Computes the fingerprints of functions of one project.

    Example: `Fingerprinter("demo").of(demo.nodes.clean).digest`.

    Args:
        package: the project's package: its functions and classes are followed. Code outside it counts by the version of its
            distribution.
        imported: the state of the package's files when they were imported (`treadle.project.code.code_stamp`), to detect
            classes that were edited since; by default that of the configured project. Functions are always compared with what was
            imported.
    """

    def __init__(self, package: str, imported: CodeStamp | None = None) -> None:
        if imported is None and is_configured() and configured_project().package_name == package:
            imported = configured_project().stamp
        self._stamp = _real_stamp(imported) if imported else {}
        self._edited: dict[str, bool] = {}
        self._objects = Objects(package, self._is_edited)
        self._known: dict[int, tuple[Any, CodeFingerprint]] = {}
        self._reached: dict[frozenset[Key], _Reached] = {}

    def of(self, function: Callable[..., Any]) -> CodeFingerprint:
        """Return the fingerprint of a function.

        Args:
            function: any callable: a function, a lambda, a closure, a partial, a bound method, a class, an object with
                `__call__`.

        Returns:
            Its fingerprint.
        """
        known = self._known.get(id(function))
        if known is None:
            known = self._known[id(function)] = function, self._find_out(function)
        return known[1]

    def classes_of(self, function: Callable[..., Any]) -> str | None:
        """Return a digest of the project's classes that a function refers to, with everything that these refer to.

        What the function returns may be an instance of one of them. Its methods run in the nodes that load it, and their
        functions need not refer to the class: `def predict(model): return model.predict(1)`. So such a node depends on this
        digest of the node that made the value, also if the pickled value is the same as before.

        Args:
            function: any callable.

        Returns:
            The digest; None if the function refers to no class of the project.
        """
        own = Facts()
        self._objects.describe(function, own)
        classes = self._reach(frozenset(own.edges)).classes
        return self._reach(classes).digest if classes else None

    def _find_out(self, function: Callable[..., Any]) -> CodeFingerprint:
        own = Facts()
        try:
            self._objects.describe(function, own)
        except Exception as exc:  # noqa: BLE001 - code of the project may raise anything when it is looked at
            own.cannot_examine("function", exc)
        reached = self._reach(frozenset(own.edges))
        parts = reached.shown
        if own.parts:
            parts = {
                **parts,
                **{label: _shown(each | reached.parts.get(label, frozenset())) for label, each in own.parts.items()},
            }
        return CodeFingerprint(
            digest=digest_of(f"{_text(own.parts)}\n{reached.digest}"),
            parts=parts,
            unknown=tuple(sorted(reached.unknown | own.unknown)),
            is_complete=reached.is_complete and own.is_complete,
        )

    def _reach(self, edges: frozenset[Key]) -> _Reached:
        known = self._reached.get(edges)
        if known is None:
            known = self._reached[edges] = self._walk(edges)
        return known

    def _walk(self, edges: frozenset[Key]) -> _Reached:
        seen: set[Key] = set(edges)
        pending = list(edges)
        parts: dict[str, frozenset[Part]] = {}
        unknown: set[str] = set()
        is_complete = True
        while pending:
            facts = self._objects.facts(pending.pop())
            for label, each in facts.parts.items():
                parts[label] = parts.get(label, frozenset()) | each
            unknown |= facts.unknown
            is_complete = is_complete and facts.is_complete
            new = facts.edges - seen
            seen |= new
            pending += new
        shown = {label: _shown(parts[label]) for label in sorted(parts)}
        classes = frozenset(key for key in seen if key[0] == "class")
        return _Reached(digest_of(_text(parts)), parts, shown, classes, frozenset(unknown), is_complete)

    def _is_edited(self, path: str) -> bool:
        path = os.path.realpath(path)
        known = self._stamp.get(path)
        if known is None:
            return False
        if path not in self._edited:
            try:
                status = os.stat(path)  # noqa: PTH116 - paths of code are strings
                self._edited[path] = (status.st_mtime_ns, status.st_size) != known
            except OSError:
                self._edited[path] = True
        return self._edited[path]


def _text(parts: Mapping[str, AbstractSet[Part]]) -> str:
    """Return a text that identifies parts exactly."""
    return "\n".join(f"{label}: {', '.join(sorted(part.token for part in parts[label]))}" for label in sorted(parts))


def _shown(parts: AbstractSet[Part]) -> str:
    shown = sorted(part.shown for part in parts)
    return shown[0] if len(shown) == 1 else shown_value(", ".join(shown))
