"""A base class for named tuples like `typing.NamedTuple`, but created in half the time.

`typing.NamedTuple` compiles the annotation of each field, although nothing evaluates them. A run creates about a hundred such
classes while it imports Treadle, and a worker that starts creates dozens. Type checkers see `typing.NamedTuple`. State: none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__all__ = ["NamedTuple"]

if TYPE_CHECKING:
    from typing import NamedTuple  # noqa: TID251 - what type checkers see
else:
    from collections import namedtuple

    class _NamedTupleType(type):
        """Turn the statement `class Name(NamedTuple)` into a call of `collections.namedtuple`."""

        def __new__(cls, name: str, bases: tuple[type, ...], namespace: dict[str, Any]) -> type:
            if not bases:  # NamedTuple itself
                return super().__new__(cls, name, bases, namespace)
            fields = namespace.get("__annotations__", {})  # strings
            defaults = {field: namespace.pop(field) for field in fields if field in namespace}
            made = namedtuple(name, fields, defaults=defaults.values(), module=namespace["__module__"])  # noqa: PYI024 - see above
            if made._field_defaults.keys() != defaults.keys():
                msg = f"In {name}, a field without a default follows one with a default."
                raise TypeError(msg)
            made.__new__.__annotations__ = fields  # shown in signatures
            for key, value in namespace.items():  # docstring, methods, annotations
                setattr(made, key, value)
            return made

    class NamedTuple(metaclass=_NamedTupleType):
        """Base class of named tuples; their modules postpone annotations (`from __future__ import annotations`)."""
