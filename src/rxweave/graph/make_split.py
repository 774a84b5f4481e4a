"""From settings to a split: one door for all kinds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from rxweave.config import SplitSettings
from rxweave.graph.areas import Area, find_area
from rxweave.graph.build import Graph
from rxweave.graph.split import Split, random_split, training_graph
from rxweave.graph.split_file import file_split
from rxweave.graph.split_kinds import area_split, disease_split, drug_split, fold_split


def make_split(graph: Graph, settings: SplitSettings, *, seed: int) -> Split:
    """Give the split of a graph's treatments that the settings ask for; one seed always gives one split.

    Raises ConfigError for settings that leave a part empty or name a relation that cannot be kept, InputError for a
    graph without treatments, and for files or names that do not fit it, LeakError for a pair in two parts of a file.
    """
    return _with_isolated(graph, _made(graph, settings, seed))


def _made(graph: Graph, settings: SplitSettings, seed: int) -> Split:
    keep, valid_fraction, test_fraction = settings.keep, settings.valid_fraction, settings.test_fraction
    match settings.kind:
        case "random":
            return random_split(graph, valid_fraction=valid_fraction, test_fraction=test_fraction, seed=seed, keep=keep)
        case "disease":
            return disease_split(
                graph, valid_fraction=valid_fraction, test_fraction=test_fraction, seed=seed, keep=keep
            )
        case "drug":
            return drug_split(graph, valid_fraction=valid_fraction, test_fraction=test_fraction, seed=seed, keep=keep)
        case "area":
            test_area, valid_area = (_area(graph, asked, settings) for asked in (settings.area, settings.valid_area))
            assert test_area is not None  # as SplitSettings checks
            return area_split(graph, test_area, valid_area, valid_fraction=valid_fraction, seed=seed, keep=keep)
        case "file":
            return file_split(graph, Path(settings.file or ""), keep=keep)
        case "folds":
            return fold_split(
                graph,
                settings.folds_of,
                num_folds=settings.num_folds,
                fold=settings.fold,
                valid_fraction=valid_fraction,
                seed=seed,
                keep=keep,
            )


def _area(graph: Graph, asked: str | None, settings: SplitSettings) -> Area | None:
    if asked is None:
        return None
    return find_area(graph, asked, relation=settings.area_relation, steps=settings.area_steps)


def _with_isolated(graph: Graph, split: Split) -> Split:
    """The split with a note of the test pairs that no method can tell anything of."""
    degrees = training_graph(graph, split).degrees
    drug, disease = (degrees[graph.rows_of(role)] for role in (graph.roles.drug, graph.roles.disease))
    alone = (drug[split.test[:, 0]] == 0) | (disease[split.test[:, 1]] == 0)
    if not alone.any():
        return split
    note = (
        f"{int(alone.sum())} of the {len(split.test)} test pairs have a drug or disease without any fact in the "
        "training graph: nothing can be known of it, and its rank is chance."
    )
    return replace(split, notes=(*split.notes, note))
