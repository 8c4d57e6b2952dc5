"""The report of a run: made from its record, written to a file or displayed in a notebook.

State: what the report says. Neighbours: `analysis.py` analyses the record, `page.py` writes the HTML; `treadle report` and
`Session.report` make reports.
"""

from __future__ import annotations

import html
from pathlib import Path
from typing import TYPE_CHECKING

from treadle.errors import ReportError
from treadle.observe.report.analysis import make_content
from treadle.observe.report.page import render
from treadle.observe.store.file import make_output_folder

if TYPE_CHECKING:
    from collections.abc import Sequence

    from treadle.observe.store import SessionRecord
    from treadle.observe.store.history_access import PastRun


class Report:
    """The report of a run; in a notebook it is displayed as the page.

    Args:
        session: the session.
        before: an earlier session to compare with, if any.
        past: earlier runs of the project, the oldest first.

    Attributes:
        content: what the page says, as records.
    """

    def __init__(self, session: SessionRecord, before: SessionRecord | None = None, past: Sequence[PastRun] = ()) -> None:
        self.content = make_content(session, before, past)

    def html(self) -> str:
        """Return the page: one file that needs nothing else."""
        return render(self.content)

    def save(self, file: str | Path) -> Path:
        """Write the page to a file.

        Args:
            file: the file; its folder is created if it does not exist.

        Returns:
            The absolute path of the file.

        Raises:
            ReportError: the file cannot be written.
        """
        path = Path(file).absolute()
        try:
            make_output_folder(path.parent)
            path.write_text(self.html(), encoding="utf-8")
        except OSError as exc:
            msg = (
                f"The report cannot be written to {path}: {exc.strerror or exc}. Choose a file in a folder that you may "
                "write to; `treadle report ID --output FILE` writes the report of a session at any later time."
            )
            raise ReportError(msg, path=str(path)) from exc
        return path

    def _repr_html_(self) -> str:
        """Return the page in a frame, so that its styles do not affect the notebook."""
        page = html.escape(self.html(), quote=True)
        return f'<iframe srcdoc="{page}" style="width:100%;height:720px;border:0" title="Run report"></iframe>'

    def __repr__(self) -> str:
        return f"<Report of session {self.content.analysis.session.session_id}: {self.content.analysis.summary.outcome}>"
