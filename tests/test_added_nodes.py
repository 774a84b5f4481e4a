"""`rxweave embed --add`: new nodes embedded and ranked by a finished run, and the run left exactly as it was."""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from rxweave import pipeline
from rxweave.added_nodes import Added, add_nodes
from rxweave.cli import main
from rxweave.config import RankSettings
from rxweave.errors import InputError, LeakError
from rxweave.finished_run import EMBEDDINGS, FinishedRun, read_run
from rxweave.graph.build import build_graph
from rxweave.graph.split import Split, random_split, training_graph
from rxweave.graph.split_kinds import disease_split, drug_split
from rxweave.kg.demo import demo_kg
from rxweave.leads import PREDICTIONS
from rxweave.rank.extend import ranker_for
from rxweave.rank.matrix import score_pairs
from rxweave.rank.ranker import fit_ranker
from rxweave.settings import settings_from
from rxweave.validate.read import read_embeddings

OPTIONS = [
    "embed.embedding_dim=32",
    "embed.hidden_dim=32",
    "embed.feature_dim=32",
    "embed.num_epochs=12",
    "embed.learning_rate=0.003",
    "rank.num_trees=10",
    "rank.num_draws=2",
    "embed.accumulation_steps=1",
    "embed.device=cpu",
]
QUICKER = ["embed.num_epochs=4", "rank.num_draws=1", "rank.features.groups=degrees", "rank.bilinear_weight=0"]
HEADER = "source\trelation\ttarget\tnode_id\tnode_type\tnode_name"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("run")
    assert pipeline.run(settings_from({"load.kg": "demo:600"}, OPTIONS), out).predictions is not None
    return out


@pytest.fixture(scope="module")
def run(made: Path) -> FinishedRun:
    return read_run(made)


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    shutil.copytree(made, tmp_path / "copy")
    return tmp_path / "copy"


def write(path: Path, *rows: tuple[str, ...]) -> Path:
    path.write_text("\n".join([HEADER, *("\t".join(row) for row in rows)]) + "\n")
    return path


def facts_like(run: FinishedRun, key: str, new: str, name: str) -> list[tuple[str, ...]]:
    """The facts of a node in the training graph, but those of drugs with diseases, as those of a new node."""
    graph, rows = run.training, []
    keys = graph.nodes["node_key"].to_list()
    for r, relation in enumerate(graph.relations):
        if r in graph.drug_disease_relations():
            continue
        for source, target in graph.facts[r].T:
            ends = [keys[source], keys[target]]
            if key in ends and ends[0] != ends[1]:
                swapped = [new if end == key else end for end in ends]
                rows.append((swapped[0], relation.name, swapped[1], new, key.split("|")[0], name))
    return rows


def busiest(run: FinishedRun, node_type: str) -> str:
    rows = run.training.rows_of(node_type)
    return str(run.training.nodes["node_key"][rows.start + int(np.argmax(run.training.degrees[rows]))])


@pytest.fixture
def table(run: FinishedRun, tmp_path: Path) -> Path:
    """A new disease and a new drug, each with the facts of a known one; the drug is known for the disease."""
    disease = facts_like(run, busiest(run, "disease"), "D1", "new fever")
    drug = facts_like(run, busiest(run, "drug"), "C1", "newdrugin")
    return write(tmp_path / "new.tsv", *disease, *drug, ("C1", "indication", "D1", "", "", ""))


def checksums(folder: Path) -> dict[str, str]:
    files = [path for path in folder.rglob("*") if path.is_file() and "added" not in path.parts]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_new_nodes_get_embeddings_and_predictions_and_the_run_stays_as_it_was(
    folder: Path, table: Path, run: FinishedRun
) -> None:
    before = checksums(folder)
    added = add_nodes(folder, table)
    assert checksums(folder) == before
    assert added.embeddings_file == folder / EMBEDDINGS / "added" / "new.parquet"
    written = pl.read_parquet(added.embeddings_file)
    own = pl.read_parquet(folder / EMBEDDINGS / "hgt_embeddings.parquet")
    assert written.schema == own.schema
    assert sorted(written["node_key"]) == ["disease|added|D1", "drug|added|C1"]
    about = read_embeddings(added.embeddings_file).metadata
    assert about["split"] == run.embeddings.metadata["split"]
    assert about["added_from"] == "new.tsv"
    assert about["added_sha256"] == hashlib.sha256(table.read_bytes()).hexdigest()


