"""Finished runs whose embeddings are used instead of trained again: which seed each is for, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from rxweave.benchmark.quality.vectors import FILE
from rxweave.config import EmbedSettings
from rxweave.embed.feature_file import FEATURES_KEY, file_sha256
from rxweave.errors import ConfigError, InputError, LeakError
from rxweave.finished_run import EMBEDDINGS
from rxweave.graph.build import Graph
from rxweave.graph.leaks import SPLIT_KEY, check_no_leaks_in_embeddings, split_fingerprint
from rxweave.graph.split import Split

WITHOUT_EFFECT = {
    "device", "memory_limit_gb", "checkpoint_every", "measure_every", "attention", "precision", "on_collapse",
}  # fmt: skip
"""Settings of training that change its vectors by rounding at most; `measure_every` only without early stopping."""


FOLDS_OF_RUNS = (
    " Of k folds, seed N tests fold N modulo k of the set that seed N // k draws (or --split-seed): of 5, that of seed "
    "3 is made by rxweave run --split folds --seed 0 -o split.fold=3."
)


def decisive(embed: EmbedSettings) -> dict[str, Any]:
    """Give the settings that a training's vectors depend on, as plain values.

    Under early stopping it is measurements that end a training and choose the epoch kept, so how often they are made
    is one of them.
    """
    stops = embed.early_stopping is not None
    return embed.model_dump(mode="json", exclude=WITHOUT_EFFECT - {"measure_every"} if stops else WITHOUT_EFFECT)


def find_runs(
    folders: Sequence[Path],
    splits: Mapping[int, Split],
    graph: Graph,
    settings: EmbedSettings,
    *,
    folds: bool = False,
) -> dict[int, Path]:
    """Give, for the seeds there is one for, the folder of the embeddings to be used, of these finished runs.

    Which seed a run is for is decided by the fingerprint of its split and the seed of its training, both from the
    metadata of its embeddings; of `folds` by the fingerprint alone, since `rxweave run` draws the set of folds with the
    seed that it trains with, and here the folds of one set have a seed each. Raises LeakError for embeddings of none of
    these splits, ConfigError when they were trained with other settings than those asked for or two runs are for one
    seed, InputError for a folder without embeddings.
    """
    wanted = {seed: split_fingerprint(split, graph) for seed, split in splits.items()}
    found: dict[int, Path] = {}
    given: dict[tuple[str, int], Path] = {}
    for folder in folders:
        place = next((at for at in (folder / EMBEDDINGS, folder) if (at / FILE).is_file()), None)
        if place is None:
            raise InputError(
                f"{folder} is no output folder of rxweave run ({EMBEDDINGS}/{FILE} is missing). Give finished runs "
                "only, or leave --runs out: what is missing is trained."
            )
        about = pl.read_parquet_metadata(place / FILE)
        seed, mark = int(about.get("seed", -1)), about.get(SPLIT_KEY, "")
        fitting = sorted(each for each in wanted if wanted[each] == mark)
        if not fitting:
            _refuse(folder, about, splits, graph, folds=folds)
        if seed not in fitting and not folds:
            raise LeakError(
                f"{folder}: its embeddings were trained with seed {seed}, and their split is not that of seed {seed} "
                f"here but of {fitting}. Give the run of "
                "each seed, or --split-seed if all were trained on one split."
            )
        if (mark, seed) in given:
            raise ConfigError(f"{folder} and {given[mark, seed]} are both of seed {seed}; give one of them.")
        free = [each for each in (seed, *fitting) if each in fitting and each not in found]
        if not free:
            raise ConfigError(f"{folder} and {found[fitting[0]]} are both for seed {fitting[0]}; give one of them.")
        _check_settings(folder, about, settings)
        found[free[0]], given[mark, seed] = place, folder
    return found


def _refuse(folder: Path, about: Mapping[str, str], splits: Mapping[int, Split], graph: Graph, *, folds: bool) -> None:
    seed = int(about.get("seed", -1))
    split = splits[seed if seed in splits else next(iter(splits))]
    try:
        check_no_leaks_in_embeddings(about, split, graph)
    except LeakError as error:
        raise LeakError(f"{folder}: {error}{FOLDS_OF_RUNS if folds else ''}") from None


def _check_settings(folder: Path, about: Mapping[str, str], asked: EmbedSettings) -> None:
    made, wanted = decisive(EmbedSettings(**json.loads(about["settings"]))), decisive(asked)
    if made["feature_file"] is not None and asked.feature_file is not None:  # known by content, wherever it lies
        made["feature_file"], wanted["feature_file"] = about.get(FEATURES_KEY), file_sha256(Path(asked.feature_file))
    other = [name for name in wanted if name in made and made[name] != wanted[name]]
    if other:
        raise ConfigError(
            f"{folder} was trained with embed.{other[0]}={made[other[0]]}, and {wanted[other[0]]} is asked for. Say "
            f"-o embed.{other[0]}={made[other[0]]}, or leave this run out."
        )
