"""A run with vectors from a file: told in notes, manifest, metrics and report, and read back without the file."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from rxweave import pipeline
from rxweave.added_nodes import add_nodes
from rxweave.cli import main
from rxweave.finished_run import read_run
from rxweave.graph.build import build_graph
from rxweave.kg.sources import load_kg
from rxweave.settings import settings_from
from rxweave.watch import Watch

OPTIONS = [
    "embed.embedding_dim=32",
    "embed.hidden_dim=32",
    "embed.feature_dim=32",
    "embed.num_epochs=5",
    "embed.learning_rate=0.003",
    "rank.num_trees=5",
    "rank.num_draws=1",
    "rank.features.groups=degrees",
    "rank.bilinear_weight=0",
    "embed.accumulation_steps=1",
    "embed.device=cpu",
]


class _Notes(Watch):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


def test_a_run_tells_the_coverage_and_needs_the_file_no_more(tmp_path: Path) -> None:
    graph = build_graph(load_kg("demo:400"))
    drugs = graph.nodes.filter(node_type="drug").select("node_key")[:20]
    vectors = np.random.default_rng(0).normal(size=(len(drugs), 6)).astype(np.float32)
    file, out = tmp_path / "molecules.parquet", tmp_path / "run"
    drugs.with_columns(pl.Series("embedding", vectors, dtype=pl.Array(pl.Float32, 6))).write_parquet(file)
    watch = _Notes()
    pipeline.run(settings_from({"load.kg": "demo:400"}, [*OPTIONS, f"embed.feature_file={file}"]), out, watch=watch)
    file.unlink()
    of_all = f"drug 20 of {graph.num_of('drug')}"
    assert any(of_all in note for note in watch.notes)
    metrics = json.loads((out / "08_reporting" / "metrics.json").read_text())
    assert metrics["feature_file"]["coverage"]["drug"] == {"with_vector": 20, "nodes": graph.num_of("drug")}
    assert metrics["feature_file"]["coverage"]["disease"]["with_vector"] == 0
    assert of_all in (out / "08_reporting" / "report.html").read_text()

    run = read_run(out)
    features = run.features()
    assert features.shape == (400, 32 + 6 + 1)
    states = run.layer_states(features)
    import torch

    with torch.no_grad():
        again = run.encoder.output([torch.from_numpy(state) for state in states]).numpy()
    np.testing.assert_allclose(again, run.embeddings.vectors, atol=1e-5)

    gene = graph.nodes.filter(node_type="gene/protein")["node_key"][0]
    table = tmp_path / "new.tsv"
    table.write_text("source\trelation\ttarget\tnode_id\tnode_type\n" + f"N1\tdisease_protein\t{gene}\tN1\tdisease\n")
    assert add_nodes(out, table).embeddings.dim == 32


def test_a_feature_file_that_is_not_there_is_refused_before_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    asked = ["rxweave", "run", "--kg", "demo:400", "--out", str(out), "-o", f"embed.feature_file={tmp_path / 'no.csv'}"]
    monkeypatch.setattr(sys, "argv", asked)
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert "no.csv does not exist" in " ".join(capsys.readouterr().err.split())
    assert not out.exists() or not [path for path in out.rglob("*") if path.is_file()]
