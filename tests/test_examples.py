"""The examples run, and find what was planted."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


def test_embed_your_graph_finds_diseases_of_the_same_module(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spec = importlib.util.spec_from_file_location("embed_your_graph", EXAMPLES / "embed_your_graph.py")
    assert spec is not None
    assert spec.loader is not None
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    nearest = example.main(tmp_path, num_epochs=20)
    # Diseases 0, 6, 12, … draw their genes from one window; neighbours of it overlap by a third.
    modules = [int(name.rpartition("::")[2]) % 6 for name in nearest]
    assert modules.count(0) >= 4
    assert "verdict: " in capsys.readouterr().out


def test_the_table_of_a_new_disease_fits_the_demo_graph() -> None:
    from rxweave.kg.added import read_addition
    from rxweave.kg.demo import demo_kg

    found = read_addition(EXAMPLES / "new_disease.tsv", demo_kg())
    assert found.nodes["node_name"].to_list() == ["my disease"]
    assert found.num_facts == len((EXAMPLES / "new_disease.tsv").read_text().splitlines()) - 1
