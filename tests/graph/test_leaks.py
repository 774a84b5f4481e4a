from __future__ import annotations

import hashlib
import re
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from drug_graphs import (
    ASPIRIN,
    DIABETES,
    FACTS,
    IMATINIB,
    LEUKEMIA,
    METFORMIN,
    NODES,
    PAIN,
    Fact,
    Node,
    facts_of,
    graph_of,
)

from rxweave.errors import InputError, LeakError
from rxweave.graph.build import Graph
from rxweave.graph.leaks import (
    check_no_leaks,
    check_no_leaks_in_embeddings,
    check_training_rows,
    split_fingerprint,
)
from rxweave.graph.split import REMOVED_COLUMNS, Split, random_split, split_of_pairs, training_graph

NOTHING_REMOVED = pl.DataFrame(schema=dict.fromkeys(REMOVED_COLUMNS, pl.String))
METFORMIN_DIABETES = re.escape(f"'Metformin' ({METFORMIN}) and 'type 2 diabetes mellitus' ({DIABETES})")


def pairs_by_key(graph: Graph, *pairs: tuple[str, str]) -> np.ndarray:
    drugs = graph.nodes["node_key"][graph.rows_of("drug")].to_list()
    diseases = graph.nodes["node_key"][graph.rows_of("disease")].to_list()
    numbered = [(drugs.index(drug), diseases.index(disease)) for drug, disease in pairs]
    return np.array(numbered, np.int64).reshape(-1, 2)


def split_holding_out_metformin_for_diabetes(graph: Graph) -> Split:
    """Train on imatinib for leukemia, validate on aspirin for pain, test on metformin for diabetes."""
    return split_of_pairs(
        graph,
        train=pairs_by_key(graph, (IMATINIB, LEUKEMIA)),
        valid=pairs_by_key(graph, (ASPIRIN, PAIN)),
        test=pairs_by_key(graph, (METFORMIN, DIABETES)),
    )


def clean_training_facts() -> list[Fact]:
    graph = graph_of(NODES, FACTS)
    return facts_of(training_graph(graph, split_holding_out_metformin_for_diabetes(graph)))


def check_with(*smuggled: Fact, nodes: tuple[Node, ...] = ()) -> None:
    """Check a training graph that is clean but for the facts smuggled in."""
    training = graph_of([*NODES, *nodes], [*clean_training_facts(), *smuggled])
    split = replace(
        split_of_pairs(
            training,
            train=pairs_by_key(training, (IMATINIB, LEUKEMIA)),
            valid=pairs_by_key(training, (ASPIRIN, PAIN)),
            test=pairs_by_key(training, (METFORMIN, DIABETES)),
        ),
        removed=NOTHING_REMOVED,
    )
    check_no_leaks(training, split)


def test_a_clean_split_passes() -> None:
    graph = graph_of(NODES, FACTS)
    split = split_holding_out_metformin_for_diabetes(graph)
    training = training_graph(graph, split)
    check_no_leaks(training, split)
    check_training_rows(split.train, split, graph)
    check_with()
    assert len(facts_of(training)) == len(FACTS) - 3


@pytest.mark.parametrize("seed", range(5))
def test_random_splits_pass_with_namesakes_in_the_graph(seed: int) -> None:
    rng = np.random.default_rng(seed)
    drugs = [f"drug|DrugBank|DB{i}" for i in range(8)]
    diseases = [f"disease|MONDO|{i}" for i in range(6)]
    nodes = [(key, f"name {rng.integers(5)}") for key in (*drugs, *diseases)]
    facts: list[Fact] = [
        fact
        for drug in drugs
        for disease in diseases
        for fact in (
            (drug, "indication", disease),
            (drug, "off-label use", disease),
            (disease, "treated by", drug),
        )
        if rng.random() < 0.5
    ]
    graph = graph_of(nodes, facts)
    split = random_split(graph, seed=seed)
    check_no_leaks(training_graph(graph, split), split)
    with pytest.raises(LeakError):
        check_no_leaks(graph, split)


def test_the_whole_graph_is_refused_as_training_graph_with_pair_relation_count_and_next_step() -> None:
    graph = graph_of(NODES, FACTS)
    with pytest.raises(LeakError) as caught:
        check_no_leaks(graph, split_holding_out_metformin_for_diabetes(graph))
    message = str(caught.value)
    assert message.startswith("3 facts in the training graph of handmade join a held-out pair, first ")
    assert re.search(METFORMIN_DIABETES + ", joined by 'drug –indication→ disease'", message)
    assert "training_graph(graph, split)" in message


def test_a_held_out_fact_swapped_under_a_reversed_relation_is_refused() -> None:
    with pytest.raises(LeakError, match=f"1 facts .*{METFORMIN_DIABETES}, joined by 'disease –treated by→ drug'"):
        check_with((DIABETES, "treated by", METFORMIN))


def test_a_held_out_fact_under_a_sibling_relation_is_refused() -> None:
    with pytest.raises(LeakError, match=f"{METFORMIN_DIABETES}, joined by 'drug –off-label use→ disease'"):
        check_with((METFORMIN, "off-label use", DIABETES))


def test_a_validation_pair_leaks_as_a_test_pair_does() -> None:
    with pytest.raises(LeakError, match=r"first 'Aspirin' \(.*\) and 'pain' \(.*\), joined by"):
        check_with((ASPIRIN, "off-label use", PAIN))


