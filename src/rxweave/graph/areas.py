"""Areas of disease: a disease and its descendants in the graph's own ontology, or a list of diseases in a file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import scipy.sparse as sp
from jaxtyping import Bool, Int

from rxweave.errors import ConfigError, did_you_mean
from rxweave.graph.build import Graph
from rxweave.graph.lookup import find_things, is_table, read_list, refuse_unfound, spellings
from rxweave.graph.pairs import identities
from rxweave.kg.tables import Relation

CHILD_TO_PARENT = ("is_a", "isa", "subclass_of", "subclassof", "child_of", "has_parent")
PARENT_TO_CHILD = ("parent_of", "has_child", "has_subclass", "superclass_of")
EITHER_WAY = ("disease_disease", "parent_child")
"""Names of relations that order diseases in a tree; letters' case, blanks, hyphens and a prefix: do not count."""

STEPS_TRIED = (1, 2, 3, 4)
"""How many steps a refusal tells the size of."""


@dataclass(frozen=True, eq=False)
class Area:
    """Some diseases of a graph, and how they were chosen."""

    members: Bool[np.ndarray, " diseases"]
    told: str
    """As in: 'neoplasm' and its 37 descendants."""

    @property
    def size(self) -> int:
        return int(self.members.sum())


def find_area(graph: Graph, asked: str, *, relation: str | None = None, steps: int | None = None) -> Area:
    """Give the area that a text means: a file lists its diseases, anything else is the disease at its root.

    From a root, all descendants belong to it, or those within `steps` steps; where the graph does not say which end of
    a fact is the parent, `steps` must be given, and counts steps either way. From a listed disease no step is taken
    unless `steps` says so. Other keys of a disease belong with it. `relation` names the relation that leads from child
    to parent, where its name does not tell.

    Raises InputError for a disease that is not in the graph, ConfigError when no way leads through the ontology.
    """
    node_type = graph.roles.disease
    from_file = is_table(asked)
    if from_file:
        written = read_list(Path(asked), spellings("disease", node_type))
        texts, place = written.columns["entry"], [f"{asked}, line {line}" for line in written.lines]
    else:
        texts, place = pl.Series([asked]), ["split.area"]
    things = find_things(graph, node_type, texts)
    refuse_unfound(graph, node_type, texts, things, place)
    thing_of = identities(graph, node_type)
    roots = np.isin(thing_of, things)
    if from_file and not steps:
        return Area(roots, f"the {int(roots.sum())} diseases listed in {asked}")
    relations = _ontology(graph, relation)
    undirected = [r for r in relations if graph.relations[r].symmetric]
    if undirected and steps is None:
        raise ConfigError(_which_steps(graph, asked, roots, relations, thing_of))
    members = np.isin(thing_of, thing_of[_reached(graph, roots, relations, steps)])
    what = f"the {int(roots.sum())} diseases listed in {asked}" if from_file else repr(asked)
    kin = f"{int(members.sum() - roots.sum())} {'neighbours' if undirected else 'descendants'}"
    return Area(members, f"{what} and its {kin}" + ("" if steps is None else f" within {steps} steps"))


def _ontology(graph: Graph, wanted: str | None) -> list[int]:
    """The relations that lead from diseases to their parents or children."""
    disease = graph.roles.disease
    among = [r for r, rel in enumerate(graph.relations) if rel.source_type == rel.target_type == disease]
    names = [graph.relations[r].name for r in among]
    ways = ((*CHILD_TO_PARENT, *PARENT_TO_CHILD), EITHER_WAY)
    found = [[r for r in among if _plain(graph.relations[r]) in way] for way in ways]
    if wanted is not None:
        found = [[r for r in among if graph.relations[r].name == wanted]]
    if any(found):
        return next(filter(None, found))
    hint = "" if wanted is None else did_you_mean(wanted, names)
    what = "none whose name says 'is a' or 'parent'" if wanted is None else f"none named {wanted!r}"
    raise ConfigError(
        f"{graph.name} has {what} among the relations that join two diseases ({', '.join(names) or 'there are none'})."
        f"{hint} Name one with split.area_relation, from child to parent, or list the diseases of the area in a file."
    )


def _reached(
    graph: Graph, roots: Bool[np.ndarray, " diseases"], relations: list[int], steps: int | None
) -> Bool[np.ndarray, " diseases"]:
    first, size = graph.rows_of(graph.roles.disease).start, len(roots)
    down = sp.csr_array((size, size), dtype=np.int64)
    for r in relations:
        child, parent = graph.facts[r] - first
        if graph.relations[r].symmetric:
            child, parent = np.concatenate([child, parent]), np.concatenate([parent, child])
        elif _plain(graph.relations[r]) in PARENT_TO_CHILD:
            child, parent = parent, child
        ones: Int[np.ndarray, " _"] = np.ones(len(child), np.int64)
        down = down + sp.csr_array((ones, (parent, child)), shape=(size, size))
    members, taken = roots, 0
    while steps is None or taken < steps:
        wider = members | (down.T @ members.astype(np.int64) > 0)
        if (wider == members).all():
            break
        members, taken = wider, taken + 1
    return members


def _which_steps(
    graph: Graph,
    asked: str,
    roots: Bool[np.ndarray, " diseases"],
    relations: list[int],
    thing_of: Int[np.ndarray, " diseases"],
) -> str:
    treated = graph.pairs(graph.roles.treats)[:, 1]
    reach = []
    for steps in STEPS_TRIED:
        members = np.isin(thing_of, thing_of[_reached(graph, roots, relations, steps)])
        reach.append(f"{steps}: {int(members.sum()):,} diseases with {int(members[treated].sum()):,} treatments")
    return (
        f"{graph.relations[relations[0]]} does not say which end is the parent, so the descendants of {asked!r} are "
        f"not known. Choose how many steps away the area reaches with split.area_steps ({'; '.join(reach)}), or list "
        "its diseases in a file."
    )


def _plain(relation: Relation) -> str:
    return relation.name.rpartition(":")[2].strip().lower().replace(" ", "_").replace("-", "_")