def test_predictions_are_of_every_pair_of_a_new_node_in_the_runs_own_columns(folder: Path, table: Path) -> None:
    added = add_nodes(folder, table)
    assert added.predictions_file is not None
    found, own = pl.read_parquet(added.predictions_file), pl.read_parquet(folder / PREDICTIONS)
    assert found.schema == own.schema
    num_drugs, num_diseases = own["drug_key"].n_unique(), own["disease_key"].n_unique()
    assert len(found) == num_drugs + num_diseases + 1
    assert found["rank"].to_list() == list(range(1, len(found) + 1))
    assert found["prob_treats"].is_sorted(descending=True)
    total = found.select(pl.sum_horizontal("prob_treats", "prob_not_treat", "prob_unknown"))
    assert total.to_series().to_numpy() == pytest.approx(1, abs=1e-5)
    assert found.filter("known").select("drug_name", "disease_name").rows() == [("newdrugin", "new fever")]
    assert len(pl.read_csv(added.predictions_file.with_suffix(".csv"))) == len(found)
    assert found.filter(disease_name="new fever")["percentile_for_disease"].max() == 100

    one = found.filter(disease_name="new fever").row(7, named=True)
    theirs = own.filter(drug_key=one["drug_key"])["prob_treats"].to_numpy()
    asked = np.float32(one["prob_treats"])
    expected = 100 * ((theirs < asked).mean() + (theirs == asked).mean() / 2)
    assert one["percentile_for_drug"] == pytest.approx(expected, abs=1e-3)


def test_percentiles_among_pairs_that_the_run_has_not_kept_are_missing(folder: Path, table: Path) -> None:
    pl.read_parquet(folder / PREDICTIONS).head(500).write_parquet(folder / PREDICTIONS)
    found = add_nodes(folder, table).predictions
    assert found is not None
    new_disease = found.filter(disease_name="new fever")
    assert (
        new_disease.filter(pl.col("drug_name") != "newdrugin")["percentile_for_drug"].null_count()
        == len(new_disease) - 1
    )
    assert not new_disease["percentile_for_disease"].null_count()


def test_a_new_disease_lies_and_ranks_near_the_known_one_that_it_repeats(
    folder: Path, run: FinishedRun, tmp_path: Path
) -> None:
    """The known one has treatments too, so they cannot agree in full."""
    key = busiest(run, "disease")
    added = add_nodes(folder, write(tmp_path / "twin.tsv", *facts_like(run, key, "D1", "new fever")))
    own = pl.read_parquet(folder / PREDICTIONS)
    assert added.predictions is not None
    new = added.predictions.sort("drug_key")["prob_treats"].rank().to_numpy()
    like = {
        other: float(np.corrcoef(new, pairs.sort("drug_key")["prob_treats"].rank().to_numpy())[0, 1])
        for (other,), pairs in own.partition_by("disease_key", as_dict=True).items()
    }
    assert like[key] > 0.5
    assert like[key] > np.median(list(like.values()))
    rows = run.training.rows_of("disease")
    diseases = run.embeddings.vectors[rows]
    cosine = diseases @ added.embeddings.vectors[0] / np.linalg.norm(diseases, axis=1)
    assert run.training.nodes["node_key"][rows.start + int(np.argmax(cosine))] == key
    assert any("--split disease" in note for note in added.notes)


def test_adding_twice_gives_the_same_and_order_of_rows_does_not_matter(folder: Path, table: Path) -> None:
    first = add_nodes(folder, table)
    lines = table.read_text().splitlines()
    table.write_text("\n".join([lines[0], *sorted(lines[1:], reverse=True)]) + "\n")
    again = add_nodes(folder, table)
    assert first.predictions is not None
    assert first.predictions.equals(again.predictions)
    assert np.array_equal(first.embeddings.vectors, again.embeddings.vectors)


def test_a_new_gene_is_embedded_and_nothing_is_ranked(folder: Path, run: FinishedRun, tmp_path: Path) -> None:
    rows = facts_like(run, busiest(run, "gene/protein"), "G1", "NEWG1")
    added = add_nodes(folder, write(tmp_path / "gene.tsv", *rows))
    assert added.predictions is None
    assert added.predictions_file is None
    assert "nothing to rank" in added.notes[-1]
    assert len(added.embeddings.vectors) == 1


def test_a_run_that_collapsed_embeds_and_says_that_it_cannot_rank(folder: Path, table: Path) -> None:
    shutil.rmtree(folder / "06_models" / "ranker")
    added = add_nodes(folder, table)
    assert added.predictions is None
    assert "no ranker" in added.notes[0]


