"""Which drug–disease pairs the model may learn from, and which are held out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import polars as pl
from jaxtyping import Bool, Int

from rxweave.errors import ConfigError, InputError, did_you_mean
from rxweave.graph.build import Graph
from rxweave.graph.pairs import Pairs as Pairs
from rxweave.graph.pairs import check_pairs, fact_pairs, identities, pair_codes, pair_identities

PARTS = ("train", "valid", "test")
Unit = Literal["pair", "disease", "drug"]
"""What is held out whole: one treatment pair, or a disease (a drug) with all its treatments."""
UNITS: dict[Unit, str] = {
    "pair": "treatment pairs",
    "disease": "diseases with treatments",
    "drug": "drugs with treatments",
}
REMOVED_COLUMNS = ("source_key", "relation", "target_key", "part", "reason")

HELD_OUT_TREATMENT = "held-out treatment"
OTHER_RELATION = "other drug–disease relation of a held-out pair"
TWIN = "drug–disease fact of nodes with the same names as a held-out pair"


@dataclass(frozen=True)
class Split:
    """The treatment pairs by part, and every fact that had to leave the graph, with the reason."""

    train: Pairs
    valid: Pairs
    test: Pairs
    removed: pl.DataFrame
    """`source_key, relation, target_key, part, reason`, a row for each fact that left the training graph."""
    unit: Unit = "pair"
    """No held-out disease (drug) has a treatment in training when it is "disease" ("drug")."""
    kept: tuple[str, ...] = ()
    """Drug–disease relations whose facts held-out pairs keep; none, unless someone asked."""
    notes: tuple[str, ...] = ()
    """What a reader of the numbers must know of this split, in plain sentences."""

    @property
    def held_out(self) -> Pairs:
        return np.concatenate([self.valid, self.test])

    @property
    def before_test(self) -> Pairs:
        """What may be known before the test: what a filtered rank of validation pairs leaves out."""
        return np.concatenate([self.train, self.valid])

    @property
    def known(self) -> Pairs:
        """Every pair of the split: what a filtered rank of test pairs leaves out of the candidates."""
        return np.concatenate([self.train, self.valid, self.test])


def random_split(
    graph: Graph, *, valid_fraction: float = 0.15, test_fraction: float = 0.2, seed: int, keep: Sequence[str] = ()
) -> Split:
    """Give a random split of the distinct treatment pairs of a graph; one seed always gives one split.

    Pairs that are one drug and one disease under several node keys (see `pairs.identities`) go to one part.
    Raises as `unit_split` does.
    """
    split = unit_split(graph, "pair", valid_fraction=valid_fraction, test_fraction=test_fraction, seed=seed, keep=keep)
    note = "Random over treatment pairs: most held-out drugs and diseases have other treatments in training."
    return replace(split, notes=(note, *split.notes))


def unit_split(
    graph: Graph, unit: Unit, *, valid_fraction: float, test_fraction: float, seed: int, keep: Sequence[str] = ()
) -> Split:
    """Give a split that holds out a share of the units at random, each with all its treatments.

    Units are those that have treatments; nodes that are one thing under several keys are one unit. The fractions
    lie in (0, 1) and leave something for training. Raises ConfigError when they do not or when a part would be
    empty, InputError when the graph has no treatments.
    """
    if not (0 < valid_fraction < 1 and 0 < test_fraction < 1 and valid_fraction + test_fraction < 1):
        raise ConfigError(
            f"valid_fraction {valid_fraction} and test_fraction {test_fraction} must each lie between 0 and "
            "1, and their sum below 1, so that a share is left for training."
        )
    pairs = treatment_pairs(graph)
    units, unit_ix = np.unique(unit_things(graph, pairs, unit), return_inverse=True)
    num_valid, num_test = round(valid_fraction * len(units)), round(test_fraction * len(units))
    num_train = len(units) - num_valid - num_test
    if min(num_train, num_valid, num_test) < 1:
        raise ConfigError(
            f"{len(units)} {UNITS[unit]} of {graph.name} at valid_fraction {valid_fraction} and "
            f"test_fraction {test_fraction} give {num_train} train, {num_valid} valid and {num_test} test; "
            "each part needs at least one. Change the fractions, or use a graph with more treatments."
        )
    part = np.repeat(np.arange(3), [num_train, num_valid, num_test])
    part = np.random.default_rng(seed).permutation(part)[unit_ix]
    train, valid, test = (pairs[part == i] for i in range(3))
    return split_of_pairs(graph, train=train, valid=valid, test=test, unit=unit, keep=keep)


def unit_things(graph: Graph, pairs: Pairs, unit: Unit) -> Int[np.ndarray, " pairs"]:
    """Give the number of the unit that each pair belongs to: of the pair, its disease or its drug, whatever its key."""
    if unit == "pair":
        return pair_identities(graph, pairs)
    end, node_type = (0, graph.roles.drug) if unit == "drug" else (1, graph.roles.disease)
    things: Int[np.ndarray, " pairs"] = identities(graph, node_type)[pairs[:, end]]
    return things


def treatment_pairs(graph: Graph) -> Pairs:
    """Give the distinct treatment pairs of a graph, sorted; raises InputError when it has none."""
    pairs = graph.pairs(graph.roles.treats)
    if len(pairs):
        return pairs
    joining = [(graph.relations[r], graph.facts[r].shape[1]) for r in graph.drug_disease_relations()]
    there = ", ".join(f"{relation} ({count} facts)" for relation, count in joining)
    names = [relation.name for relation, _ in joining]
    wanted = " or ".join(map(repr, graph.roles.treats))
    hint = "".join(did_you_mean(name, names) for name in graph.roles.treats if name not in names)
    raise InputError(
        f"{graph.name} has no treatments: no facts of {wanted or 'any relation'} between "
        f"{graph.roles.drug!r} and {graph.roles.disease!r}. Relations that join the two: {there or 'none'}."
        f"{hint} Set the target relations to those that mean 'treats'."
    )


def split_of_pairs(
    graph: Graph,
    *,
    train: Pairs,
    valid: Pairs,
    test: Pairs,
    unit: Unit = "pair",
    keep: Sequence[str] = (),
    notes: Sequence[str] = (),
) -> Split:
    """Give the split with these parts, each sorted and without repeats, and the facts that must leave.

    A held-out (valid or test) pair loses every drug–disease fact between its two nodes, whatever the relation
    and its direction; so does every pair of nodes that is the same drug and disease under other keys. `keep` names
    relations whose facts stay, for comparison with papers that leave them in; a note of the split then says so.
    Raises ConfigError for a relation that does not join drugs and diseases, or that is a label.
    """
    check_keep(graph, keep)
    train, valid, test = (np.unique(check_pairs(graph, part), axis=0) for part in (train, valid, test))
    num_diseases = graph.num_of(graph.roles.disease)
    keys = graph.nodes["node_key"]
    removed = [pl.DataFrame(schema=dict.fromkeys(REMOVED_COLUMNS, pl.String))]
    num_kept = 0
    for r in graph.drug_disease_relations():
        relation = graph.relations[r]
        fact_pair = fact_pairs(graph, r)
        code, identity = pair_codes(fact_pair, num_diseases), pair_identities(graph, fact_pair)
        own = HELD_OUT_TREATMENT if relation.name in graph.roles.treats else OTHER_RELATION
        free = np.ones(len(code), bool)
        for part, pairs in (("valid", valid), ("test", test)):
            same = free & np.isin(code, pair_codes(pairs, num_diseases))
            twin = free & ~same & np.isin(identity, pair_identities(graph, pairs))
            free &= ~(same | twin)
            if relation.name in keep:
                num_kept += int((same | twin).sum())
                continue
            for hit, reason in ((same, own), (twin, TWIN)):
                source, target = graph.facts[r][:, hit]
                ends = pl.DataFrame({"source_key": keys.gather(source), "target_key": keys.gather(target)})
                why = {"relation": relation.name, "part": part, "reason": reason}
                removed.append(ends.with_columns(**{c: pl.lit(w) for c, w in why.items()}).select(REMOVED_COLUMNS))
    if keep:
        told = (
            f"Held-out pairs keep their {num_kept} facts of {', '.join(keep)}, which say much of the answer: compare "
        )
        notes = (*notes, told + "these numbers only with those of papers that leave them in as well.")
    facts = pl.concat(removed).sort(REMOVED_COLUMNS)
    return Split(train, valid, test, facts, unit, tuple(sorted(set(keep))), tuple(notes))


def check_keep(graph: Graph, keep: Sequence[str]) -> None:
    """Raise ConfigError for a relation that held-out pairs cannot keep: a label, or none between drugs and diseases."""
    labels = {**dict.fromkeys(graph.roles.contraindicated, "not treat"), **dict.fromkeys(graph.roles.treats, "treat")}
    names = sorted({graph.relations[r].name for r in graph.drug_disease_relations()})
    possible = [name for name in names if name not in labels]
    for name in keep:
        if name in labels:
            raise ConfigError(
                f"Relation {name!r} cannot be kept: it is a label ({labels[name]!r}), and a held-out pair must have "
                f"none in training. Those that can be: {', '.join(possible) or 'none'}."
            )
        if name not in names:
            raise ConfigError(
                f"There is no relation {name!r} between drugs and diseases in {graph.name} to be kept; it has "
                f"{', '.join(possible) or 'none but labels'}.{did_you_mean(name, possible)}"
            )


def training_graph(graph: Graph, split: Split) -> Graph:
    """Give the graph without the facts that `split.removed` lists; every node and every other fact stays.

    Raises InputError when a listed fact names a node that the graph does not have.
    """
    rows = pl.int_range(graph.num_nodes, dtype=pl.Int64)
    sources = graph.nodes.select(rows.alias("source"), pl.col("node_key").alias("source_key"))
    targets = graph.nodes.select(rows.alias("target"), pl.col("node_key").alias("target_key"))
    removed = split.removed.join(sources, on="source_key", how="left").join(targets, on="target_key", how="left")
    lost = removed.filter(pl.col("source").is_null() | pl.col("target").is_null())
    if len(lost):
        row = lost.row(0, named=True)
        raise InputError(
            f"{len(lost)} facts that the split takes out name nodes that are not in {graph.name}, first "
            f"{row['source_key']} –{row['relation']}→ {row['target_key']}. Make the split again from it."
        )
    keep: dict[int, Bool[np.ndarray, " _"]] = {}
    for (name,), facts in removed.partition_by("relation", as_dict=True).items():
        leaving = facts["source"].to_numpy() * graph.num_nodes + facts["target"].to_numpy()
        for r, relation in enumerate(graph.relations):
            if relation.name == name:
                source, target = graph.facts[r]
                keep[r] = ~np.isin(source * graph.num_nodes + target, leaving)
    return graph.keep_facts(keep)
