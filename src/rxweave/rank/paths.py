"""Degree-weighted path counts: how strongly drug and disease are joined by each kind of path, hubs counting
less.

The degree-weighted path count (DWPC; Himmelstein & Baranzini 2015, PLoS Comput Biol 11:e1004259) of a pair
along a metapath is the sum, over its paths of that kind, of the product of every step's two degrees to the
power −damping. As a product of damped step matrices it is a matrix product, so what is counted here are
*walks*: a walk that comes back to a node (gene A – gene B – gene A) counts, where the paper's path count
leaves it out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from jaxtyping import Bool, Float, Float32, Int

from rxweave.errors import ConfigError, InputError
from rxweave.graph.build import Graph


@dataclass(frozen=True)
class Step:
    """One way to walk along a relation: as written, or against it; a symmetric relation has one step, both
    ways.
    """

    relation: int
    """Index into `Graph.relations`."""
    source_type: str
    target_type: str
    label: str
    """How the step reads in a metapath's name, e.g. ` –binds→ Gene`."""
    inverse: bool = False


@dataclass(frozen=True)
class Metapath:
    """A kind of path from drug to disease: the steps in walking order."""

    steps: tuple[Step, ...]

    @property
    def name(self) -> str:
        return self.steps[0].source_type + "".join(step.label for step in self.steps)


@dataclass(frozen=True)
class PathScale:
    """Which metapaths are counted and the fixed number each is divided by, so that a score never depends on
    which other pairs are scored beside it.
    """

    names: tuple[str, ...]
    means: Float32[np.ndarray, " metapaths"]
    """Mean count of each metapath over all drugs × the sampled diseases of the training graph; greater than
    0.
    """
    dropped: int
    """Metapaths left out: those that join no sampled pair, and those beyond the cap."""


NO_PATHS = PathScale((), np.empty(0, np.float32), 0)
"""The scale of a ranker that does not look at paths."""


def graph_steps(graph: Graph) -> tuple[Step, ...]:
    """Give every step that the graph's facts allow, in the order of its relations; relations without facts
    have none.

    A relation counts as symmetric when it says so; a directed relation within one type (gene –regulates→
    gene) gives two different steps.
    """
    steps = []
    for r, rel in enumerate(graph.relations):
        if graph.facts[r].shape[1] == 0:
            continue
        if rel.symmetric:
            steps.append(Step(r, rel.source_type, rel.target_type, f" –{rel.name}– {rel.target_type}"))
            continue
        steps.append(Step(r, rel.source_type, rel.target_type, f" –{rel.name}→ {rel.target_type}"))
        back = f" ←{rel.name}– {rel.source_type}"
        steps.append(Step(r, rel.target_type, rel.source_type, back, inverse=True))
    return tuple(steps)


def metapaths(graph: Graph, max_length: int = 3) -> tuple[Metapath, ...]:
    """Give every kind of walk from drug to disease of 2 to `max_length` steps, short ones first.

    Single steps are the drug–disease relations themselves, which is what is predicted: they are left out.
    Raises ConfigError for a `max_length` under 2.
    """
    if max_length < 2:
        raise ConfigError(
            f"max_path_length is {max_length}, but paths of one step are the answers themselves; "
            "use 2 or 3, or leave the feature group 'paths' out."
        )
    leaving: dict[str, list[Step]] = {}
    for step in graph_steps(graph):
        leaving.setdefault(step.source_type, []).append(step)

    def walks(node_type: str, length: int) -> Iterator[tuple[Step, ...]]:
        if length == 0:
            if node_type == graph.roles.disease:
                yield ()
            return
        for step in leaving.get(node_type, ()):
            for rest in walks(step.target_type, length - 1):
                yield (step, *rest)

    return tuple(Metapath(steps) for length in range(2, max_length + 1) for steps in walks(graph.roles.drug, length))


def step_matrix(graph: Graph, step: Step, keep: Bool[np.ndarray, " facts"] | None = None) -> sp.csr_array:
    """Give the 0/1 matrix of a step, rows and columns numbered within their types, each fact once.

    `keep` marks the facts of the relation to use; None uses all.
    """
    rel = graph.relations[step.relation]
    facts = graph.facts[step.relation]
    source, target = facts if keep is None else facts[:, keep]
    source = source - graph.rows_of(rel.source_type).start
    target = target - graph.rows_of(rel.target_type).start
    if rel.symmetric:
        source, target = np.concatenate([source, target]), np.concatenate([target, source])
    if step.inverse:
        source, target = target, source
    shape = (graph.num_of(step.source_type), graph.num_of(step.target_type))
    matrix = sp.csr_array((np.ones(len(source), np.float32), (source, target)), shape=shape)
    matrix.sum_duplicates()
    matrix.data[:] = 1.0
    return matrix


def damped(matrix: sp.csr_array, damping: float) -> sp.csr_array:
    """Give the step matrix with each fact weighted by (out-degree × in-degree)^−damping, the path-degree
    product of one step (Himmelstein & Baranzini 2015).
    """
    rows, columns = np.diff(matrix.indptr), np.bincount(matrix.indices, minlength=matrix.shape[1])
    # Only degrees of facts that exist are looked up, so none is 0.
    weight = (np.repeat(rows, rows) * columns[matrix.indices].astype(np.float64)) ** -damping
    return sp.csr_array((weight.astype(np.float32), matrix.indices, matrix.indptr), shape=matrix.shape)


