"""The walks that join one drug and one disease along a metapath, one by one, from sparse rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import combinations

import numpy as np
import scipy.sparse as sp
from jaxtyping import Bool, Float64, Int

from rxweave.rank.paths import Metapath, Step

AT_ONCE = 2_000_000
"""Walks that are extended at a time; a single node's row may be longer."""

Walks = tuple[Int[np.ndarray, "walks nodes"], Float64[np.ndarray, " walks"]]
"""The nodes of each walk, from the drug on, numbered within their types; and the product of its damped steps."""


class Toward:
    """How strongly every node is joined to one disease along the rest of a metapath; shared by those that end alike."""

    def __init__(self, matrices: Mapping[Step, sp.csr_array], disease: int) -> None:
        self.matrices = matrices
        self.disease = disease
        self._known: dict[tuple[Step, ...], Float64[np.ndarray, " nodes"]] = {}

    def along(self, steps: tuple[Step, ...]) -> Float64[np.ndarray, " nodes"]:
        """Give the sum over all walks along these steps, from each node of the first step's source type."""
        if steps not in self._known:
            first = self.matrices[steps[0]]
            if len(steps) == 1:
                self._known[steps] = first[:, [self.disease]].toarray().astype(np.float64).ravel()
            else:
                self._known[steps] = first @ self.along(steps[1:])
        return self._known[steps]


def walks(path: Metapath, drug: int, toward: Toward, *, at_once: int = AT_ONCE) -> Iterator[Walks]:
    """Give all walks of a kind from a drug to the disease that `toward` is of, some at a time.

    A walk is followed only where the disease can still be reached, so what is held is about `at_once` walks of each
    length, however many there are.
    """
    start = np.array([[drug]]), np.ones(1)
    if toward.along(path.steps)[drug] > 0:
        yield from _onward(start, path.steps, toward, at_once)


def _onward(so_far: Walks, steps: tuple[Step, ...], toward: Toward, at_once: int) -> Iterator[Walks]:
    nodes, strength = so_far
    if len(steps) == 1:
        last = toward.along(steps)[nodes[:, -1]]
        yield np.column_stack([nodes, np.full(len(nodes), toward.disease)]), strength * last
        return
    matrix, reaches = toward.matrices[steps[0]], toward.along(steps[1:]) > 0
    start = matrix.indptr[nodes[:, -1]].astype(np.int64)
    length = matrix.indptr[nodes[:, -1] + 1] - start
    for block in _blocks(length, at_once):
        bounds = np.concatenate([[0], np.cumsum(length[block])])
        at = np.arange(bounds[-1]) + np.repeat(start[block] - bounds[:-1], length[block])
        at_parent = np.repeat(np.arange(block.start, block.stop), length[block])
        there = reaches[matrix.indices[at]]
        at, at_parent = at[there], at_parent[there]
        if len(at):
            longer = np.column_stack([nodes[at_parent], matrix.indices[at]]), strength[at_parent] * matrix.data[at]
            yield from _onward(longer, steps[1:], toward, at_once)


def _blocks(length: Int[np.ndarray, " walks"], at_once: int) -> Iterator[slice]:
    """Consecutive walks whose next rows have no more than `at_once` entries together, at least one walk."""
    up_to, first = np.cumsum(length), 0
    while first < len(length):
        before = up_to[first] - length[first]
        last = max(first + 1, int(np.searchsorted(up_to, before + at_once, side="right")))
        yield slice(first, last)
        first = last


def visits_twice(path: Metapath, nodes: Int[np.ndarray, "walks nodes"]) -> Bool[np.ndarray, " walks"]:
    """Say which walks come to a node a second time: those are no paths.

    As the drug and the disease are visited once, a path of two steps or more never uses a fact that joins the pair.
    """
    types = [path.steps[0].source_type, *(step.target_type for step in path.steps)]
    twice = np.zeros(len(nodes), bool)
    for one, other in combinations(range(len(types)), 2):
        if types[one] == types[other]:
            twice |= nodes[:, one] == nodes[:, other]
    return twice
