"""The site of the documentation: the reference has the whole public interface. `mkdocs build --strict` checks links and menus."""

from __future__ import annotations

import re
from pathlib import Path

import treadle
from treadle import errors

REFERENCE = Path(__file__).parents[2] / "docs" / "reference"


def test_the_reference_has_every_public_name():
    """Each public name has an entry of its own, or is an error, all of which are on one page."""
    text = "\n".join(page.read_text(encoding="utf-8") for page in REFERENCE.glob("*.md"))
    documented = set(re.findall(r"^::: treadle\.(\w+)$", text, re.MULTILINE))
    assert "errors" in documented
    missing = {name for name in treadle.__all__ if not hasattr(errors, name)} - documented - {"__version__"}
    assert not missing
