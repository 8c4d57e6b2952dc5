"""Send an output of a run as JSON, as Parquet, or as the file that the run saved.

State: none. Neighbours: `app.py` has the endpoint; `treadle.execution.loop.result` loads the outputs.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias
from urllib.parse import quote

from fastapi.responses import FileResponse, Response
from pydantic_core import PydanticSerializationError, to_json

from treadle.errors import DatasetError
from treadle.server.problems import Problem, public_text

if TYPE_CHECKING:
    from treadle.execution.loop.result import RunResult

Format: TypeAlias = Literal["json", "parquet", "file"]

_PARQUET = "application/vnd.apache.parquet"


def output_response(result: RunResult, name: str, wanted: Format | None, *, debug: bool) -> Response:
    """Return an output as a response.

    Args:
        result: the result of the run.
        name: the output.
        wanted: the format; by default text and bytes are sent as they are, and everything else as JSON.
        debug: whether errors contain paths of this machine.

    Raises:
        Problem: the run has no such output, it was overwritten, or it cannot be sent in this format.
    """
    if name not in list(result):  # `in` would load it
        known = ", ".join(sorted(result)) or "none"
        raise Problem(404, "UnknownOutput", f"The run has no output {public_text(name)[:100]!r}. It has: {known}.")
    try:
        if wanted == "file":
            return _file(result, name)
        value = result[name]
    except DatasetError as exc:
        raise Problem(410, "OutputGone", public_text(str(exc), debug=debug)) from exc
    if wanted == "parquet":
        return _parquet(value, name)
    if wanted is None and isinstance(value, str):
        return _text(value, name)
    if wanted is None and isinstance(value, (bytes, bytearray)):
        return Response(bytes(value), media_type="application/octet-stream", headers=_attachment(name))
    return _json(value, name)


def _text(value: str, name: str) -> Response:
    try:
        return Response(value, media_type="text/plain; charset=utf-8")
    except UnicodeEncodeError as exc:
        msg = f"The output '{name}' contains half of a surrogate pair, so it cannot be sent as text."
        raise Problem(406, "NotText", msg) from exc


def _file(result: RunResult, name: str) -> Response:
    path = result.saved_file(name)
    if path is None or not Path(path).is_file():
        msg = f"The output '{name}' is not one file on this machine. Ask for it with format=json or format=parquet."
        raise Problem(406, "NotAFile", msg)
    return FileResponse(path, media_type="application/octet-stream", headers=_attachment(Path(path).name))


def _parquet(value: Any, name: str) -> Response:
    write = getattr(value, "to_parquet", None) or getattr(value, "write_parquet", None)  # of pandas, of polars
    if write is None:
        msg = f"The output '{name}' is a {type(value).__name__}, not a table. Ask for it with format=json."
        raise Problem(406, "NotATable", msg)
    buffer = io.BytesIO()
    try:
        write(buffer)
    except Exception as exc:  # pandas, pyarrow and polars have each their own
        msg = f"The output '{name}' cannot be written as Parquet: {public_text(str(exc))}"
        raise Problem(406, "NotATable", msg) from exc
    return Response(buffer.getvalue(), media_type=_PARQUET, headers=_attachment(f"{name}.parquet"))


def _json(value: Any, name: str) -> Response:
    try:
        if hasattr(value, "to_json") and hasattr(value, "columns"):  # pandas
            content: bytes = value.to_json(orient="records", date_format="iso").encode()
        else:
            content = to_json(value, inf_nan_mode="null", fallback=_plain)
    except (PydanticSerializationError, TypeError, ValueError, ArithmeticError, RuntimeError) as exc:
        msg = (
            f"The output '{name}' is a {type(value).__name__}, which cannot be written as JSON. Ask for its file with "
            "format=file if the catalog saves it to one."
        )
        raise Problem(406, "NotJSON", msg) from exc
    return Response(content, media_type="application/json")


def _plain(value: Any) -> Any:
    """Return arrays, series and other tables as lists."""
    for method in ("tolist", "to_list", "to_dicts", "to_pylist"):
        if hasattr(value, method):
            return getattr(value, method)()
    msg = f"a {type(value).__name__} has no form in JSON"
    raise TypeError(msg)


def _attachment(name: str) -> dict[str, str]:
    return {"Content-Disposition": f"attachment; filename*=UTF-8''{quote(name, safe='')}"}
