"""Do explanations hold? Held against the mechanisms that the demo was drawn from, and against the ranker's own scores.

python benchmarks/explanations.py --seeds 5
python benchmarks/explanations.py --run runs/hetionet    # only how long the paths of a pair of a finished run take

For each seed a demo graph, a ranker without embeddings, and its held-out treatments. *Truth*: how often a gene of a
mechanism that drug and disease share is on the five best paths, on five paths of the pair drawn at random, and among as
many genes drawn at random as are on the best paths. *Faithfulness*: how much the score falls, in log-odds, when the
facts of the five best paths leave the training graph, or as many random facts of the same relations, or the facts of
five random paths of the pair. The tests do the same on fewer pairs (`tests/explain/test_explanations_hold.py`).
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "explain"))

from demo_explained import Demo, any_five

from rxweave.explain.order import best_paths
from rxweave.explain.paths import paths_of_pair
from rxweave.finished_run import RANKER, read_run
from rxweave.kg.demo import GENE
from rxweave.rank.model import Ranker


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--num-nodes", type=int, default=3000)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--pairs", type=int, default=40, help="held-out treatments whose score is made again")
    parser.add_argument("--run", type=Path, help="output folder of rxweave run: time the paths of its pairs, no more")
    arguments = parser.parse_args()
    if arguments.run:
        print(path_seconds(arguments.run))
        return
    for seed in range(arguments.seeds):
        demo, rng = Demo.of(arguments.num_nodes, seed), np.random.default_rng(seed)
        print(f"demo of {arguments.num_nodes} nodes, seed {seed}: {truth(demo, rng)}", flush=True)
        print(f"  {faithfulness(demo, demo.test[rng.permutation(len(demo.test))[: arguments.pairs]], rng)}", flush=True)


def truth(demo: Demo, rng: np.random.Generator) -> str:
    found: dict[str, list[list[bool]]] = {"best five": [], "any five": [], "random genes": []}
    for pair in demo.test:
        mechanisms = demo.shared_mechanisms(pair)
        if not mechanisms:
            continue
        kinds = demo.kinds(pair)
        best = demo.genes_on(best_paths(kinds, 5))
        random = rng.integers(0, demo.training.num_of(GENE), len(best)).tolist()
        for which, genes in zip(found, (best, demo.genes_on(any_five(kinds, rng)), random), strict=True):
            found[which].append([bool(demo.mechanisms_of(GENE, gene) & mechanisms) for gene in genes])
    told = [
        f"{which} {np.mean([any(genes) for genes in each]):.3f} (genes right {np.mean(np.concatenate(each)):.3f}, "
        f"{np.mean([len(genes) for genes in each]):.1f} a pair)"
        for which, each in found.items()
    ]
    pairs = len(found["best five"])
    return f"{pairs} pairs, {len(demo.test) - pairs} without a shared mechanism left out; {'; '.join(told)}"


def faithfulness(demo: Demo, pairs: np.ndarray, rng: np.random.Generator) -> str:
    falls: list[tuple[float, float, float]] = []
    for pair in pairs:
        kinds, asked = demo.kinds(pair), pair[None]
        facts = demo.facts_on(best_paths(kinds, 5))
        before = demo.scores(demo.training, asked)[0]
        gone = (facts, demo.random_facts(facts, rng), demo.facts_on(any_five(kinds, rng)))
        falls.append(tuple(float(before - demo.scores(demo.without(each), asked)[0]) for each in gone))
    best, random, other = np.mean(falls, axis=0)
    more = np.mean([fall[0] > fall[1] for fall in falls])
    return (
        f"{len(pairs)} pairs, fall without best five {best:.3f}, random facts {random:.3f}, any five {other:.3f}; "
        f"best five fall more than random facts in {more:.3f} of pairs"
    )


def path_seconds(folder: Path) -> str:
    """How long finding and ordering the paths takes, for 300 random pairs and every held-out treatment."""
    run, ranker = read_run(folder), Ranker.load(folder / RANKER)
    features = ranker.features(run.training, run.embeddings)
    matrices = {**features.steps, **features.by_fold[None].steps}
    metapaths = [*features.fixed_paths, *features.varying_paths]
    rng = np.random.default_rng(0)
    random = np.stack([rng.integers(0, count, 300) for count in (features.num_drugs, features.num_diseases)], axis=1)
    seconds, num_walks = [], []
    for drug, disease in np.concatenate([random, run.split.held_out]).tolist():
        started = time.perf_counter()
        kinds = paths_of_pair(matrices, metapaths, drug, disease)
        best_paths(kinds, 10)
        seconds.append(time.perf_counter() - started)
        num_walks.append(sum(kind.num_walks for kind in kinds))
    return (
        f"{len(seconds)} pairs, {len(metapaths)} metapaths: median {np.median(seconds):.3f} s, "
        f"longest {max(seconds):.3f} s; walks median {np.median(num_walks):,.0f}, most {max(num_walks):,}"
    )


if __name__ == "__main__":
    main()
