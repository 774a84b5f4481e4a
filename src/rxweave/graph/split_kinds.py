"""Splits that ask harder questions than a random one: new diseases, areas of disease, new drugs, folds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from rxweave.errors import ConfigError, InputError
from rxweave.graph.areas import Area
from rxweave.graph.build import Graph
from rxweave.graph.split import (
    UNITS,
    Split,
    Unit,
    split_of_pairs,
    treatment_pairs,
    unit_split,
    unit_things,
)

LAST_DISEASE = (
    "A held-out disease has no treatment in training, so counts of treatments order its drugs by their popularity "
    "alone, and put the disease itself last among all diseases: the side that ranks drugs given a disease is the test."
)
LAST_DRUG = (
    "A held-out drug has no treatment in training, so counts of treatments order its diseases by how many drugs each "
    "has, and put the drug itself last among all drugs: the side that ranks diseases given a drug is the test."
)


def disease_split(
    graph: Graph, *, valid_fraction: float = 0.15, test_fraction: float = 0.2, seed: int, keep: Sequence[str] = ()
) -> Split:
    """Give a zero-shot split: shares of the diseases that have treatments lose all of them, valid and test alike.

    Raises as `split.unit_split` does.
    """
    split = unit_split(
        graph, "disease", valid_fraction=valid_fraction, test_fraction=test_fraction, seed=seed, keep=keep
    )
    return replace(split, notes=(f"Zero-shot by disease: {_sizes(graph, split)}. {LAST_DISEASE}", *split.notes))


def drug_split(
    graph: Graph, *, valid_fraction: float = 0.15, test_fraction: float = 0.2, seed: int, keep: Sequence[str] = ()
) -> Split:
    """Give a cold-drug split: shares of the drugs that have treatments lose all of them, valid and test alike.

    Raises as `split.unit_split` does.
    """
    split = unit_split(graph, "drug", valid_fraction=valid_fraction, test_fraction=test_fraction, seed=seed, keep=keep)
    return replace(split, notes=(f"Cold drugs: {_sizes(graph, split)}. {LAST_DRUG}", *split.notes))


def area_split(
    graph: Graph,
    test_area: Area,
    valid_area: Area | None = None,
    *,
    valid_fraction: float = 0.15,
    seed: int,
    keep: Sequence[str] = (),
) -> Split:
    """Give a split that holds out all treatments of an area of disease for testing.

    Those of `valid_area`, or of a share of the other diseases drawn at random, are for validation: they too have no
    treatment in training, so that what is decided by them is decided by a question of the same kind. A disease of both
    areas is tested. Raises InputError when an area has no treatments, ConfigError when nothing is left for training.
    """
    pairs = treatment_pairs(graph)
    unit = unit_things(graph, pairs, "disease")
    in_test = np.isin(unit, unit[test_area.members[pairs[:, 1]]])
    others = np.unique(unit[~in_test])
    if valid_area is None:
        num_valid = round(valid_fraction * len(others))
        drawn = np.random.default_rng(seed).permutation(others)[:num_valid]
        in_valid = np.isin(unit, drawn) & ~in_test
        told = f"{num_valid} of the other diseases, drawn at random"
    else:
        in_valid = np.isin(unit, unit[valid_area.members[pairs[:, 1]]]) & ~in_test
        told = valid_area.told
        both = int((test_area.members & valid_area.members).sum())
        told += f" ({both} diseases of both areas are tested)" if both else ""
    for name, area, chosen in (("area", test_area, in_test), ("valid_area", valid_area, in_valid)):
        if area is not None and not chosen.any():
            raise InputError(
                f"None of the {len(pairs):,} treatments of {graph.name} is of the {area.size:,} diseases in "
                f"split.{name} ({area.told}){' beyond those that are tested' if name == 'valid_area' else ''}. Choose "
                "another area, or more split.area_steps."
            )
    counts = [len(np.unique(unit[part])) for part in (~in_test & ~in_valid, in_valid, in_test)]
    if not all(counts):
        raise ConfigError(
            f"Of the {sum(counts)} diseases with treatments of {graph.name}, the area ({test_area.told}) holds "
            f"{counts[2]}; that leaves {counts[1]} for validation (valid_fraction {valid_fraction}) and {counts[0]} "
            "for training. Each part needs at least one: choose a smaller area, or change split.valid_fraction."
        )
    note = (
        f"An area of disease: {test_area.told}; {counts[2]} of them have treatments and lose all {int(in_test.sum())} "
        f"for testing. For validation: {told}, {counts[1]} with {int(in_valid.sum())} treatments. {LAST_DISEASE}"
    )
    return split_of_pairs(
        graph,
        train=pairs[~in_test & ~in_valid],
        valid=pairs[in_valid],
        test=pairs[in_test],
        unit="disease",
        keep=keep,
        notes=(note,),
    )


def fold_split(
    graph: Graph,
    unit: Unit = "pair",
    *,
    num_folds: int = 5,
    fold: int = 0,
    valid_fraction: float = 0.15,
    seed: int,
    keep: Sequence[str] = (),
) -> Split:
    """Give one of `num_folds` splits whose test parts together are all treatments, each once.

    Folds are of pairs, or of diseases or drugs with all their treatments, and differ by at most one of them in size.
    `valid_fraction` of all are for validation, drawn from the other folds anew for each. One seed gives one set of
    folds. Raises ConfigError when there are fewer units than folds, or too few to leave something for every part.
    """
    if not 0 <= fold < num_folds:
        raise ConfigError(f"fold is {fold}; with num_folds {num_folds} it must be 0 to {num_folds - 1}.")
    pairs = treatment_pairs(graph)
    units, unit_ix = np.unique(unit_things(graph, pairs, unit), return_inverse=True)
    fold_of = np.random.default_rng(seed).permutation(len(units)) % num_folds
    tested, others = fold_of == fold, np.flatnonzero(fold_of != fold)
    num_valid = round(valid_fraction * len(units))
    counts = len(others) - num_valid, num_valid, int(tested.sum())
    if min(counts) < 1:
        raise ConfigError(
            f"{len(units)} {UNITS[unit]} of {graph.name} in {num_folds} folds at valid_fraction {valid_fraction} "
            f"give {counts[0]} train, {counts[1]} valid and {counts[2]} test in fold {fold}; each part needs at least "
            "one. Choose fewer folds, or change valid_fraction."
        )
    validated = np.zeros(len(units), bool)
    validated[np.random.default_rng((seed, fold)).permutation(others)[:num_valid]] = True
    in_test, in_valid = tested[unit_ix], validated[unit_ix]
    split = split_of_pairs(
        graph, train=pairs[~in_test & ~in_valid], valid=pairs[in_valid], test=pairs[in_test], unit=unit, keep=keep
    )
    last = {"pair": "", "disease": f" {LAST_DISEASE}", "drug": f" {LAST_DRUG}"}[unit]
    note = f"Fold {fold} of {num_folds} (counted from 0), of {UNITS[unit]}.{last}"
    return replace(split, notes=(note, *split.notes))


def _sizes(graph: Graph, split: Split) -> str:
    test, valid, train = (
        len(np.unique(unit_things(graph, part, split.unit))) for part in (split.test, split.valid, split.train)
    )
    return (
        f"of {test + valid + train} {UNITS[split.unit]}, {test} lose all {len(split.test)} for testing and "
        f"{valid} all {len(split.valid)} for validation"
    )
