"""The one call for scripts."""

from __future__ import annotations

import ast
from importlib.resources import files
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import rxweave
from rxweave import generate_hgt_embeddings, read_embeddings
from rxweave.errors import ConfigError, InputError
from rxweave.kg.demo import demo_kg

SMALL = {"embedding_dim": 64, "hidden_dim": 32, "num_heads": 4, "num_epochs": 2}


@pytest.fixture(scope="module")
def kg_csv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A demo graph written as PrimeKG writes its own: twelve columns, every fact twice with its ends swapped."""
    kg = demo_kg(num_nodes=400, num_edges=4000, seed=1)
    nodes = kg.nodes.with_row_index("index")
    ends = {
        side: nodes.select(
            pl.col("node_key").alias(f"{end}_key"),
            pl.col("index").alias(f"{side}_index"),
            pl.col("node_id").alias(f"{side}_id"),
            pl.col("node_type").alias(f"{side}_type"),
            pl.col("node_name").alias(f"{side}_name"),
            pl.col("node_source").alias(f"{side}_source"),
        )
        for side, end in (("x", "source"), ("y", "target"))
    }
    rows = kg.edges.join(ends["x"], on="source_key").join(ends["y"], on="target_key")
    columns = ["relation", "display_relation"]
    columns += [f"{side}_{name}" for side in "xy" for name in ("index", "id", "type", "name", "source")]
    rows = rows.select(columns)
    swapped = rows.rename({c: {"x": "y", "y": "x"}[c[0]] + c[1:] for c in columns[2:]}).select(columns)
    path = tmp_path_factory.mktemp("kg") / "kg.csv"
    pl.concat([rows, swapped]).write_csv(path)
    return path


def test_it_writes_the_csv_and_says_what_it_did(kg_csv: Path, tmp_path: Path) -> None:
    output = tmp_path / "embeddings.csv"
    facts = generate_hgt_embeddings(str(kg_csv), str(output), **SMALL)
    table = pl.read_csv(output, infer_schema=False)
    assert table.columns == ["node_id", "node_name", "node_type", "embedding"]
    assert facts["embedding_dim"] == 64
    assert facts["num_epochs"] == 2
    assert facts["device"] in ("cpu", "cuda")
    assert facts["total_nodes"] == len(table) == 400
    assert facts["total_facts"] == 4000
    assert facts["output_file"] == str(output)
    vector = ast.literal_eval(table["embedding"][0])
    assert len(vector) == 64
    np.testing.assert_allclose(vector, read_embeddings(tmp_path / "embeddings.parquet").vectors[0], rtol=1e-5)


def test_limit_nodes_samples_every_type_in_proportion(kg_csv: Path, tmp_path: Path) -> None:
    generate_hgt_embeddings(kg_csv, tmp_path / "e.csv", **SMALL, limit_nodes=200)
    whole = demo_kg(num_nodes=400, num_edges=4000, seed=1).nodes["node_type"].value_counts()
    half = pl.read_csv(tmp_path / "e.csv", infer_schema=False)["node_type"].value_counts()
    counts = whole.join(half, on="node_type", suffix="_half")
    assert len(counts) == len(whole)
    assert half["count"].sum() == 200
    assert ((counts["count"] / 2 - counts["count_half"]).abs() <= 1).all()


def test_only_the_asked_for_types_are_embedded(kg_csv: Path, tmp_path: Path) -> None:
    types = ["drug", "disease", "gene/protein"]
    generate_hgt_embeddings(kg_csv, tmp_path / "e.csv", **SMALL, include_node_types=types)
    assert set(pl.read_csv(tmp_path / "e.csv", infer_schema=False)["node_type"].unique()) == set(types)


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"embedding_dim": 511, "num_heads": 8}, ConfigError, "511"),
        ({"include_node_types": ["genes"]}, InputError, "'genes' is not in"),
        ({"limit_nodes": 2}, ConfigError, "2"),
        ({"contrastive_weight": -1.0}, ConfigError, "contrastive_weight is -1"),
    ],
)
def test_impossible_wishes_are_refused_and_leave_no_file(
    kg_csv: Path, tmp_path: Path, settings: dict[str, object], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        generate_hgt_embeddings(kg_csv, tmp_path / "e.csv", **(SMALL | settings))
    assert list(tmp_path.iterdir()) == []


def test_public_names_are_all_there() -> None:
    for name in rxweave.__all__:
        assert getattr(rxweave, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = rxweave.nonsense


def test_type_checkers_may_read_its_types() -> None:
    assert files("rxweave").joinpath("py.typed").is_file()
