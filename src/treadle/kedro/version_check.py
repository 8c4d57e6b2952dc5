"""Check that a supported version of Kedro is installed. State: none."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

from treadle.errors import RunnerError

SUPPORTED = "1.0 or later, below 2"


def require_kedro() -> None:
    """Raise if Kedro is missing or its version is not supported.

    Raises:
        RunnerError: Kedro is missing or not supported; the message names the command that installs it.
    """
    try:
        found = version("kedro")
    except PackageNotFoundError as exc:
        msg = 'treadle.kedro needs Kedro, which is not installed. Install it with: pip install "treadle[kedro]".'
        raise RunnerError(msg, name="treadle.kedro") from exc
    if found.partition(".")[0] != "1":
        msg = f'treadle.kedro works with Kedro {SUPPORTED}, but {found} is installed. Run: pip install "treadle[kedro]".'
        raise RunnerError(msg, name="treadle.kedro")
