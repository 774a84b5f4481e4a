"""Proof that no held-out fact reaches the model, on any of the roads by which such facts slip through."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from itertools import combinations

import numpy as np
from jaxtyping import Int

from rxweave.errors import LeakError
from rxweave.graph.build import Graph
from rxweave.graph.pairs import Pairs, check_pairs, fact_pairs, pair_codes, pair_identities, pair_keys
from rxweave.graph.split import PARTS, Split

SPLIT_KEY = "split"
"""Where the metadata of an embedding file holds the fingerprint of the split it was trained on."""


def check_no_leaks(training: Graph, split: Split) -> None:
    """Prove that the parts of a split are disjoint and that the training graph joins no held-out pair.

    Raises LeakError as `check_not_joined` does, and for a pair that is in two parts.
    """
    _check_parts(training, split)
    check_not_joined(training, split.held_out)


def check_not_joined(training: Graph, held_out: Pairs) -> None:
    """Prove that the training graph joins none of these pairs.

    A pair is joined by any drug–disease fact, whatever its relation and direction, between its two nodes or
    between two nodes that are the same drug and disease under other keys (see `pairs.identities`). Raises
    LeakError with the first offending pair, how many there are, and the next step.
    """
    num_diseases = training.num_of(training.roles.disease)
    relations = training.drug_disease_relations()
    pairs_by_relation = [fact_pairs(training, r) for r in relations]
    pairs = np.concatenate([np.empty((0, 2), np.int64), *pairs_by_relation])
    relation_ix = np.repeat(np.array(relations, np.int64), [len(pairs) for pairs in pairs_by_relation])

    joined = np.flatnonzero(np.isin(pair_codes(pairs, num_diseases), pair_codes(held_out, num_diseases)))
    if len(joined):
        first = joined[0]
        raise LeakError(
            f"{len(joined)} facts in the training graph of {training.name} join a held-out pair, first "
            f"{_describe(training, pairs[first])}, joined by '{training.relations[relation_ix[first]]}'. "
            "Train on training_graph(graph, split), and add no facts to it afterwards."
        )

    own, wanted = pair_identities(training, pairs), pair_identities(training, held_out)
    twins = np.flatnonzero(np.isin(own, wanted))
    if len(twins):
        first = twins[0]
        pair = held_out[np.flatnonzero(wanted == own[first])[0]]
        raise LeakError(
            f"{len(twins)} facts in the training graph of {training.name} join the namesakes of a held-out "
            f"pair, first {_describe(training, pairs[first])}, joined by "
            f"'{training.relations[relation_ix[first]]}', while {_describe(training, pair)} is held out. "
            "Give each drug and each disease one node, or make the split with random_split or "
            "split_of_pairs: they take the facts of namesakes out as well."
        )


def _check_parts(graph: Graph, split: Split) -> None:
    parts = {part: check_pairs(graph, getattr(split, part)) for part in PARTS}
    things = {part: pair_identities(graph, pairs) for part, pairs in parts.items()}
    for one, other in combinations(PARTS, 2):
        shared = np.flatnonzero(np.isin(things[one], things[other]))
        if len(shared):
            first = parts[one][shared[0]]
            again = parts[other][np.flatnonzero(things[other] == things[one][shared[0]])[0]]
            raise LeakError(
                f"{len(shared)} pairs of the {one} part are in the {other} part of the split as well, first "
                f"{_describe(graph, first)}"
                + ("" if np.array_equal(first, again) else f", which is {_describe(graph, again)} by name")
                + ". Put every pair, under all its keys, into one part."
            )


def _describe(graph: Graph, pair: Int[np.ndarray, " 2"]) -> str:
    drug, disease = (
        graph.nodes.row(graph.rows_of(node_type).start + int(number), named=True)
        for node_type, number in zip((graph.roles.drug, graph.roles.disease), pair, strict=True)
    )
    return f"'{drug['node_name']}' ({drug['node_key']}) and '{disease['node_name']}' ({disease['node_key']})"


def check_training_rows(pairs: Int[np.ndarray, "rows 2"], split: Split, graph: Graph) -> None:
    """Prove that no held-out pair is among the labelled rows that a ranker is fitted on.

    Labelled are known treatments and contraindications. Pairs drawn at random as "unknown" are not asked: to leave
    held-out pairs out of the draw would itself tell which pairs are held out (see `rank/negatives.py`).

    `pairs` are (drug, disease), each numbered within its type. Raises LeakError with the first such pair.
    """
    num_diseases = graph.num_of(graph.roles.disease)
    codes = pair_codes(check_pairs(graph, pairs), num_diseases)
    leaks = np.flatnonzero(np.isin(codes, pair_codes(split.held_out, num_diseases)))
    if len(leaks):
        raise LeakError(
            f"{len(leaks)} of the {len(pairs)} rows that the ranker is fitted on are held-out pairs, first "
            f"{_describe(graph, pairs[leaks[0]])} in row {leaks[0]}. Fit on the train part of the split."
        )


def split_fingerprint(split: Split, graph: Graph) -> str:
    """Give the SHA-256, in hexadecimal, of the sorted node keys of the held-out pairs.

    It does not depend on how nodes are numbered, nor on which held-out pairs are valid and which are test.
    """
    keys = pair_keys(graph, check_pairs(graph, split.held_out))
    lines = sorted({f"{drug}\t{disease}" for drug, disease in keys.iter_rows()})
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def check_no_leaks_in_embeddings(metadata: Mapping[str, str], fingerprint: str) -> None:
    """Prove that embeddings were trained without the held-out pairs of the split with this fingerprint.

    `metadata` is that of the embedding file; its key "split" holds the `split_fingerprint` of the split the
    embeddings were trained on. Raises LeakError when it is absent or another.
    """
    found = metadata.get(SPLIT_KEY)
    if found is None:
        raise LeakError(
            f"The embeddings do not name the split they were made on (no {SPLIT_KEY!r} in their metadata): "
            f"they may have seen the pairs that split {fingerprint[:12]} holds out. Make them again on the "
            "training graph of this split."
        )
    if found != fingerprint:
        raise LeakError(
            f"The embeddings were trained on split {found[:12]}, and this is split {fingerprint[:12]}, which "
            "holds out other pairs. Make them again on the training graph of this split, or read the split "
            "they were made with."
        )
