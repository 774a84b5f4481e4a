"""The one rule of imports: data flows one way, and so do imports."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

SRC = Path(__file__).resolve().parents[1] / "src" / "rxweave"

STAGES = ["kg", "graph", "embed", "validate", "rank", "cluster", "explain", "report"]
"""A stage may import itself and the stages before it."""
FOUNDATION = ["errors", "artifacts", "config", "__init__"]
"""May be imported by all, and import one another only."""
TOP = ["watch", "epoch_line", "workspace", "finished_run", "usefulness", "pipeline", "settings", "api", "console"]
TOP += ["options", "tensorboard", "benchmark", "readiness", "loading", "terminal", "cluster_command", "export"]
TOP += ["leads", "rank_command", "finished_commands", "cli", "__main__"]
TOP += ["added_nodes", "added_command", "embed_command"]
TOP += ["finished_report", "report_command", "finished_ablation", "ablation_command"]
TOP += ["explain_run", "explain_command"]
TOP += ["claim", "matrix_slice", "process", "orchestration"]
TOP += ["finished_tuning", "tune_command"]
"""Stand above the stages; no stage may import them."""
HEAVY = ["torch", "polars", "numpy", "scipy", "sklearn", "xgboost", "pydantic", "rich.table", "matplotlib"]


def imports_of(path: Path) -> set[str]:
    """First part below `rxweave` of everything a module imports, wherever in the file."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} uses a relative import"
            names = [f"{node.module}.{alias.name}" for alias in node.names] if node.module == "rxweave" else []
            names += [node.module or ""]
        else:
            continue
        found |= {name.split(".")[1] for name in names if name.startswith("rxweave.")}
    return found & {*STAGES, *FOUNDATION, *TOP}


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_imports_only_itself_and_earlier_stages(stage: str) -> None:
    allowed = {*FOUNDATION, *STAGES[: STAGES.index(stage) + 1]}
    modules = sorted((SRC / stage).rglob("*.py"))
    assert modules
    for module in modules:
        assert imports_of(module) <= allowed, f"{module.relative_to(SRC)} imports from the right or from a shell"


@pytest.mark.parametrize("name", [name for name in FOUNDATION if name != "__init__"])
def test_the_foundation_stands_alone(name: str) -> None:
    modules = sorted((SRC / name).rglob("*.py")) or [SRC / f"{name}.py"]
    for module in modules:
        assert imports_of(module) <= set(FOUNDATION), f"{module.relative_to(SRC)} does not stand alone"


def test_every_module_has_a_place_in_the_order() -> None:
    top_level = {path.stem for path in SRC.glob("*.py")} | {path.name for path in SRC.iterdir() if path.is_dir()}
    assert top_level - {"__pycache__"} == {*STAGES, *FOUNDATION, *TOP}


def test_the_guard_sees_a_wrong_import(tmp_path: Path) -> None:
    module = tmp_path / "wrong.py"
    module.write_text("def f():\n    from rxweave.report.page import write_report\n    return write_report\n")
    assert imports_of(module) == {"report"}


def test_the_command_line_imports_nothing_heavy() -> None:
    script = "import sys, rxweave.cli; print(' '.join(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    assert "rxweave.cli" in loaded
    assert not set(HEAVY) & set(loaded)
