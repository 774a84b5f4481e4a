"""node2vec (Grover & Leskovec 2016): biased random walks, then skip-gram with negative sampling (Mikolov et al. 2013).

Our own, since PyTorch Geometric's needs pyg-lib, which is not on PyPI, and others bring gensim. It follows word2vec's C
code: the window of each node is drawn, negatives by frequency to the power ¾, and the rate falls linearly. One thread,
so that a seed gives one result. Types and relations are not looked at: that is node2vec.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import no_type_check

import numpy as np
import scipy.sparse as sp
from jaxtyping import Float32, Int
from numba import njit

from rxweave.benchmark.quality.method import Context, Method, Scores
from rxweave.benchmark.quality.regression import hadamard_scores
from rxweave.benchmark.quality.settings import WalkSettings
from rxweave.graph.build import Graph
from rxweave.graph.split import Split

TABLE = 1 << 22
"""Entries of the table that negatives are drawn from."""
LOWEST_RATE = 0.01
"""The last rate, as a share of the first."""
PIECES = 100
"""How often the skip-gram tells how far it is."""


def adjacency(graph: Graph) -> sp.csr_array:
    """Give the 0/1 matrix of which nodes any fact joins, both ways; a self-loop joins nothing."""
    source, target = np.concatenate(graph.facts, axis=1)
    apart = source != target
    ends = np.concatenate([source[apart], target[apart]]), np.concatenate([target[apart], source[apart]])
    joined = sp.csr_array((np.ones(len(ends[0]), np.int8), ends), shape=(graph.num_nodes, graph.num_nodes))
    joined.sum_duplicates()
    joined.sort_indices()
    return joined


def random_walks(graph: Graph, settings: WalkSettings, rng: np.random.Generator) -> Int[np.ndarray, "walks steps"]:
    """Give `num_walks` walks from each node with facts, in random order.

    The next node is drawn from the neighbours of the current one: with weight 1/p if it is the one before, 1 if it is
    a neighbour of the one before, 1/q if not.
    """
    joined = adjacency(graph)
    starts = np.repeat(np.flatnonzero(np.diff(joined.indptr) > 0), settings.num_walks).astype(np.int32)
    rng.shuffle(starts)
    walks = np.empty((len(starts), settings.walk_length), np.int32)
    _walk(joined.indptr, joined.indices, starts, walks, settings.p, settings.q, np.uint64(rng.integers(1, 2**62)))
    return walks


def node2vec(
    graph: Graph, settings: WalkSettings, *, seed: int, tell: Callable[[str], None] | None = None
) -> Float32[np.ndarray, "nodes dim"]:
    """Give a vector for each node of a graph; nodes without facts have zeros. `tell` hears how far it is."""
    tell = tell or (lambda _: None)
    tell("walking")
    rng = np.random.default_rng(seed)
    walks = random_walks(graph, settings, rng)
    counts = np.bincount(walks.ravel(), minlength=graph.num_nodes)
    share = np.cumsum(counts**0.75)
    table = np.searchsorted(share, (np.arange(TABLE) + 0.5) / TABLE * share[-1]).astype(np.int32)
    dim = settings.embedding_dim
    vectors = ((rng.random((graph.num_nodes, dim)) - 0.5) / dim).astype(np.float32)
    vectors[counts == 0] = 0
    contexts = np.zeros_like(vectors)
    total = settings.num_epochs * len(walks)
    bounds = [total * piece // PIECES for piece in range(PIECES + 1)]
    rate, state = np.float32(settings.learning_rate), np.uint64(rng.integers(1, 2**62))
    for first, last in pairwise(bounds):
        tell(f"skip-gram, {first / total:.0%}")
        reached = _skip_gram(
            walks, table, vectors, contexts, settings.window, settings.num_negatives, rate, first, last, total, state
        )
        state = np.uint64(reached)  # Numba gives a plain int
    return vectors


@njit(cache=True)
@no_type_check  # Numba compiles these functions: it wants bare signatures, and no wrapper of a type checker
def _next(state):
    """A step of xorshift64 (Marsaglia 2003)."""
    state ^= state << np.uint64(13)
    state ^= state >> np.uint64(7)
    state ^= state << np.uint64(17)
    return state


@njit(cache=True)
@no_type_check
def _share_of(state):
    """A number in [0, 1) from the upper bits."""
    return (state >> np.uint64(11)) * (1.0 / 9007199254740992.0)


@njit(cache=True)
@no_type_check
def _joined(start, neighbour, a, b):
    row = neighbour[start[a] : start[a + 1]]
    place = np.searchsorted(row, b)
    return place < len(row) and row[place] == b


@njit(cache=True)
@no_type_check
def _walk(start, neighbour, starts, walks, p, q, state):
    """Fill the walks; a neighbour is drawn evenly and taken with the share of the largest weight that it has."""
    most = max(1.0, 1.0 / p, 1.0 / q)
    for i in range(len(starts)):
        walks[i, 0] = starts[i]
        for step in range(1, walks.shape[1]):
            now = walks[i, step - 1]
            first, degree = start[now], start[now + 1] - start[now]
            while True:
                state = _next(state)
                node = neighbour[first + int(_share_of(state) * degree)]
                if step == 1 or (p == 1.0 and q == 1.0):
                    break
                before = walks[i, step - 2]
                weight = 1.0 / q
                if node == before:
                    weight = 1.0 / p
                elif _joined(start, neighbour, before, node):
                    weight = 1.0
                state = _next(state)
                if _share_of(state) * most <= weight:
                    break
            walks[i, step] = node


@njit(cache=True, fastmath={"reassoc", "contract"})
@no_type_check
def _skip_gram(walks, table, vectors, contexts, window, num_negatives, rate, first, last, total, state):
    """Take the turns from `first` until `last` of `total`; each node's vector learns to tell its contexts from drawn
    nodes. Gives the state of the random numbers.
    """
    dim, size = vectors.shape[1], len(table)
    change = np.empty(dim, np.float32)
    for turn in range(first, last):
        walk = walks[turn % walks.shape[0]]
        alpha = rate * np.float32(max(LOWEST_RATE, 1.0 - turn / total))
        for place in range(len(walk)):
            state = _next(state)
            reach = 1 + int(_share_of(state) * window)
            for other in range(max(0, place - reach), min(len(walk), place + reach + 1)):
                if other == place:
                    continue
                node, context = walk[other], walk[place]
                change[:] = 0
                for k in range(num_negatives + 1):
                    label = np.float32(1.0)
                    target = context
                    if k > 0:
                        state = _next(state)
                        target = table[int(_share_of(state) * size)]
                        label = np.float32(0.0)
                        if target == context:
                            continue
                    score = np.float32(0)
                    for j in range(dim):
                        score += vectors[node, j] * contexts[target, j]
                    pull = (label - np.float32(1.0) / (np.float32(1.0) + np.exp(-score))) * alpha
                    for j in range(dim):
                        change[j] += pull * contexts[target, j]
                        contexts[target, j] += pull * vectors[node, j]
                for j in range(dim):
                    vectors[node, j] += change[j]
    return state


def _node2vec(training: Graph, split: Split, seed: int, context: Context) -> Scores:
    vectors = node2vec(training, context.peers.walks, seed=seed, tell=context.tell)
    drugs, diseases = (vectors[training.rows_of(role)] for role in (training.roles.drug, training.roles.disease))
    return hadamard_scores(drugs, diseases, split, training, context.peers.logistic, seed=seed)


WALKS = (
    Method(
        "node2vec",
        "Random walks and skip-gram, then logistic regression on the product of the two vectors.",
        _node2vec,
        decided_by=("walks", "logistic"),
    ),
)