def path_counts(
    matrices: Mapping[Step, sp.csr_array],
    paths: Sequence[Metapath],
    diseases: Int[np.ndarray, " block"],
    drugs: Int[np.ndarray, " drugs"] | None = None,
) -> Iterator[Float32[np.ndarray, "drugs block"]]:
    """Give the degree-weighted count of each metapath in turn, from these drugs (None: all) to these
    diseases.

    Products are taken from the disease side, so the largest array is nodes of a type × block; metapaths that
    end alike share the work on their common end. `matrices` holds the damped matrix of every step used.
    """
    ends = _Ends(matrices, diseases)
    starts: dict[Step, sp.csr_array] = {}
    for path in paths:
        first = path.steps[0]
        if first not in starts:
            starts[first] = matrices[first] if drugs is None else matrices[first][drugs]
        yield starts[first] @ ends.dense(path.steps[1:])


def pair_counts(
    matrices: Mapping[Step, sp.csr_array],
    paths: Sequence[Metapath],
    diseases: Int[np.ndarray, " block"],
    drug: Int[np.ndarray, " pairs"],
    place: Int[np.ndarray, " pairs"],
) -> Float32[np.ndarray, "pairs paths"]:
    """Give the same counts, to the bit, for a list of pairs: `drug` and the `place` of the disease among `diseases`.

    For few pairs of many drugs and many diseases: nothing is worked out for the others but the common ends, of which
    one at a time is held whole.
    """
    from rxweave.rank.path_loops import row_products  # compiled when first called

    ends = _Ends(matrices, diseases)
    out = np.empty((len(drug), len(paths)), np.float32)
    by_end: dict[tuple[Step, ...], list[int]] = {}
    for column, path in enumerate(paths):
        by_end.setdefault(path.steps[1:], []).append(column)
    for steps, columns in by_end.items():
        turned = ends.turned(steps)
        for column in columns:
            start = matrices[paths[column].steps[0]]
            out[:, column] = row_products(start.indptr, start.indices, start.data, drug, turned, place)
    return out


class _Ends:
    """What paths have in common at their end: products of step matrices, for the columns of some diseases."""

    def __init__(self, matrices: Mapping[Step, sp.csr_array], diseases: Int[np.ndarray, " block"]) -> None:
        self._matrices, self._diseases = matrices, diseases
        self._sparse: dict[tuple[Step, ...], sp.csr_array] = {}
        self._dense: dict[tuple[Step, ...], Float32[np.ndarray, "nodes block"]] = {}

    def sparse(self, steps: tuple[Step, ...]) -> sp.csr_array:
        # The last step's columns are nearly empty, and so is one product more: skip the zeros.
        if steps not in self._sparse:
            first = self._matrices[steps[0]]
            self._sparse[steps] = first[:, self._diseases] if len(steps) == 1 else first @ self.sparse(steps[1:])
        return self._sparse[steps]

    def dense(self, steps: tuple[Step, ...]) -> Float32[np.ndarray, "nodes block"]:
        if steps not in self._dense:
            few = len(steps) <= 2
            whole = self.sparse(steps).toarray() if few else self._matrices[steps[0]] @ self.dense(steps[1:])
            self._dense[steps] = whole
        return self._dense[steps]

    def turned(self, steps: tuple[Step, ...]) -> Float32[np.ndarray, "block nodes"]:
        """The same transposed, a disease to a row; not kept."""
        if len(steps) > 2:
            return np.ascontiguousarray(self.dense(steps).T)
        # Turned while it is sparse: turning the array takes several times as long as all the rest.
        found: Float32[np.ndarray, "block nodes"] = self.sparse(steps).T.tocsr().toarray()
        return found


def fit_scale(
    graph: Graph,
    *,
    max_length: int,
    damping: float,
    max_paths: int,
    num_diseases: int,
    rng: np.random.Generator,
) -> PathScale:
    """Choose the metapaths and measure their mean counts over all drugs × a sample of diseases of this
    graph.

    Up to `num_diseases` diseases are drawn (all, when there are no more). A metapath that joins no sampled
    pair is left out, since it has no mean; of the others, the `max_paths` that join the most sampled pairs
    stay (ties: the shorter metapath).
    """
    total = graph.num_of(graph.roles.disease)
    sample = np.sort(rng.choice(total, min(total, num_diseases), replace=False))
    matrices = {step: damped(step_matrix(graph, step), damping) for step in graph_steps(graph)}
    paths = metapaths(graph, max_length)
    joined, sums = np.zeros(len(paths), np.int64), np.zeros(len(paths))
    for start in range(0, len(sample), 64):
        for p, count in enumerate(path_counts(matrices, paths, sample[start : start + 64])):
            joined[p] += np.count_nonzero(count)
            sums[p] += float(count.sum(dtype=np.float64))
    most_joined = np.argsort(-joined, kind="stable")[:max_paths]
    chosen = np.sort(most_joined[joined[most_joined] > 0])
    means = sums[chosen] / (graph.num_of(graph.roles.drug) * max(1, len(sample)))
    return PathScale(tuple(paths[p].name for p in chosen), means.astype(np.float32), dropped=len(paths) - len(chosen))


def named_paths(graph: Graph, names: Sequence[str], max_length: int) -> tuple[Metapath, ...]:
    """Give the metapaths of these names; raises InputError when the graph lacks one (another graph, or
    relation).
    """
    by_name = {path.name: path for path in metapaths(graph, max_length)}
    missing = [name for name in names if name not in by_name]
    if missing:
        raise InputError(
            f"{graph.name} has no metapath {missing[0]!r} ({len(missing)} of {len(names)} are missing), "
            "which the ranker was fitted with; score with the graph it was fitted on, or fit it again."
        )
    return tuple(by_name[name] for name in names)


def scaled(count: Float[np.ndarray, "*pairs"], mean: float) -> Float[np.ndarray, "*pairs"]:
    """Give arcsinh(count / mean): linear near 0, logarithmic far out (the transform of Himmelstein et al.
    2017).
    """
    return np.arcsinh(count / np.float32(mean))
