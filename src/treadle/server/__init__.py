"""Serve a project over HTTP: runs on warm workers, their events, outputs and reports. Needs the extra `treadle[server]`."""

from treadle.server.app import create_app
from treadle.server.options import ServerOptions

__all__ = ["ServerOptions", "create_app"]
