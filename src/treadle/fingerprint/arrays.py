"""Identify arrays and tables by their content. Their libraries are not imported: values of theirs exist only where they are.

State: none.
"""

from __future__ import annotations

from typing import Any

from treadle.fingerprint.facts import digest_of

_TABLES = {"DataFrame", "Series", "Index", "RangeIndex", "DatetimeIndex", "CategoricalIndex", "MultiIndex"}
MOST_BYTES = 64 * 2**20
"""Larger arrays and tables are not hashed."""


def array_token(value: Any) -> str | None:
    """Return a text that identifies an array, a table, or another value of numpy or pandas.

    Args:
        value: any value.

    Returns:
        The text; None if it is not such a value, contains Python objects that cannot be hashed, or is too large.
    """
    kind = type(value)
    home = kind.__module__.partition(".")[0]
    if home == "numpy":
        return _numpy(value, kind.__name__)
    if home == "pandas":
        return _pandas(value, kind.__name__)
    return None


def _numpy(value: Any, kind: str) -> str | None:
    if kind in {"ndarray", "matrix", "memmap", "recarray"}:
        return f"{kind} {_array_dtype(value.dtype)} {value.shape} {_content(value)}{_layout(value)}" if _is_plain(value) else None
    if kind.startswith("dtype") or kind.endswith("DType"):
        return f"dtype {_array_dtype(value)}"
    if kind == "Generator" and hasattr(value, "bit_generator"):
        return f"random {value.bit_generator.state!r}"
    if kind == "RandomState":
        return f"random {[*map(_plain, value.get_state())]!r}"
    if any(each.__name__ == "generic" for each in type(value).__mro__) and not value.dtype.hasobject:  # a scalar
        return f"{kind} {_array_dtype(value.dtype)} {value.tobytes().hex()}"
    return None


def _array_dtype(dtype: Any) -> str:
    return str(dtype.str) if dtype.names is None else repr(dtype.descr)


def _layout(array: Any) -> str:
    """Return the order of an array's elements in memory, unless it is the usual one."""
    return " F" if array.flags.f_contiguous and not array.flags.c_contiguous else ""


def _plain(value: Any) -> Any:
    return value.tolist() if hasattr(value, "tolist") else value


def _is_plain(array: Any) -> bool:
    return not array.dtype.hasobject and array.nbytes <= MOST_BYTES


def _content(array: Any) -> str:
    return digest_of(array.tobytes())


def _pandas(value: Any, kind: str) -> str | None:
    if kind in {"Timestamp", "Timedelta"}:
        return f"{kind} {value.isoformat()} {value.unit} {getattr(value, 'tz', None)}"
    if kind in {"NaTType", "NAType"}:
        return kind
    if kind.endswith("Dtype"):
        return f"{kind} {_dtype_text(value)}"
    return _table(value, kind) if kind in _TABLES else None


def _table(value: Any, kind: str) -> str | None:
    if getattr(value, "attrs", None):  # of any objects
        return None
    is_table = kind == "DataFrame"
    size = value.memory_usage()
    if int(size.sum() if is_table else size) > MOST_BYTES:
        return None
    columns = [value.iloc[:, number] for number in range(value.shape[1])] if is_table else [value]
    described = [_column(each) for each in (*columns, *([value.index] if kind in {"DataFrame", "Series"} else []))]
    names = [repr(getattr(value, "name", None))]
    if is_table:
        labels = value.columns
        names = [repr(labels.names), *map(repr, labels)]
        if labels.inferred_type not in {"string", "empty"}:
            names.append(f"{labels.dtype} {getattr(labels, 'freq', None)}")
    return None if None in described else f"{kind} {value.shape} {names} {described}"


def _column(column: Any) -> str | None:
    """Describe a column or an index; None if its cells cannot be compared."""
    from pandas.util import hash_pandas_object

    levels = [column.get_level_values(number) for number in range(column.nlevels)] if hasattr(column, "levels") else [column]
    types = [_dtype(each) for each in levels]
    if None in types:
        return None
    try:
        content = digest_of(hash_pandas_object(column, index=False).to_numpy().tobytes())
    except TypeError:  # cells that cannot be hashed
        return None
    freq = getattr(column, "freq", None)  # of an index
    return f"{types} {list(getattr(column, 'names', ()))!r} {content}{_missing(levels)}{'' if freq is None else f' {freq}'}"


def _missing(levels: list[Any]) -> str:
    """Return what stands for missing cells among texts, whose hashes are those of the text `nan`."""
    kinds = [repr(cell) for each in levels if each.dtype == object for cell in each[each.isna()].tolist()]
    places = [each.isna().tolist() for each in levels if each.dtype == object] if kinds else []
    return f" missing {digest_of(f'{kinds} {places}')}" if kinds else ""


def _dtype(column: Any) -> str | None:
    """Return the type of a column; None if its cells are objects other than texts, whose hashes pandas takes from their `str`."""
    dtype = column.dtype
    if dtype.kind == "O" and str(dtype) == "object":
        from pandas.api.types import infer_dtype

        return "object" if infer_dtype(column, skipna=True) in {"string", "empty"} else None
    return _dtype_text(dtype)


def _dtype_text(dtype: Any) -> str:
    if hasattr(dtype, "categories"):
        return f"category {dtype.categories if dtype.categories is None else [*map(repr, dtype.categories)]} {dtype.ordered}"
    return repr(dtype)