@pytest.mark.parametrize(
    ("twins", "fact"),
    [
        ([("drug|ChEBI|6801", "METFORMIN ")], ("drug|ChEBI|6801", "indication", DIABETES)),
        ([("disease|UMLS|C1", "Type 2 diabetes mellitus")], (METFORMIN, "off-label use", "disease|UMLS|C1")),
        (
            [("drug|PharmGKB|db00331", "1,1-dimethylbiguanide")],
            (DIABETES, "treated by", "drug|PharmGKB|db00331"),
        ),
        (
            [("drug|names|Metformin", ""), ("disease|names|type 2 diabetes mellitus", "")],
            ("drug|names|Metformin", "indication", "disease|names|type 2 diabetes mellitus"),
        ),
    ],
    ids=["drug by name", "disease by name", "drug by id", "names as ids"],
)
def test_a_held_out_fact_between_namesakes_is_refused_with_both_pairs(twins: list[Node], fact: Fact) -> None:
    with pytest.raises(LeakError, match=f"namesakes .* while {METFORMIN_DIABETES} is held out") as caught:
        check_with(fact, nodes=tuple(twins))
    assert twins[0][0] in str(caught.value)


def test_a_namesake_of_one_end_only_and_other_types_are_no_leak() -> None:
    check_with(
        ("drug|ChEBI|6801", "indication", LEUKEMIA),
        ("drug|ChEBI|5148", "off-label use", DIABETES),
        (METFORMIN, "target", "gene|NCBI|9"),
        nodes=(("drug|ChEBI|6801", "metformin"), ("drug|ChEBI|5148", "5148"), ("gene|NCBI|9", "pain")),
    )


@pytest.mark.parametrize(("one", "other"), [("train", "valid"), ("train", "test"), ("valid", "test")])
def test_a_pair_in_two_parts_is_refused(one: str, other: str) -> None:
    graph = graph_of(NODES, FACTS)
    split = split_holding_out_metformin_for_diabetes(graph)
    training = training_graph(graph, split)
    again = np.concatenate([getattr(split, other), getattr(split, one)])
    with pytest.raises(LeakError, match=f"1 pairs of the {one} part are in the {other} part .*Put every pair"):
        check_no_leaks(training, replace(split, **{other: again}))


def test_namesakes_in_two_parts_are_refused_with_both() -> None:
    twin = "drug|ChEBI|6801"
    graph = graph_of([*NODES, (twin, "metformin")], [*FACTS, (twin, "indication", DIABETES)])
    split = split_of_pairs(
        graph,
        train=pairs_by_key(graph, (IMATINIB, LEUKEMIA), (twin, DIABETES)),
        valid=pairs_by_key(graph, (ASPIRIN, PAIN)),
        test=pairs_by_key(graph, (METFORMIN, DIABETES)),
    )
    with pytest.raises(LeakError, match=f"'metformin' .*which is {METFORMIN_DIABETES} by name"):
        check_no_leaks(training_graph(graph, split), split)


def test_a_split_of_another_graph_is_refused() -> None:
    graph = graph_of(NODES, FACTS)
    split = replace(split_holding_out_metformin_for_diabetes(graph), test=np.array([[9, 0]]))
    with pytest.raises(InputError, match="lie outside handmade"):
        check_no_leaks(graph, split)


@pytest.mark.parametrize("held_out", ["valid", "test"])
def test_a_held_out_pair_among_the_rows_of_the_ranker_is_refused(held_out: str) -> None:
    graph = graph_of(NODES, FACTS)
    split = split_holding_out_metformin_for_diabetes(graph)
    drawn_negatives = pairs_by_key(graph, (METFORMIN, PAIN), (IMATINIB, DIABETES))
    rows = np.concatenate([split.train, drawn_negatives])
    check_training_rows(rows, split, graph)
    with pytest.raises(LeakError, match=r"1 of the 4 rows .* in row 3\. Fit on the train part") as caught:
        check_training_rows(np.concatenate([rows, getattr(split, held_out)]), split, graph)
    assert {"valid": "'Aspirin'", "test": "'Metformin'"}[held_out] in str(caught.value)


def test_embeddings_of_this_split_pass_and_those_of_another_do_not() -> None:
    graph = graph_of(NODES, FACTS)
    split = split_holding_out_metformin_for_diabetes(graph)
    fingerprint = split_fingerprint(split, graph)
    check_no_leaks_in_embeddings({"split": fingerprint, "seed": "0"}, split, graph)
    with pytest.raises(LeakError, match=f"no 'split' in their metadata.*{fingerprint[:12]}.*first .*Make them again"):
        check_no_leaks_in_embeddings({"seed": "0"}, split, graph)
    other = split_fingerprint(replace(split, valid=split.valid[:0]), graph)
    with pytest.raises(LeakError, match=f"trained on split {other[:12]}, and this is split {fingerprint[:12]}"):
        check_no_leaks_in_embeddings({"split": other}, split, graph)


def test_the_fingerprint_knows_the_held_out_keys_and_nothing_else() -> None:
    graph = graph_of(NODES, FACTS)
    split = split_holding_out_metformin_for_diabetes(graph)
    fingerprint = split_fingerprint(split, graph)
    # Written out, since files keep it: it must be the same in every process and version.
    lines = f"{METFORMIN}\t{DIABETES}\n{ASPIRIN}\t{PAIN}"
    assert fingerprint == hashlib.sha256(lines.encode()).hexdigest()
    swapped = replace(split, valid=split.test, test=split.valid)
    assert split_fingerprint(swapped, graph) == fingerprint

    # Another node moves every number and no key.
    renumbered = graph_of([*NODES, ("drug|DrugBank|DB00001", "Lepirudin"), ("disease|MONDO|0", "a")], FACTS)
    again = split_holding_out_metformin_for_diabetes(renumbered)
    assert not np.array_equal(again.held_out, split.held_out)
    assert split_fingerprint(again, renumbered) == fingerprint

    fewer = replace(split, valid=split.valid[:0])
    assert split_fingerprint(fewer, graph) != fingerprint
