"""The ablation of a finished run: computed from its folder, and written into it."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from rxweave import __version__
from rxweave.artifacts import atomic_path, write_json
from rxweave.errors import InputError
from rxweave.finished_run import read_ranker, read_run
from rxweave.rank.ablation import SCHEMA, ablate
from rxweave.watch import Watch

TABLE, NUMBERS = "07_model_output/ablation.parquet", "07_model_output/ablation.json"


def ablate_run(folder: Path, *, watch: Watch | None = None) -> pl.DataFrame:
    """Give the table of `rank.ablation.ablate` for a finished run, written into its folder too, as Parquet and JSON.

    The ranker's own settings and seed are used. Raises InputError for a folder without a whole run or whose run ranked
    nothing, and as `ablate` does.
    """
    watch = watch or Watch()
    watch.stage("read")
    run = read_run(folder)
    ranker = read_ranker(folder)
    watch.stage("ablation")
    found = ablate(run.training, run.split, run.embeddings, ranker.settings, seed=ranker.seed, progress=watch.progress)
    with atomic_path(folder / TABLE) as temporary:
        found.write_parquet(temporary, metadata={"rxweave": __version__, "seed": str(ranker.seed)})
    write_json(
        folder / NUMBERS,
        {
            "rxweave": __version__,
            "seed": ranker.seed,
            "settings": ranker.settings.model_dump(mode="json"),
            "rows": found.to_dicts(),
        },
    )
    return found


def read_ablation(folder: Path) -> pl.DataFrame | None:
    """Give the ablation that lies in a run's folder, None where there is none; raises InputError for a damaged one."""
    path = folder / TABLE
    if not path.is_file():
        return None
    try:
        return pl.read_parquet(path).select(*SCHEMA)
    except pl.exceptions.PolarsError as error:
        raise InputError(f"{path} is no ablation: {error}. Make it again: rxweave ablation --run {folder}.") from error
