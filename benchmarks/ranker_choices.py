"""What other choices than a finished run's would do to its ranker: `python benchmarks/ranker_choices.py --run DIR`.

Shortlists of several lengths in place of asking the whole ranker about every pair, and feature groups that are off by
default added one at a time, the ranker fitted again. A line for each, on the validation treatments (test treatments
counted as unknown) and on the test treatments. The embeddings of the run must carry `treatment_weights`, as all do that
this rxweave writes.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np

from rxweave.config import FROM_EMBEDDINGS
from rxweave.errors import RxweaveError
from rxweave.finished_run import FinishedRun, read_ranker, read_run
from rxweave.rank.matrix import score_pairs
from rxweave.rank.metrics import evaluate_ranking
from rxweave.rank.refit import refit_scores
from rxweave.rank.whole_matrix import score_whole_matrix

SHORTLISTS = (50, 100, 200)


def tell(name: str, scores: np.ndarray, run: FinishedRun) -> None:
    """Print a row of a Markdown table for each part of the split."""
    split = run.split
    for part, asked, known in (("valid", split.valid, split.before_test), ("test", split.test, split.known)):
        found = evaluate_ranking(scores, asked, known, seed=run.seed)
        disease, drug = found.diseases_given_drug, found.drugs_given_disease
        values = (disease.mrr, disease.hits_at_10, drug.mrr, drug.recall_at_50, found.auprc)
        print(f"| {name} | {part} | {' | '.join(f'{value.value:.3f}' for value in values)} |", flush=True)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, required=True, help="output folder of `rxweave run`")
    asked = parser.parse_args()
    try:
        run, ranker = read_run(asked.run), read_ranker(asked.run)
    except RxweaveError as error:
        sys.exit(f"ranker_choices.py: --run: {error}")
    features = ranker.features(run.training, run.embeddings)
    print("| ranker | part | disease MRR | Hits@10 | drug MRR | Recall@50 | AUPRC |\n|---|---|---|---|---|---|---|")
    tell("as it is", score_pairs(ranker, features).treats, run)
    for length in SHORTLISTS:
        with tempfile.TemporaryDirectory() as folder:
            found = score_whole_matrix(ranker, features, Path(folder), shortlist=length)
        tell(f"shortlists of {length}", found.treats, run)
    own = ranker.settings
    for group in (each for each in FROM_EMBEDDINGS if each not in own.features.groups):
        more = own.but(features=own.features.but(groups=(*own.features.groups, group)))
        tell(f"and {group}", refit_scores(run.training, run.split, run.embeddings, more, seed=run.seed), run)


if __name__ == "__main__":
    main()
