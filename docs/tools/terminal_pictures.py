"""Make the pictures of a terminal in docs/assets, from real commands: `python docs/tools/terminal_pictures.py`.

Each command runs in a pseudo-terminal, whose screen `pyte` emulates; rich draws the screen as SVG. The demo's project is created
in a temporary folder. Needs `pip install -e ".[demo]" pyte`.
"""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import tempfile
import termios
from collections.abc import Callable
from datetime import date
from io import StringIO
from itertools import groupby
from pathlib import Path

import pyte
from rich.console import Console
from rich.style import Style
from rich.terminal_theme import MONOKAI
from rich.text import Text

ASSETS = Path(__file__).parents[1] / "assets"
COLUMNS, ROWS = 100, 24


def run_in_terminal(command: str, folder: Path, is_wanted: Callable[[pyte.Screen], bool] = lambda _: True) -> Text:
    """Run a command in a pseudo-terminal of its own; return the last screen that is wanted."""
    screen = pyte.Screen(COLUMNS, ROWS)
    stream = pyte.ByteStream(screen)
    parent, child = pty.openpty()
    fcntl.ioctl(child, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    environment = {**os.environ, "TERM": "xterm-256color", "COLORTERM": "truecolor"}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    process = subprocess.Popen(command, shell=True, cwd=folder, env=environment, stdin=child, stdout=child, stderr=child)
    os.close(child)
    found = Text()
    while True:
        try:
            data = os.read(parent, 65536)
        except OSError:  # the last process has closed the terminal
            break
        stream.feed(data)
        if is_wanted(screen):
            found = text_of(screen)
    process.wait()
    os.close(parent)
    return found


def text_of(screen: pyte.Screen) -> Text:
    """Convert a screen to a styled text, without the empty lines at its end."""
    text = Text()
    for row in range(ROWS):
        cells = [screen.buffer[row][column] for column in range(COLUMNS)]
        for (color, bold, italic), same in groupby(cells, key=lambda cell: (cell.fg, cell.bold, cell.italics)):
            text.append("".join(cell.data for cell in same), Style(color=color_of(color), bold=bold, italic=italic))
        text.append("\n")
    text.rstrip()
    return text


def color_of(name: str) -> str | None:
    """Convert a colour of pyte to one of rich."""
    if name == "default":
        return None
    if re.fullmatch(r"[0-9a-f]{6}", name):
        return f"#{name}"
    return {"brown": "yellow"}.get(name, name.replace("bright", "bright_"))


def save(name: str, command: str, screen: Text) -> None:
    """Save a screen as SVG below the command that was typed."""
    console = Console(record=True, width=COLUMNS, file=StringIO(), force_terminal=True)
    console.print(Text.assemble(("$ ", "bold green"), (command, "bold")))
    console.print(screen)
    svg = console.export_svg(title="", theme=MONOKAI, unique_id=name)
    svg = re.sub(r"@font-face \{.*?\}\n*", "", svg, flags=re.DOTALL)  # no font of another host
    svg = re.sub(r"^ +", "", svg, flags=re.MULTILINE)
    (ASSETS / f"{name}.svg").write_text(svg, encoding="utf-8")


def main() -> None:
    """Create the demo's project, and make the pictures."""
    with tempfile.TemporaryDirectory() as folder:
        demo = "from treadle.cli.demo import _create_project; from pathlib import Path; _create_project(Path('flights'))"
        subprocess.run([sys.executable, "-c", demo], cwd=folder, check=True)
        project = Path(folder, "flights")

        def is_busy(screen: pyte.Screen) -> bool:
            lines = [line for line in screen.display if line.strip()]
            return any("worker-1" in line for line in lines) and any("worker-2" in line for line in lines)

        command = "treadle run --runner parallel"
        save("terminal-run", command, run_in_terminal(command, project, is_busy))
        command = f"treadle sessions what-if {date.today().year}"  # noqa: DTZ011 - the prefix of an id, as a user types it
        save("terminal-what-if", command, run_in_terminal(command, project))


if __name__ == "__main__":
    main()
