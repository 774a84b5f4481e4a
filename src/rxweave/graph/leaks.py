"""Proof that no held-out fact reaches the model, on any of the roads by which such facts slip through."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np
from jaxtyping import Int

from rxweave.errors import LeakError
from rxweave.graph.build import Graph
from rxweave.graph.pairs import Pairs, check_pairs, fact_pairs, pair_codes, pair_identities, pair_keys
from rxweave.graph.split import PARTS, Split, unit_things

SPLIT_KEY = "split"
"""Where the metadata of an embedding file holds the fingerprint of the split it was trained on."""
NO_SPLIT = "none"
"""What stands there when all facts were learnt from."""
STOPPED_KEY = "stopped_by"
"""Where they hold the fingerprint of the pairs that decided when training ended, if any did."""


def check_no_leaks(training: Graph, split: Split) -> None:
    """Prove that the parts of a split are disjoint and that the training graph joins no held-out pair.

    Where diseases (drugs) are held out whole, none of them may have a treatment in training either. Raises LeakError
    as `check_not_joined` does, for a pair that is in two parts, and for such a treatment.
    """
    _check_parts(training, split)
    check_not_joined(training, split.held_out, kept=split.kept)
    _check_units(training, split)


def check_not_joined(training: Graph, held_out: Pairs, *, kept: Sequence[str] = ()) -> None:
    """Prove that the training graph joins none of these pairs.

    A pair is joined by any drug–disease fact, whatever its relation and direction, between its two nodes or
    between two nodes that are the same drug and disease under other keys (see `pairs.identities`). Relations in
    `kept` do not count; a label among them is refused. Raises LeakError with the first offending pair, how many
    there are, and the next step.
    """
    labels = sorted({*kept} & {*training.roles.treats, *training.roles.contraindicated})
    if labels:
        raise LeakError(
            f"The split keeps facts of {labels[0]!r} between held-out pairs, which the ranker learns as labels. Keep "
            "only relations that are none, or none at all."
        )
    num_diseases = training.num_of(training.roles.disease)
    relations = [r for r in training.drug_disease_relations() if training.relations[r].name not in kept]
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


def _check_units(training: Graph, split: Split) -> None:
    if split.unit == "pair":
        return
    held_out = unit_things(training, split.held_out, split.unit)
    for where, pairs in (
        ("the training graph has", training.pairs(training.roles.treats)),
        ("the train part of the split has", split.train),
    ):
        known = np.flatnonzero(np.isin(unit_things(training, pairs, split.unit), held_out))
        if len(known):
            raise LeakError(
                f"{len(known)} treatments that {where} are of held-out {split.unit}s, first "
                f"{_describe(training, pairs[known[0]])}, and the split says that these have none in training. Make "
                "the split again, and train on training_graph(graph, split)."
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

    `pairs` are (drug, disease), each numbered within its type; one that is a held-out pair under other keys counts.
    Raises LeakError with the first such pair.
    """
    things = pair_identities(graph, check_pairs(graph, pairs))
    leaks = np.flatnonzero(np.isin(things, pair_identities(graph, split.held_out)))
    if len(leaks):
        raise LeakError(
            f"{len(leaks)} of the {len(pairs)} rows that the ranker is fitted on are held-out pairs, first "
            f"{_describe(graph, pairs[leaks[0]])} in row {leaks[0]}. Fit on the train part of the split."
        )


def check_no_test_pairs(graph: Graph, pairs: Pairs, test: Pairs) -> None:
    """Prove that none of these pairs, which training is watched and ended by, is a test pair, under any key.

    Raises LeakError with the first one that is.
    """
    things = pair_identities(graph, check_pairs(graph, pairs))
    shared = np.flatnonzero(np.isin(things, pair_identities(graph, check_pairs(graph, test))))
    if len(shared):
        raise LeakError(
            f"{len(shared)} of the {len(pairs)} pairs that are looked at while training are test pairs, first "
            f"{_describe(graph, pairs[shared[0]])}: what they decide could not be tested with them. Give the valid "
            "part of the split."
        )


