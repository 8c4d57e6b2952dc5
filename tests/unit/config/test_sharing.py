from __future__ import annotations

from treadle.config.loader import ConfigLoader


def test_a_loader_with_other_params_shares_only_the_files(tmp_path):
    """Files are parsed once for all loaders made from one; params, results and interpolations are each one's own."""
    base = tmp_path / "base"
    base.mkdir()
    parameters = base / "parameters.yml"
    parameters.write_text("a: {b: 1, c: '${runtime_params:who,nobody}'}\n")
    first = ConfigLoader(tmp_path)
    assert first["parameters"] == {"a": {"b": 1, "c": "nobody"}}
    parameters.write_text("a: {b: 100}\n")
    second = first.with_runtime_params({"who": "me", "a": {"b": 2}})
    third = first.with_runtime_params({})
    assert second["parameters"] == {"a": {"b": 2, "c": "me"}, "who": "me"}
    assert third["parameters"] == {"a": {"b": 1, "c": "nobody"}}
    assert first["parameters"] == third["parameters"]
    assert second.runtime_params == {"who": "me", "a": {"b": 2}}
    assert ConfigLoader(tmp_path)["parameters"] == {"a": {"b": 100}}
