"""Predictions on disk: one table of a small matrix; of a large one the leading pairs, and all pairs by disease."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl

from rxweave.artifacts import atomic_path
from rxweave.graph.build import Graph
from rxweave.graph.pairs import Pairs, pair_codes
from rxweave.rank.matrix import PairScores, Percentiles, predictions_table, write_predictions
from rxweave.rank.model import Ranker
from rxweave.rank.ranker import Progress
from rxweave.rank.whole_matrix import MOST_PAIRS

TOP = 100
"""Drugs of each disease, and diseases of each drug, in the tables of a large matrix."""
MATRIX = "matrix"
INDEX = "index.parquet"
DISEASES_OF_A_FILE = 256


def write_scores(
    ranker: Ranker,
    scores: PairScores,
    graph: Graph,
    known: Pairs,
    output: Path,
    *,
    most: int = MOST_PAIRS,
    progress: Progress | None = None,
) -> tuple[pl.DataFrame, str]:
    """Write the predictions below `output` and give their table, and a line on what is where.

    Of up to `most` pairs `predictions.parquet` and `.csv` hold all (`matrix.write_predictions`). Of more, they hold the
    TOP drugs of each disease, `predictions_by_drug.parquet` the TOP diseases of each drug, and `matrix/` every pair
    (`write_matrix`).
    """
    if scores.treats.size <= most:
        table = predictions_table(ranker, scores, graph, known)
        return table, write_predictions(table, output / "predictions.parquet", output / "predictions.csv").note
    percentiles = Percentiles.of(scores.treats)
    write_matrix(output / MATRIX, ranker, scores, percentiles, graph, known, progress=progress)
    by_drug = predictions_table(ranker, scores, graph, known, top_diseases=TOP, percentiles=percentiles)
    with atomic_path(output / "predictions_by_drug.parquet") as temporary:
        by_drug.write_parquet(temporary)
    table = predictions_table(ranker, scores, graph, known, top_drugs=TOP, percentiles=percentiles)
    note = write_predictions(table, output / "predictions.parquet", output / "predictions.csv").note
    shares = "" if scores.whole is None else f", of which the whole ranker scored {scores.whole.mean():.1%}"
    return table, (
        f"predictions.parquet holds the {TOP} best drugs of each disease, predictions_by_drug.parquet the {TOP} best "
        f"diseases of each drug, {MATRIX}/ all {scores.treats.size:,} pairs{shares}. {note}"
    )


def write_matrix(
    folder: Path,
    ranker: Ranker,
    scores: PairScores,
    percentiles: Percentiles,
    graph: Graph,
    known: Pairs,
    *,
    progress: Progress | None = None,
) -> None:
    """Write every pair, DISEASES_OF_A_FILE diseases to a Parquet file, and `index.parquet`: which disease is in which.

    Columns: `disease_key`, `drug_key`, `score` (the order), `prob_treats`, `prob_not_treat` (with contraindications),
    `percentile_for_disease`, `percentile_for_drug`, `known`, `whole` (false: not on the disease's shortlist, the score
    is that of the first pass). Rows are by disease, then drug, in the graph's order.
    """
    keys = graph.nodes["node_key"]
    drug_keys, disease_keys = keys[graph.rows_of(graph.roles.drug)], keys[graph.rows_of(graph.roles.disease)]
    num_drugs, num_diseases = scores.treats.shape
    recorded = np.zeros(scores.treats.shape, bool)
    recorded.ravel()[pair_codes(known, num_diseases)] = True
    kind = pl.Enum(drug_keys)
    everyone = pl.Series("drug_key", drug_keys).cast(kind)
    places = []
    for start in range(0, num_diseases, DISEASES_OF_A_FILE):
        if progress:
            progress("writing pairs", start / num_diseases)
        here = slice(start, min(start + DISEASES_OF_A_FILE, num_diseases))
        count = here.stop - here.start
        treats = scores.treats[:, here].T.ravel()
        columns = [treats] if scores.not_treat is None else [treats, scores.not_treat[:, here].T.ravel()]
        probabilities = ranker.probabilities(np.stack(columns, axis=1)).astype(np.float32)
        own = pl.Series("disease_key", disease_keys[here])
        data: dict[str, pl.Series | np.ndarray] = {
            "disease_key": own.cast(pl.Enum(own)).gather(np.repeat(np.arange(count), num_drugs)),
            "drug_key": everyone.gather(np.tile(np.arange(num_drugs), count)),
            "score": treats,
            "prob_treats": probabilities[:, 0],
        }
        if scores.not_treat is not None:
            data["prob_not_treat"] = probabilities[:, 1]
        data["percentile_for_disease"] = percentiles.for_disease[:, here].T.ravel()
        data["percentile_for_drug"] = percentiles.for_drug[:, here].T.ravel()
        data["known"] = recorded[:, here].T.ravel()
        data["whole"] = np.ones(len(treats), bool) if scores.whole is None else scores.whole[:, here].T.ravel()
        name = f"diseases_{start:06d}.parquet"
        with atomic_path(folder / name) as temporary:
            pl.DataFrame(data).write_parquet(
                temporary, compression="zstd", compression_level=1, row_group_size=num_drugs * 16
            )
        places += [name] * count
    with atomic_path(folder / INDEX) as temporary:
        pl.DataFrame({"disease_key": disease_keys, "file": places}).write_parquet(temporary)
