"""Every script under benchmarks/ finds what it imports; what they measure takes minutes and is run by hand."""

from __future__ import annotations

import ast
import importlib.util
import sys
from pathlib import Path

import pytest

SCRIPTS = sorted((Path(__file__).parents[1] / "benchmarks").glob("*.py"))


def imported(script: Path) -> list[tuple[str, str]]:
    """Modules of rxweave and the names taken from them, wherever in the file."""
    tree = ast.parse(script.read_text(encoding="utf-8"))
    return [
        (node.module, alias.name)
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "rxweave"
        for alias in node.names
    ]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_a_benchmark_imports_only_what_there_is(script: Path) -> None:
    names = imported(script)
    assert names, f"{script.name} uses nothing of rxweave"
    for module, name in names:
        importlib.import_module(module)
        assert hasattr(sys.modules[module], name) or importlib.util.find_spec(f"{module}.{name}"), f"{module}.{name}"


def test_there_are_benchmarks_to_look_at() -> None:
    assert len(SCRIPTS) >= 8
