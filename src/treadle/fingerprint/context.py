"""What functions and classes need to describe themselves: the project's modules, values, and the way to refer to other objects.

State: none of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from treadle.fingerprint.binding import Binding
from treadle.named_tuple import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from treadle.fingerprint.facts import Facts
    from treadle.fingerprint.modules import Modules
    from treadle.fingerprint.sources import Sources
    from treadle.fingerprint.values import Values


class Context(NamedTuple):
    """What describing an object needs.

    Attributes:
        sources: the parsed files.
        modules: the project's modules.
        values: identifies values.
        mark: notes an object that has facts of its own and returns its label; None for any other object.
        mark_global: notes a global variable, by its module and name, with its value.
        is_edited: returns whether the file at a path was changed after it was imported.
    """

    sources: Sources
    modules: Modules
    values: Values
    mark: Callable[[Any, Facts], str | None]
    mark_global: Callable[[str, str, Any, Facts], None]
    is_edited: Callable[[str], bool]

    def binding(self, owner: str, module: str, namespace: Mapping[str, Any]) -> Binding:
        """Return what follows the names of a function or class.

        Args:
            owner: the function or class, for sentences.
            module: the module that it was defined in.
            namespace: the global variables of the module.
        """
        return Binding(owner, module, namespace, self.modules, self.mark, self.mark_global)

    def part(self, label: str, name: str, value: Any, facts: Facts) -> str:
        """Add a value as a part.

        Args:
            label: of the part.
            name: of the variable, which may say that the value is secret.
            value: the value.
            facts: receives the part.

        Returns:
            The value's token.
        """
        token = self.values.describe(value, name, facts, label)
        facts.add(label, token)
        return token