def test_a_namesake_cannot_bring_a_held_out_pair_back(
    folder: Path, run: FinishedRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second name is refused when the table is read; were it not, the leak guard would refuse it."""
    drug, disease = run.split.test[0]
    graph = run.training
    drugs, diseases = graph.rows_of("drug"), graph.rows_of("disease")
    drug_key = graph.nodes["node_key"][drugs.start + int(drug)]
    hidden = graph.nodes.row(diseases.start + int(disease), named=True)
    rows = [(drug_key, "indication", "D1", "D1", "disease", hidden["node_name"])]
    file = write(tmp_path / "new.tsv", *rows)
    with pytest.raises(InputError, match="already, as"):
        add_nodes(folder, file)
    monkeypatch.setattr("rxweave.kg.added._check_new", lambda new, kg: None)
    with pytest.raises(LeakError, match="namesakes of a held-out"):
        add_nodes(folder, file)


def test_relations_and_neighbours_that_the_model_knows_nothing_of_are_refused(
    folder: Path, run: FinishedRun, tmp_path: Path
) -> None:
    edges = folder / "02_graph" / "demo" / "edges.parquet"
    gene = run.training.nodes.filter(node_type="gene/protein")["node_key"][0]
    file = write(tmp_path / "new.tsv", ("D1", "disease_protein", gene, "D1", "disease", "new fever"))
    whole = pl.read_parquet(edges)
    whole.filter((pl.col("source_key") != gene) & (pl.col("target_key") != gene)).write_parquet(edges)
    with pytest.raises(InputError, match="nothing is known of its place"):
        add_nodes(folder, file)
    whole.filter(pl.col("relation") != "disease_protein").write_parquet(edges)
    with pytest.raises(InputError, match="learnt nothing of it"):
        add_nodes(folder, file)


@pytest.mark.slow
def test_a_new_run_in_the_same_folder_takes_the_additions_away(folder: Path, table: Path) -> None:
    add_nodes(folder, table)
    pipeline.run(settings_from({"load.kg": "demo:600", "seed": 1}, [*OPTIONS, *QUICKER]), folder)
    assert not list(folder.rglob("added/*.*"))


@pytest.mark.parametrize("held_out", [random_split, disease_split, drug_split])
def test_a_ranker_for_more_nodes_scores_known_pairs_as_before(held_out: Callable[..., Split]) -> None:
    """The models are asked about the same pairs, although these have other numbers; new nodes bring no facts here."""
    kg = demo_kg(num_nodes=400, num_edges=4000, seed=3)
    graph = build_graph(kg)
    split = held_out(graph, seed=0)
    training = training_graph(graph, split)
    settings = RankSettings(num_trees=5, num_draws=2, features={"groups": ("degrees", "paths")})
    ranker = fit_ranker(training, split, None, settings, seed=0)
    more = pl.DataFrame(
        {
            "node_key": ["disease|A|1", "drug|A|1"],
            "node_id": ["1", "1"],
            "node_name": ["a new disease", "a new drug"],
            "node_type": ["disease", "drug"],
            "node_source": ["A", "A"],
        }
    )
    larger = build_graph(replace(kg, nodes=pl.concat([kg.nodes, more])))
    wide = training_graph(larger, split)
    assert wide.nodes["node_key"][wide.rows_of("disease")][0] == "disease|A|1", "numbers of all diseases move"
    with pytest.raises(InputError, match="not those that the ranker was fitted on"):
        ranker.features(wide, None)
    with pytest.raises(InputError, match="not those that the ranker was fitted on"):
        ranker_for(ranker, wide, wide, None)
    moved = ranker_for(ranker, training, wide, None)
    assert moved.bilinear is not None
    assert (moved.bilinear.even is None) == (held_out is random_split)
    before = score_pairs(ranker, ranker.features(training, None)).treats
    after = score_pairs(moved, moved.features(wide, None)).treats
    drugs = wide.nodes["node_key"][wide.rows_of("drug")] != "drug|A|1"
    np.testing.assert_allclose(after[drugs.to_numpy(), 1:], before, atol=1e-6)
    with pytest.raises(LeakError, match="held-out"):
        moved.features(larger, None)


def rxweave(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["rxweave", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


def test_the_command_shows_the_best_pairs_writes_them_and_speaks_json(
    folder: Path, table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    csv = tmp_path / "pairs.csv"
    asked = ("embed", "--run", folder, "--add", table, "--top", 3)
    assert rxweave(monkeypatch, *asked, "--csv", csv) == 0
    told = capsys.readouterr().out
    assert "2 new nodes" in told
    assert "new fever: the best 3 drugs" in told
    assert "newdrugin: the best 3 diseases" in told
    assert "not medical advice" in told
    assert rxweave(monkeypatch, *asked, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert [len(each["pairs"]) for each in found["best"]] == [3, 3]
    assert len(pl.read_csv(csv)) == len(pl.read_parquet(found["predictions_file"]))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--add", "new.tsv"), "belong together"),
        (("--run", "data"), "belong together"),
        (("--run", "data", "--add", "new.tsv", "--num-epochs", "3"), "embed.num_epochs"),
        (("kg.csv", "out.csv", "--run", "data", "--add", "new.tsv"), "a graph"),
        (("--run", "data", "--add", "new.tsv", "--fit"), "trains nothing"),
        ((), "Give a graph and the CSV"),
        (("kg.csv", "out.csv", "--csv", "x.csv"), "--csv belongs to --add"),
    ],
)
def test_options_that_do_not_belong_together_are_refused(
    arguments: tuple[str, ...], message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert rxweave(monkeypatch, "embed", *arguments) == 2
    assert message in " ".join(capsys.readouterr().err.split())


def test_a_wrong_row_ends_with_its_line_and_exit_code_2(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write(tmp_path / "new.tsv", ("D1", "disease_protien", "x", "D1", "disease", "new fever"))
    assert rxweave(monkeypatch, "embed", "--run", folder, "--add", file) == 2
    told = capsys.readouterr().err
    assert "new.tsv, line 2" in told
    assert "Closest: 'disease_protein'" in told
    assert not list(folder.rglob("added"))


def test_added_is_a_public_name() -> None:
    import rxweave as package

    assert package.add_nodes is add_nodes
    assert package.Added is Added
