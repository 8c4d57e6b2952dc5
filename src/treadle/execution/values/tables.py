"""Pickle slices of pyarrow's tables without the rest of the table, which pyarrow itself pickles too.

`by_value.py` calls this module for each table, `restoring.py` recreates the slices. pyarrow is not imported here: if it is not
loaded, there are no tables. Used by the parent and the workers. State: none.
"""

from __future__ import annotations

import pickle
from typing import Any

from treadle.execution.values import restoring
from treadle.io.loaded import loaded_module

_MIN_WASTE = 1 << 16

_EXTENSION = b"ARROW:extension:name"
"""The key under which Arrow's format names a type that a library or a project has defined (an extension type).

A process in which that name is not registered would read the type that it is stored as.
"""


def reduce_table(table: Any) -> tuple[Any, ...] | None:
    """Return a function and arguments that recreate a slice of a table.

    Args:
        table: a table or record batch of pyarrow.

    Returns:
        The function and its arguments; None if most of the memory that the table refers to is its own, or if the other process
        may not know the type of a column.
    """
    pyarrow = loaded_module("pyarrow")
    if pyarrow is None or table.get_total_buffer_size() < 2 * table.nbytes + _MIN_WASTE:
        return None
    if _EXTENSION in table.schema.serialize().to_pybytes():
        return None
    sink = pyarrow.BufferOutputStream()
    is_batch = type(table) is pyarrow.RecordBatch
    with pyarrow.ipc.new_stream(sink, table.schema) as writer:
        if is_batch:
            writer.write_batch(table)
        else:
            writer.write_table(table)
    return restoring.table, (pickle.PickleBuffer(sink.getvalue()), is_batch)
