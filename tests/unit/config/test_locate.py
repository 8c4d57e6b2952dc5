"""Where in the files a value of the configuration stands."""

from __future__ import annotations

from treadle.config.loader import ConfigLoader


def test_the_uppermost_file_with_its_line(tmp_path):
    """The environment's file is named where it has the key, else the base's; a key that no file has is nowhere."""
    for name, content in {
        "base/catalog.yml": "a: {type: x}\n\nb: {type: y}\n",
        "local/catalog_mine.yml": "# mine\nb: {type: z}\n",
    }.items():
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text(content)
    loader = ConfigLoader(tmp_path)
    assert loader.locate("catalog", ["a"]) == (str(tmp_path / "base" / "catalog.yml"), 1)
    assert loader.locate("catalog", ["b", "type"]) == (str(tmp_path / "local" / "catalog_mine.yml"), 2)
    assert loader.locate("catalog", ["c"]) is None
