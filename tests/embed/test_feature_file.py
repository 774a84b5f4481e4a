"""Vectors from a file: read in every form, refused by name, missing ones told apart, kept with the model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

from rxweave.config import EmbedSettings, RunSettings
from rxweave.embed.attention import build_index
from rxweave.embed.checkpoint import CheckpointError
from rxweave.embed.feature_file import FEATURES_KEY, FileFeatures, added_width, read_feature_file
from rxweave.embed.features import FEATURE_RMS, svd_features
from rxweave.embed.fold_in import features_with_new, new_rows
from rxweave.embed.held_out import HeldOut
from rxweave.embed.history import Epoch
from rxweave.embed.memory_parts import Sizes, lasting
from rxweave.embed.memory_plan import plan_memory
from rxweave.embed.memory_shape import GraphShape
from rxweave.embed.model_file import load_file_features, load_model, save_model
from rxweave.embed.state import initial_state
from rxweave.embed.store import write_embeddings
from rxweave.embed.train import Trained, train
from rxweave.errors import InputError, LeakError
from rxweave.graph.build import Graph, build_graph
from rxweave.graph.split import Split, random_split, training_graph
from rxweave.kg.demo import demo_kg
from rxweave.pipeline import describe

GRAPH = build_graph(demo_kg(num_nodes=300, num_edges=2500, seed=2))
WIDTH = 5
SETTINGS = EmbedSettings(
    embedding_dim=32, hidden_dim=16, feature_dim=8, num_heads=4, num_epochs=4, num_negatives=16, checkpoint_every=1,
    num_treatment_negatives=32, accumulation_steps=1, learning_rate=0.003, device="cpu",
)  # fmt: skip


def some_nodes() -> pl.DataFrame:
    """All drugs and every third gene, with numbers far from 0."""
    genes = GRAPH.nodes.filter(node_type="gene/protein").gather_every(3)
    nodes = pl.concat([GRAPH.nodes.filter(node_type="drug"), genes]).select("node_key", "node_type", "node_id")
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(len(nodes), WIDTH)) + 20
    return nodes.with_columns(pl.Series("embedding", vectors.astype(np.float32), dtype=pl.Array(pl.Float32, WIDTH)))


def spread(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.drop("embedding").with_columns(frame["embedding"].arr.to_struct().struct.unnest())


def as_text(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.with_columns(
        pl.format("[{}]", frame["embedding"].arr.to_list().cast(pl.List(pl.String)).list.join(", ")).alias("embedding")
    )


@pytest.fixture
def file(tmp_path: Path) -> Path:
    some_nodes().drop("node_type", "node_id").write_parquet(tmp_path / "features.parquet")
    return tmp_path / "features.parquet"


def features_of(frame: pl.DataFrame, folder: Path, graph: Graph = GRAPH) -> FileFeatures:
    path = folder / "frame.parquet"
    frame.write_parquet(path)
    return read_feature_file(path, graph)


@pytest.mark.parametrize("form", ["list", "columns", "csv", "csv columns", "tsv", "type and id"])
def test_every_form_gives_the_same_vectors(form: str, file: Path, tmp_path: Path) -> None:
    frame = some_nodes().sample(fraction=1, shuffle=True, seed=1)
    keyed, path = frame.drop("node_type", "node_id"), tmp_path / "again.parquet"
    if form == "list":
        keyed.with_columns(pl.col("embedding").arr.to_list().cast(pl.List(pl.Float64))).write_parquet(path)
    elif form == "columns":
        spread(keyed).write_parquet(path)
    elif form == "type and id":
        frame.drop("node_key").write_parquet(path)
    else:
        path = tmp_path / ("again.tsv" if form == "tsv" else "again.csv")
        table = spread(keyed) if "columns" in form else as_text(keyed)
        table.write_csv(path, separator="\t" if form == "tsv" else ",")
    found, expected = read_feature_file(path, GRAPH), read_feature_file(file, GRAPH)
    assert np.array_equal(found.rows, expected.rows)
    np.testing.assert_allclose(found.vectors, expected.vectors, atol=1e-4)
    assert found.coverage == expected.coverage
    assert added_width(str(path)) == added_width(str(file)) == WIDTH + 1


def test_vectors_are_centred_by_type_and_of_one_length_and_coverage_is_told(file: Path) -> None:
    found = read_feature_file(file, GRAPH)
    raw = some_nodes()
    genes = raw.filter(node_type="gene/protein")
    vectors = genes["embedding"].to_numpy().astype(float)
    centred = vectors - vectors.mean(0)
    expected = centred / np.linalg.norm(centred, axis=1, keepdims=True) * FEATURE_RMS * np.sqrt(WIDTH)
    rows = [GRAPH.nodes["node_key"].to_list().index(key) for key in genes["node_key"]]
    mine = found.vectors[np.searchsorted(found.rows, rows)]
    np.testing.assert_allclose(mine, expected, atol=1e-5)
    all_genes = GRAPH.num_of("gene/protein")
    assert found.coverage["gene/protein"] == (len(genes), all_genes)
    assert found.coverage["disease"] == (0, GRAPH.num_of("disease"))
    assert f"gene/protein {len(genes)} of {all_genes}" in found.notes[0]
    assert "none: disease" in found.notes[0]


def test_a_missing_vector_is_told_by_the_flag_and_not_by_its_length(file: Path) -> None:
    found = read_feature_file(file, GRAPH)
    identity = svd_features(GRAPH, 8, seed=0)
    whole = found.beside(identity)
    assert whole.shape == (GRAPH.num_nodes, 8 + WIDTH + 1)
    assert np.array_equal(whole[:, :8], identity)
    present = np.zeros(GRAPH.num_nodes, bool)
    present[found.rows] = True
    assert not whole[present, -1].any()
    assert not whole[~present, 8:-1].any()
    np.testing.assert_allclose(np.linalg.norm(whole[:, 8:], axis=1), FEATURE_RMS * np.sqrt(WIDTH), rtol=1e-5)


def changed(frame: pl.DataFrame, row: int, **values: object) -> pl.DataFrame:
    table = spread(frame)
    return table.with_columns(
        pl.when(pl.int_range(pl.len()) == row).then(pl.lit(value)).otherwise(pl.col(name)).alias(name)
        for name, value in values.items()
    )


def test_what_is_wrong_is_named_with_its_row(tmp_path: Path) -> None:
    frame = some_nodes().drop("node_type", "node_id")
    key = frame["node_key"][4]
    cases = [
        (changed(frame, 4, field_2=float("nan")), rf"row 5 \({key[:4]}.*field_2 is missing, NaN"),
        (changed(frame, 4, field_2=float("inf")), "row 5 .*infinite"),
        (changed(frame, 4, field_2=None), "row 5 .*missing"),
        (changed(frame, 4, node_key=frame["node_key"][1]), "row 5 .*a vector already, in row 2"),
        (frame.with_columns(node_key=pl.col("node_key") + "x"), "knows none of demo's 300 nodes"),
        (frame.drop("node_key"), "no column node_key, nor node_type and node_id"),
        (frame.drop("embedding"), "has no vectors"),
        (frame.head(0), "has no rows"),
        (frame.with_columns(embedding=pl.lit("a")), "expected a list of numbers"),
        (spread(frame).with_columns(name=pl.lit("a")), "column 'name' is String"),
        (
            frame.with_columns(
                pl.col("embedding").arr.to_list().list.head(pl.when(pl.int_range(pl.len()) == 6).then(3).otherwise(5))
            ),
            "row 7 .*has 3 numbers, the first one has 5",
        ),
    ]
    for wrong, message in cases:
        with pytest.raises(InputError, match=message):
            features_of(wrong, tmp_path)
    with pytest.raises(InputError, match="does not exist"):
        read_feature_file(tmp_path / "absent.parquet", GRAPH)
    with pytest.raises(InputError, match="is a folder"):
        added_width(str(tmp_path))
    text = tmp_path / "text.csv"
    as_text(frame).with_columns(pl.col("embedding").str.replace(r"^\[[^,]*", "[abc")).write_csv(text)
    with pytest.raises(InputError, match=r"line 2 .*number 1 of embedding is missing, NaN"):
        read_feature_file(text, GRAPH)


def test_one_type_and_id_for_two_nodes_asks_for_keys(tmp_path: Path) -> None:
    drugs = GRAPH.nodes["node_type"] == "drug"
    twins = replace(
        GRAPH, nodes=GRAPH.nodes.with_columns(node_id=pl.when(drugs).then(pl.lit("1")).otherwise("node_id"))
    )
    frame = some_nodes().head(1).drop("node_key").with_columns(node_id=pl.lit("1"))
    with pytest.raises(InputError, match="several nodes have this type and id"):
        features_of(frame, tmp_path, twins)


def test_unknown_nodes_and_vectors_that_say_nothing_are_left_out_and_noted(tmp_path: Path) -> None:
    frame = spread(some_nodes().drop("node_type", "node_id"))
    more = frame.head(2).with_columns(node_key=pl.concat_str(pl.lit("drug|x|"), "node_key"))
    zero = GRAPH.nodes.filter(node_type="pathway").head(1).select("node_key")
    zero = zero.with_columns(**{name: pl.lit(0.0, pl.Float32) for name in frame.columns[1:]})
    found = features_of(pl.concat([frame, more, zero]), tmp_path)
    assert len(found.rows) == frame.height
    assert any("2 of " in note and "first 'drug|x|" in note for note in found.notes)
    assert any("1 vectors of frame.parquet are zero" in note for note in found.notes)


@pytest.mark.parametrize("identity", ["svd", "learned"])
def test_training_uses_them_and_a_saved_model_has_them_without_the_file(
    identity: str, file: Path, tmp_path: Path
) -> None:
    settings = SETTINGS.but(feature_file=str(file), features=identity)
    notes: list[str] = []
    trained = train(GRAPH, settings, seed=1, on_note=notes.append)
    assert any("Vectors of 5 numbers from features.parquet" in note for note in notes)
    assert trained.features.shape == (GRAPH.num_nodes, 8 + WIDTH + 1)
    assert not np.array_equal(trained.vectors, train(GRAPH, settings.but(feature_file=None), seed=1).vectors)
    save_model(trained, GRAPH, settings, 1, tmp_path / "model")
    file.unlink()
    encoder, _, learnt, _ = load_model(tmp_path / "model")
    kept = load_file_features(tmp_path / "model")
    assert kept is not None
    if learnt is None:
        features = FileFeatures(WIDTH, *kept, {}, "", ()).beside(svd_features(GRAPH, 8, seed=1))
        learnt = torch.from_numpy(features)
    with torch.no_grad():
        np.testing.assert_array_equal(encoder(learnt, build_index(GRAPH)).numpy(), trained.vectors)


def test_a_model_without_a_file_has_none(tmp_path: Path) -> None:
    save_model(train(GRAPH, SETTINGS.but(num_epochs=1), seed=1), GRAPH, SETTINGS, 1, tmp_path)
    assert load_file_features(tmp_path) is None


class _StoppedError(Exception):
    pass


def test_a_stopped_training_ends_bit_for_bit_and_only_with_the_same_file(file: Path, tmp_path: Path) -> None:
    settings, checkpoint = SETTINGS.but(feature_file=str(file)), tmp_path / "training.safetensors"

    def stop(epoch: Epoch) -> None:
        if epoch.number == 3:
            raise _StoppedError

    whole = train(GRAPH, settings, seed=1)
    with pytest.raises(_StoppedError):
        train(GRAPH, settings, seed=1, checkpoint=checkpoint, on_epoch=stop)
    other = tmp_path / "other.parquet"
    pl.read_parquet(file).head(50).write_parquet(other)
    for wrong in (str(other), None):
        with pytest.raises(CheckpointError, match="feature_file is"):
            train(GRAPH, settings.but(feature_file=wrong), seed=1, checkpoint=checkpoint, resume=True)
    moved = tmp_path / "moved.parquet"
    file.rename(moved)
    resumed = train(GRAPH, settings.but(feature_file=str(moved)), seed=1, checkpoint=checkpoint, resume=True)
    assert len(resumed.history) == 4
    np.testing.assert_array_equal(resumed.vectors, whole.vectors)


def embeddings_of(split: Split | None, folder: Path) -> Path:
    """Embeddings as rxweave writes them, trained on this split, or on all facts."""
    graph = GRAPH if split is None else training_graph(GRAPH, split)
    settings = RunSettings(embed=SETTINGS.but(num_epochs=1))
    trained = train(graph, settings.embed, seed=0)
    write_embeddings(describe(trained, settings, split), folder / "made.parquet", folder / "made.csv")
    return folder / "made.parquet"


def test_embeddings_that_have_seen_held_out_pairs_are_no_features(tmp_path: Path) -> None:
    """Those of the whole graph and of another split are refused with the first pair; those of this split are not."""
    split = random_split(GRAPH, seed=0)
    training = training_graph(GRAPH, split)

    def trained_with(path: Path) -> Trained:
        settings = SETTINGS.but(num_epochs=1, feature_file=str(path))
        return train(training, settings, seed=0, held_out=HeldOut.of(split))

    with pytest.raises(LeakError, match=r"made\.parquet: The embeddings were trained on all facts of .*, first '"):
        trained_with(embeddings_of(None, tmp_path))
    with pytest.raises(LeakError, match="were trained on split"):
        trained_with(embeddings_of(random_split(GRAPH, seed=1), tmp_path))
    own = trained_with(embeddings_of(split, tmp_path))
    assert own.from_file is not None
    assert "made.parquet has embeddings that were trained on this very split." in own.from_file.notes
    # Nor is a source hidden behind them: embeddings that a feature file went into are no better than that file.
    made = tmp_path / "made.parquet"
    about = {**pl.read_parquet_metadata(made), FEATURES_KEY: "5ee" + "0" * 61}
    pl.read_parquet(made).write_parquet(tmp_path / "second.parquet", metadata=about)
    second = trained_with(tmp_path / "second.parquet")
    assert second.from_file is not None
    assert any(
        "trained on this very split, with a feature file of their own (SHA-256 5ee000000000)" in note
        and "have not seen the held-out treatments is not proven" in note
        for note in second.from_file.notes
    )
    # A CSV says nothing of where it is from, and that is said.
    copied = trained_with(tmp_path / "made.csv")
    assert copied.from_file is not None
    assert any("have not seen the held-out treatments is not proven" in note for note in copied.from_file.notes)


@pytest.mark.parametrize("identity", ["svd", "learned"])
def test_the_memory_plan_counts_them(identity: str, file: Path) -> None:
    settings = SETTINGS.but(feature_file=str(file), features=identity)
    state = initial_state(
        GRAPH, settings.but(features="learned"), seed=0, num_relations=build_index(GRAPH).num_relations,
        device=torch.device("cpu"), attention="csr", precision="fp32", from_file=read_feature_file(file, GRAPH),
    )  # fmt: skip
    parts = lasting(Sizes(GraphShape.of(GRAPH), settings, "csr", "fp32", added_width(str(file))))
    assert parts["features"] == state.features.nbytes
    assert parts["weights"] == sum(weight.nbytes for name, weight in state.weights().items() if name != "features")
    with_file, without = (
        plan_memory(GRAPH, each, held=0, available=10**15) for each in (settings, settings.but(feature_file=None))
    )
    assert with_file.peak > without.peak


def test_sampled_batches_use_them_too(file: Path) -> None:
    settings = SETTINGS.but(feature_file=str(file), batching="sampled", num_epochs=2)
    assert np.isfinite(train(GRAPH, settings, seed=1).vectors).all()


@pytest.mark.parametrize("identity", ["svd", "learned"])
def test_a_new_node_is_one_without_a_vector(identity: str, file: Path) -> None:
    settings = SETTINGS.but(feature_file=str(file), features=identity)
    given = read_feature_file(file, GRAPH)
    kg = demo_kg(num_nodes=300, num_edges=2500, seed=2)
    gene = kg.nodes.filter(node_type="gene/protein")["node_key"][0]
    node = ["disease|added|N1", "N1", "new fever", "disease", "added"]
    nodes = pl.concat([kg.nodes, pl.DataFrame([node], schema=kg.nodes.schema, orient="row")])
    fact = pl.DataFrame([[node[0], "disease_protein", gene]], schema=kg.edges.columns[:3], orient="row")
    larger = build_graph(replace(kg, nodes=nodes, edges=pl.concat([kg.edges, fact], how="diagonal")))
    own = given.beside(svd_features(GRAPH, 8, seed=1))
    learnt = torch.from_numpy(own) if identity == "learned" else None
    found = features_with_new(GRAPH, larger, settings, seed=1, learnt=learnt, from_file=(given.rows, given.vectors))
    new = found.numpy()[new_rows(GRAPH, larger)]
    assert found.shape == (larger.num_nodes, 8 + WIDTH + 1)
    assert not new[:, 8:-1].any()
    assert new[:, -1] == pytest.approx(FEATURE_RMS * np.sqrt(WIDTH))
    old = np.setdiff1d(np.arange(larger.num_nodes), new_rows(GRAPH, larger))
    assert np.array_equal(found.numpy()[old], own)