def check_held_out_from(held_out: Pairs, split: Split, graph: Graph, *, what: str) -> None:
    """Prove that all held-out pairs of a split were held out from something made before, such as a ranker.

    `held_out` are the pairs that it was made without, `what` names it. Raises LeakError with the first that it may
    have learnt from.
    """
    unseen = pair_identities(graph, check_pairs(graph, held_out))
    learnt = np.flatnonzero(~np.isin(pair_identities(graph, split.held_out), unseen))
    if len(learnt):
        raise LeakError(
            f"{what} was made without holding out {len(learnt)} of the {len(split.held_out)} held-out pairs of this "
            f"split, first {_describe(graph, split.held_out[learnt[0]])}. Make it again with this split, or read the "
            "split it was made with."
        )


def split_fingerprint(split: Split, graph: Graph) -> str:
    """Give the SHA-256, in hexadecimal, of the sorted node keys of the held-out pairs, and of the relations they keep.

    It does not depend on how nodes are numbered, nor on which held-out pairs are valid and which are test.
    """
    return _fingerprint(split.held_out, graph, [f"kept\t{name}" for name in sorted(split.kept)])


def stop_fingerprint(split: Split, graph: Graph) -> str:
    """Give the same of the validation pairs alone, which decide when training ends under early stopping."""
    return _fingerprint(split.valid, graph, [])


def parts_fingerprint(split: Split, graph: Graph) -> str:
    """Give the SHA-256, in hexadecimal, of all that a split decides: which pair is in which part, and what is kept.

    Two splits of one graph that share it are the same experiment, whatever files they were read from.
    """
    parts = [f"{part}\t{_fingerprint(getattr(split, part), graph, [])}" for part in PARTS]
    told = [*parts, split.unit, *(f"kept\t{name}" for name in sorted(split.kept))]
    return hashlib.sha256("\n".join(told).encode()).hexdigest()


def _fingerprint(pairs: Pairs, graph: Graph, more: list[str]) -> str:
    keys = pair_keys(graph, check_pairs(graph, pairs))
    lines = sorted({f"{drug}\t{disease}" for drug, disease in keys.iter_rows()}) + more
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def check_no_leaks_in_embeddings(metadata: Mapping[str, str], split: Split, graph: Graph) -> None:
    """Prove that embeddings were trained without the held-out pairs of a split, and ended by none of its test pairs.

    `metadata` is that of the embedding file; its key "split" holds the `split_fingerprint` of the split that the
    embeddings were trained on, "stopped_by" the `stop_fingerprint` if training ended early. Raises LeakError, with the
    first pair that may have been learnt from, when one of them is absent or another.
    """
    expected = split_fingerprint(split, graph)
    found = metadata.get(SPLIT_KEY)
    again = "Make them again on the training graph of this split"
    first = f"first {_describe(graph, split.held_out[0])}" if len(split.held_out) else "if there are any"
    if found is None:
        raise LeakError(
            f"The embeddings do not name the split they were made on (no {SPLIT_KEY!r} in their metadata): they "
            f"may have seen the {len(split.held_out)} pairs that split {expected[:12]} holds out, {first}. {again}."
        )
    if found == NO_SPLIT:
        raise LeakError(
            f"The embeddings were trained on all facts of their graph, the {len(split.held_out)} pairs that split "
            f"{expected[:12]} holds out among them, {first}. {again}."
        )
    if found != expected:
        raise LeakError(
            f"The embeddings were trained on split {found[:12]}, and this is split {expected[:12]}, which holds out "
            f"other pairs or keeps other facts of them: they may have seen some, {first}. {again}, or read the split "
            "they were made with."
        )
    stopped = metadata.get(STOPPED_KEY)
    if stopped is not None and stopped != stop_fingerprint(split, graph):
        raise LeakError(
            "The embeddings were ended by ranks of other pairs than the valid part of this split, so test pairs may "
            f"have decided, {_describe(graph, split.test[0])} among them. {again}."
        )
