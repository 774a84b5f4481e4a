"""Compare training recipes by what their embeddings rank on their own: `python benchmarks/recipes.py --kg FOLDER`.

Each recipe runs in a process of its own (so that peak memory is its own) on the same split, and gives one row of a
Markdown table: the decoder's filtered ranks of the held-out treatments beside the degree prior, the effective rank of
drugs and diseases, processor seconds and peak memory. Recipes are selected on the validation part, the default; ask
for `--part test` only to report the one that was selected. `--run DIR` gives the row of a finished `rxweave run` in
place of training anything.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

    from rxweave.graph.split import Split

_SHORT = ["embed.learning_rate=0.003", "embed.num_epochs=60"]
_HALF = ["embed.learning_rate=0.003", "embed.num_epochs=30"]
RECIPES: dict[str, list[str]] = {
    "short: lr 0.003, 60 epochs": _SHORT,
    "short, constant features": [*_SHORT, "embed.features=constant"],
    "default: lr 0.001, 100 epochs": [],
    "short, no dropout": [*_SHORT, "embed.dropout=0"],
    "short, 10 % of the facts scored": [*_SHORT, "embed.masked_share=0.1"],
    "short, treatments weigh 10": [*_SHORT, "embed.treatment_weight=10"],
    "short, relations weigh by their facts": [*_SHORT, "embed.relation_balance=0"],
    "short, 64 negatives for treatments too": [*_SHORT, "embed.num_treatment_negatives=64"],
    "short, 512 negatives for all": [*_SHORT, "embed.num_negatives=512"],
    "short, lr 0.001": ["embed.num_epochs=60"],
    "short, lr 0.008": ["embed.num_epochs=60", "embed.learning_rate=0.008"],
    "short, weight decay 0.01": [*_SHORT, "embed.weight_decay=0.01"],
    "30 epochs, whole graph": _HALF,
    "30 epochs, no contrastive term": [*_HALF, "embed.contrastive_weight=0"],
    "30 epochs, edge dropout 0.3": [*_HALF, "embed.edge_dropout=0.3"],
    "30 epochs, learned features": [*_HALF, "embed.features=learned"],
    "30 epochs, treatments weigh 1": [*_HALF, "embed.treatment_weight=1"],
    "30 epochs, one layer": [*_HALF, "embed.num_layers=1"],
    "30 epochs, 10 neighbours": [*_HALF, "embed.batching=sampled"],
    "30 epochs, 10 then 3 neighbours": [*_HALF, "embed.batching=sampled", "embed.num_neighbours=10,3"],
}
COLUMNS = ("disease MRR", "Hits@10", "drug MRR", "Recall@50", "AUPRC", "AUROC", "rank drugs", "rank diseases")


def measure(kg: str, seed: int, part: str, overrides: list[str]) -> dict[str, object]:
    """Train one recipe and rank the held-out treatments with its decoder."""
    from rxweave import make_split, train, training_graph
    from rxweave.pipeline import load
    from rxweave.rank.baselines import degree_prior
    from rxweave.rank.decoder_scores import decoder_scores
    from rxweave.settings import settings_from
    from rxweave.workspace import peak_memory

    settings = settings_from({"load.kg": kg, "seed": seed}, overrides)
    _, graph = load(settings)
    split = make_split(graph, settings.split, seed=settings.seed)
    training = training_graph(graph, split)
    wall, processor = time.perf_counter(), time.process_time()
    trained = train(training, settings.embed, seed=settings.seed)
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    peak = peak_memory()
    scores = decoder_scores(trained, training)
    prior = degree_prior(split.train, *scores.shape)
    rows = {
        name: told(matrix, split, part, settings.seed)
        for name, matrix in (("decoder", scores), ("degree prior", prior))
    }
    ranks = trained.history[-1].effective_rank
    rows["decoder"] += [round(ranks[graph.roles.drug]), round(ranks[graph.roles.disease])]
    return {
        "rows": rows,
        "seconds": round(wall),
        "cpu_seconds": round(processor),
        "peak_gb": round(peak / 1e9, 2),
    }


def told(scores: np.ndarray, split: Split, part: str, seed: int) -> list[float]:
    """Give the first six columns of a row."""
    from rxweave import evaluate_ranking

    asked = split.valid if part == "valid" else split.test
    found = evaluate_ranking(scores, asked, split.known, seed=seed)
    disease, drug = found.diseases_given_drug, found.drugs_given_disease
    estimates = (disease.mrr, disease.hits_at_10, drug.mrr, drug.recall_at_50, found.auprc, found.auroc)
    return [round(estimate.value, 3) for estimate in estimates]


def of_run(folder: Path, part: str) -> str:
    """Give the row of a finished run, without what only its training knew."""
    from rxweave.embed.treatment_scores import scores_as_told
    from rxweave.finished_run import read_run

    run = read_run(folder)
    scores = scores_as_told(run.embeddings.vectors, run.embeddings.metadata, run.training)
    return f"| {folder} | {' | '.join(map(str, told(scores, run.split, part, run.seed)))} | | | | | |"


def _stop_without_graph(kg: str) -> None:
    from rxweave.kg.files import missing_path

    if kg.partition(":")[0] != "demo" and not Path(kg).exists():
        sys.exit(f"recipes.py: --kg: {missing_path(Path(kg))}")


def _measure_or_stop(kg: str, seed: int, part: str, overrides: list[str]) -> dict[str, object]:
    from rxweave.errors import RxweaveError

    try:
        return measure(kg, seed, part, overrides)
    except RxweaveError as error:
        sys.exit(f"recipes.py: {error}")


def _of_run_or_stop(folder: Path, part: str) -> str:
    from rxweave.errors import RxweaveError

    try:
        return of_run(folder, part)
    except RxweaveError as error:
        sys.exit(f"recipes.py: --run: {error}")


def main() -> None:
    """Run the recipes one after another and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kg", default="../shared/data/hetionet")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--part", choices=("valid", "test"), default="valid")
    parser.add_argument("--recipe", action="append", choices=list(RECIPES), help="all by default")
    parser.add_argument("--set", action="append", default=[], help="a setting for every recipe, stage.name=value")
    parser.add_argument("--run", type=Path, action="append", help="a finished run's folder, in place of recipes")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.one is not None:
        print(json.dumps(_measure_or_stop(asked.kg, asked.seed, asked.part, json.loads(asked.one))))
        return
    if asked.run:
        for folder in asked.run:
            print(_of_run_or_stop(folder, asked.part))
        return
    _stop_without_graph(asked.kg)
    prior_told = False
    for name in asked.recipe or RECIPES:
        command = [sys.executable, __file__, "--kg", asked.kg, "--seed", str(asked.seed), "--part", asked.part]
        command += ["--one", json.dumps([*RECIPES[name], *asked.set])]
        done = subprocess.run(command, check=False, stdout=subprocess.PIPE, text=True)
        if done.returncode:  # the child has said why on standard error
            sys.exit(done.returncode)
        found = json.loads(done.stdout)
        if not prior_told:
            print("| recipe |", " | ".join(COLUMNS), "| wall s | CPU s | peak GB |")
            print("|---" * (len(COLUMNS) + 4) + "|")
            print("| degree prior |", " | ".join(map(str, found["rows"]["degree prior"])), "| | | | | |", flush=True)
            prior_told = True
        cost = f"| {found['seconds']} | {found['cpu_seconds']} | {found['peak_gb']} |"
        print(f"| {name} |", " | ".join(map(str, found["rows"]["decoder"])), cost, flush=True)


if __name__ == "__main__":
    main()
