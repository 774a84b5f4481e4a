"""What adding a disease without training again costs: hidden diseases added to a run, beside a run that knew them.

python benchmarks/new_nodes.py --kg demo --seeds 3
python benchmarks/new_nodes.py --kg path/to/hetionet --seeds 1

Some diseases with treatments are taken out of the graph, whole, and a run is made without them. They are then added to
it from their facts but those with drugs (`rxweave embed --add`). The other run has the whole graph, holds out the same
treatments, and those of the same other diseases, so it has seen these diseases and their facts but none of their drugs.
Both rank the drugs of the hidden diseases. Vectors of two trainings differ by a rotation at least, so they are compared
after the orthogonal rotation that fits the known nodes best (Schönemann 1966), beside the diseases that both runs knew.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
import polars as pl

from rxweave.added_nodes import Added, add_nodes
from rxweave.embed.treatment_scores import treatment_scores
from rxweave.finished_run import FinishedRun, read_run
from rxweave.graph.build import build_graph
from rxweave.graph.split import treatment_pairs
from rxweave.kg.sources import load_kg
from rxweave.kg.store import write_kg
from rxweave.kg.tables import KnowledgeGraph, keep_nodes
from rxweave.leads import PREDICTIONS
from rxweave.rank.metrics import evaluate_ranking

FEWEST_FACTS = 5
"""Facts beside those with drugs that a hidden disease has at least."""
NEAREST = 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kg", default="demo")
    parser.add_argument("--hide", type=int, default=20, help="diseases with treatments to take out")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--folder", type=Path, default=Path("data/benchmarks/new_nodes"))
    parser.add_argument("-o", dest="options", action="append", default=[], help="settings of both runs")
    parser.add_argument("--jobs", type=int, default=1, choices=(1, 2), help="2: both runs of a seed at a time")
    arguments = parser.parse_args()
    results = []
    for seed in range(arguments.seeds):
        folder = arguments.folder / f"seed{seed}"
        hidden = prepare(load_kg(arguments.kg), arguments.hide, seed, folder)
        without, whole = make_runs(folder, hidden, seed, arguments.options, arguments.jobs)
        results.append({"seed": seed, **compare(folder, hidden, without, whole)})
        print(json.dumps(results[-1]), flush=True)
    names = [name for name in results[0] if name != "seed"]
    for name in names:
        values = np.array([each[name] for each in results], float)
        print(f"{name}: {values.mean():.3f}" + (f" (sd {values.std(ddof=1):.3f})" if len(values) > 1 else ""))


def prepare(kg: KnowledgeGraph, hide: int, seed: int, folder: Path) -> pl.DataFrame:
    """Write the whole graph, the one without some diseases, and their facts as a table; give their treatments."""
    graph = build_graph(kg)
    keys = {role: graph.nodes["node_key"][graph.rows_of(role)] for role in (graph.roles.drug, graph.roles.disease)}
    pairs = treatment_pairs(graph)
    treatments = pl.DataFrame(
        {
            "drug": keys[graph.roles.drug].gather(pairs[:, 0]),
            "disease": keys[graph.roles.disease].gather(pairs[:, 1]),
        }
    )
    drug_keys = keys[graph.roles.drug].implode()
    others = kg.edges.filter(~(pl.col("source_key").is_in(drug_keys) | pl.col("target_key").is_in(drug_keys)))
    ends = pl.concat([others["source_key"], others["target_key"]]).value_counts(name="facts")
    enough = ends.filter(pl.col("facts") >= FEWEST_FACTS)[ends.columns[0]].implode()
    candidates = treatments["disease"].unique().sort()
    candidates = candidates.filter(candidates.is_in(enough))
    chosen = candidates.gather(np.sort(np.random.default_rng(seed).choice(len(candidates), hide, replace=False)))

    is_hidden = [pl.col(end).is_in(chosen.implode()) for end in ("source_key", "target_key")]
    facts = others.filter(is_hidden[0] | is_hidden[1])
    new = pl.when(is_hidden[0]).then("source_key").otherwise("target_key")
    table = facts.with_columns(node_key=new).join(kg.nodes, on="node_key", maintain_order="left")
    table = table.select(
        source="source_key", relation="relation", target="target_key", node_id="node_id", node_type="node_type",
        node_name="node_name", node_source="node_source",
    )  # fmt: skip
    # Ids as they stand in the keys, so that a new node gets the key that it has in the whole graph.
    table = table.with_columns(node_id=facts.select(key=new)["key"].str.splitn("|", 3).struct.field("field_2"))
    # A row describes one new node and names it by its id; the other end may be new as well.
    describing = pl.when(is_hidden[0]).then(pl.lit("source")).otherwise(pl.lit("target"))
    table = table.with_columns(end=facts.select(end=describing)["end"]).with_columns(
        source=pl.when(pl.col("end") == "source").then("node_id").otherwise("source"),
        target=pl.when(pl.col("end") == "target").then("node_id").otherwise("target"),
    )
    folder.mkdir(parents=True, exist_ok=True)
    table.drop("end").write_csv(folder / "hidden.tsv", separator="\t")
    write_kg(kg, folder / "whole_kg")
    write_kg(
        keep_nodes(kg, kg.nodes.filter(~pl.col("node_key").is_in(chosen.implode()))["node_key"]), folder / "part_kg"
    )
    return treatments.filter(pl.col("disease").is_in(chosen.implode()))


def make_runs(folder: Path, hidden: pl.DataFrame, seed: int, options: list[str], jobs: int) -> tuple[Path, Path]:
    """Make the run without the hidden diseases and that with them; both hold out the same of the other diseases."""
    without, whole = folder / "without", folder / "whole"
    if all((out / "08_reporting" / "report.html").is_file() for out in (without, whole)):
        return without, whole  # of an earlier call
    shared = [part for option in ["rank.features.folds_by=disease", *options] for part in ("-o", option)]
    shared += ["--seed", str(seed)]
    held_out = ["--split", "disease", "-o", "split.valid_fraction=0.1", "-o", "split.test_fraction=0.05"]
    first = _start("--kg", folder / "part_kg", "--out", without, *held_out, *shared)
    if jobs == 1:
        first.wait()
    split = _split_of(folder, seed)
    split_folder = folder / "split"
    split_folder.mkdir(exist_ok=True)
    split["valid"].write_csv(split_folder / "valid.csv")
    pl.concat([split["test"], hidden]).write_csv(split_folder / "test.csv")
    second = _start(
        "--kg", folder / "whole_kg", "--out", whole, "--split", "file", "-o", f"split.file={split_folder}", *shared
    )
    for started, out in ((first, without), (second, whole)):
        _finish(started, out)
    return without, whole


def _split_of(folder: Path, seed: int) -> dict[str, pl.DataFrame]:
    """The held-out pairs that `--split disease` takes from the graph without the hidden diseases."""
    from rxweave.config import SplitSettings
    from rxweave.graph.make_split import make_split
    from rxweave.graph.pairs import pair_keys

    graph = build_graph(load_kg(folder / "part_kg"))
    split = make_split(graph, SplitSettings(kind="disease", valid_fraction=0.1, test_fraction=0.05), seed=seed)
    named = {part: pair_keys(graph, getattr(split, part)) for part in ("valid", "test")}
    return {
        part: keys.rename(dict(zip(keys.columns, ("drug", "disease"), strict=True))) for part, keys in named.items()
    }


def _start(*arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "rxweave", "run", *map(str, arguments), "--json"]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def _finish(started: subprocess.Popen[str], out: Path) -> None:
    _, told = started.communicate()
    if started.returncode:
        raise SystemExit(f"the run in {out} ended with {started.returncode}: {told}")


def compare(folder: Path, hidden: pl.DataFrame, without: Path, whole: Path) -> dict[str, float]:
    """Give what both runs say of the hidden diseases: their vectors, and the ranks of their held-out drugs."""
    added, known, full = add_nodes(without, folder / "hidden.tsv"), read_run(without), read_run(whole)
    assert added.predictions is not None
    found = _vectors(added, known, full)
    pairs_of = {"added": added.predictions, "known": pl.read_parquet(whole / PREDICTIONS)}
    for name, predictions in pairs_of.items():
        found |= _ranks(f"ranker, {name}", predictions.rename({"prob_treats": "score"}), hidden)
    # One popularity for both: that of the run that knew the diseases, which holds their treatments out.
    popularity = np.bincount(full.split.train[:, 0], minlength=full.training.num_of(full.training.roles.drug))
    scores = {"decoder, known": treatment_scores(full.embeddings.vectors, full.decoder, full.training)}
    scores["drug popularity"] = np.repeat(popularity[:, None].astype(np.float32), scores["decoder, known"].shape[1], 1)
    for name, matrix in scores.items():
        found |= _ranks(name, _table(matrix, full), hidden)
    both = {row["node_key"]: vector for row, vector in zip(
        [*known.embeddings.nodes.to_dicts(), *added.nodes.to_dicts()],
        [*known.embeddings.vectors, *added.embeddings.vectors], strict=True,
    )}  # fmt: skip
    in_full_order = np.stack([both[key] for key in full.training.nodes["node_key"]])
    graph_of_known = full.training  # same node rows as `in_full_order`; its facts give the relations' weights only
    found |= _ranks(
        "decoder, added", _table(treatment_scores(in_full_order, known.decoder, graph_of_known), full), hidden
    )
    return {name: round(float(value), 4) for name, value in found.items()}


def _vectors(added: Added, known: FinishedRun, full: FinishedRun) -> dict[str, float]:
    place = {key: row for row, key in enumerate(full.training.nodes["node_key"])}
    centre = known.embeddings.vectors.mean(0)
    mine = _unit(known.embeddings.vectors - centre)
    theirs = _unit(full.embeddings.vectors - full.embeddings.vectors.mean(0))
    there = np.array([place[key] for key in known.embeddings.nodes["node_key"]])
    left, _, right = np.linalg.svd(mine.T.astype(float) @ theirs[there])
    turned = mine @ (left @ right)
    new = _unit(added.embeddings.vectors - centre) @ (left @ right)
    new_there = np.array([place[key] for key in added.nodes["node_key"]])
    rows = np.flatnonzero((known.embeddings.nodes["node_type"] == known.training.roles.disease).to_numpy())
    others = theirs[there[rows]]

    def overlap(here: np.ndarray, there: np.ndarray, *, itself: bool) -> float:
        """Share of the nearest known diseases that the two runs agree on."""
        near = []
        for asked, among in ((here, turned[rows]), (there, others)):
            cosine = asked @ among.T
            if itself:
                np.fill_diagonal(cosine, -np.inf)
            near.append(np.argsort(-cosine, axis=1)[:, :NEAREST])
        return float(np.mean([len(set(a) & set(b)) / NEAREST for a, b in zip(*near, strict=True)]))

    return {
        "cosine, added": float((new * theirs[new_there]).sum(1).mean()),
        "cosine, diseases that both runs knew": float((turned[rows] * others).sum(1).mean()),
        "nearest diseases shared, added": overlap(new, theirs[new_there], itself=False),
        "nearest diseases shared, diseases that both runs knew": overlap(turned[rows], others, itself=True),
    }


def _unit(vectors: np.ndarray) -> np.ndarray:
    unit: np.ndarray = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    return unit


def _table(matrix: np.ndarray, run: FinishedRun) -> pl.DataFrame:
    graph = run.training
    drugs, diseases = (graph.nodes["node_key"][graph.rows_of(role)] for role in (graph.roles.drug, graph.roles.disease))
    drug, disease = np.divmod(np.arange(matrix.size), matrix.shape[1])
    keys = {"drug_key": drugs.gather(drug), "disease_key": diseases.gather(disease)}
    return pl.DataFrame({**keys, "score": matrix.ravel()})


def _ranks(name: str, scored: pl.DataFrame, hidden: pl.DataFrame) -> dict[str, float]:
    """Metrics of the hidden diseases' treatments among all drugs that both runs know."""
    diseases = hidden["disease"].unique().sort()
    rows = scored.filter(pl.col("disease_key").is_in(diseases.implode()))
    matrix = rows.pivot("disease_key", index="drug_key", values="score").sort("drug_key")
    drugs = {key: row for row, key in enumerate(matrix["drug_key"])}
    columns = {key: column for column, key in enumerate(diseases)}
    pairs = np.array([(drugs[drug], columns[disease]) for drug, disease in hidden.iter_rows()])
    scores = matrix.select(diseases.to_list()).to_numpy().astype(np.float32)
    side = asdict(evaluate_ranking(scores, pairs, pairs, seed=0, num_bootstraps=10).drugs_given_disease)
    wanted = {"MRR": "mrr", "recall at 50": "recall_at_50", "macro AUPRC": "macro_auprc"}
    return {f"{name}: {what}": side[field]["value"] for what, field in wanted.items()}


if __name__ == "__main__":
    main()
