"""A base class for named tuples like `typing.NamedTuple`, but created in a seventh of the time.

A run creates about a hundred such classes while it imports Treadle, and a worker that starts creates dozens. For each of them
`typing.NamedTuple` compiles the annotations, which nothing evaluates, and `collections.namedtuple` compiles a constructor. Here
all classes with the same number of fields share the code of one constructor; only the names of its parameters differ.

Type checkers see `typing.NamedTuple`, and a test compares the two. State: a cache of the constructors' code.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__all__ = ["NamedTuple", "new_record"]

new_record = tuple.__new__
"""`new_record(kind, fields)` makes a named tuple from all of its fields, unchecked, in half the time of its constructor."""

if TYPE_CHECKING:
    from typing import NamedTuple  # noqa: TID251 - what type checkers see
else:
    from collections import _tuplegetter  # reads a field; a property would take twice as long
    from collections.abc import Iterable
    from functools import cache
    from types import CodeType, FunctionType

    class _NamedTuple(tuple):
        """The methods that all named tuples share, as in `collections.namedtuple`."""

        __slots__ = ()

        @classmethod
        def _make(cls, values: Any) -> Any:
            made = tuple.__new__(cls, values)
            if len(made) != len(cls._fields):
                msg = f"Expected {len(cls._fields)} arguments, got {len(made)}"
                raise TypeError(msg)
            return made

        def _replace(self, /, **changes: Any) -> Any:
            made = self._make(map(changes.pop, self._fields, self))
            if changes:
                msg = f"Got unexpected field names: {list(changes)!r}"
                raise TypeError(msg)
            return made

        __replace__ = _replace

        def _asdict(self) -> dict[str, Any]:
            return dict(zip(self._fields, self, strict=True))

        def __repr__(self) -> str:
            fields = ", ".join([f"{name}={value!r}" for name, value in zip(self._fields, self, strict=True)])
            return f"{type(self).__name__}({fields})"

        def __rich_repr__(self) -> Iterable[tuple[str, Any]]:
            """Return the fields for rich, which knows no named tuples but those of the standard library."""
            return zip(self._fields, self, strict=True)

        def __getnewargs__(self) -> tuple[Any, ...]:
            return tuple(self)

    class _NamedTupleType(type):
        """Makes a class of the statement `class Name(NamedTuple)`."""

        def __new__(cls, name: str, bases: tuple[type, ...], namespace: dict[str, Any]) -> type:
            if not bases:  # NamedTuple itself
                return super().__new__(cls, name, bases, namespace)
            if bases != (NamedTuple,):
                msg = f"{name} has other base classes than NamedTuple. Derive a class from it that has them, too."
                raise TypeError(msg)
            if not namespace.keys().isdisjoint(("__annotate__", "__annotate_func__")):  # Python 3.14 evaluates them when asked
                msg = f"The module of {name} does not postpone annotations: it needs `from __future__ import annotations`."
                raise TypeError(msg)
            annotations = namespace.get("__annotations__", {})  # strings
            fields = tuple(annotations)
            defaults = {field: namespace.pop(field) for field in fields if field in namespace}
            if tuple(defaults) != fields[len(fields) - len(defaults) :]:
                msg = f"In {name}, a field without a default follows one with a default."
                raise TypeError(msg)
            code = _code_of_constructor(len(fields)).replace(co_varnames=("_cls", *fields))
            constructor = FunctionType(code, {"_new": tuple.__new__}, "__new__", tuple(defaults.values()))
            constructor.__qualname__ = f"{namespace['__qualname__']}.__new__"
            constructor.__annotations__ = annotations  # shown in signatures
            namespace["__slots__"] = ()
            namespace["__new__"] = constructor
            namespace["__match_args__"] = namespace["_fields"] = fields
            namespace["_field_defaults"] = defaults
            for place, field in enumerate(fields):
                namespace[field] = _tuplegetter(place, f"Alias for field number {place}")
            return type(name, (_NamedTuple,), namespace)

    @cache
    def _code_of_constructor(fields: int) -> CodeType:
        """Compile a constructor with parameters for a number of fields."""
        names = "".join([f"_{place}, " for place in range(fields)])
        code: CodeType = eval(f"lambda _cls, {names}: _new(_cls, ({names}))").__code__  # noqa: S307 - of a number only
        return code

    class NamedTuple(metaclass=_NamedTupleType):
        """Base class of named tuples; their modules postpone annotations (`from __future__ import annotations`)."""
