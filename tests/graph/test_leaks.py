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
    RELATIONS,
    Fact,
    Node,
    facts_of,
    graph_of,
)

from rxweave.errors import InputError, LeakError
from rxweave.graph.build import Graph
from rxweave.graph.leaks import (
    check_held_out_from,
    check_no_leaks,
    check_no_leaks_in_embeddings,
    check_no_test_pairs,
    check_training_rows,
    split_fingerprint,
    stop_fingerprint,
)
from rxweave.graph.split import REMOVED_COLUMNS, Split, random_split, split_of_pairs, training_graph
from rxweave.kg.tables import Relation

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


# Worked examples: how held-out facts slip through in practice, each refused with the first offending pair by name.


def test_a_graph_file_that_holds_every_triple_twice_with_its_ends_swapped_is_refused() -> None:
    """Who takes a test row out of such a file, and not its swapped copy, trains on the answer."""
    swapped = Relation("disease", "indication", "drug")
    copies = [(target, "indication", source) for source, relation, target in FACTS if relation == "indication"]
    graph = graph_of(NODES, [*clean_training_facts(), *copies], relations=(*RELATIONS, swapped))
    split = split_holding_out_metformin_for_diabetes(graph)
    with pytest.raises(LeakError, match=r"2 facts .* first 'Aspirin' .* 'pain' .* by 'disease –indication→ drug'"):
        check_no_leaks(graph, split)
    check_no_leaks(training_graph(graph, split), split)


def test_a_treatment_of_a_held_out_disease_is_refused_by_name() -> None:
    """Zero-shot by disease: a pair that is not held out, of a disease that is."""
    graph = graph_of(NODES, FACTS)
    split = replace(split_holding_out_metformin_for_diabetes(graph), unit="disease")
    training = training_graph(graph, split)
    check_no_leaks(training, split)
    smuggled = graph_of(NODES, [*facts_of(training), (IMATINIB, "indication", DIABETES)])
    with pytest.raises(
        LeakError, match=r"1 treatments that .* are of held-out diseases, first 'Imatinib' .*MONDO\|5148"
    ):
        check_no_leaks(smuggled, split)
    in_train = replace(split, train=pairs_by_key(graph, (IMATINIB, LEUKEMIA), (ASPIRIN, DIABETES)))
    with pytest.raises(LeakError, match="the train part of the split has are of held-out diseases, first 'Aspirin'"):
        check_no_leaks(training, in_train)
    check_no_leaks(smuggled, replace(split, unit="drug"))  # imatinib is no held-out drug
    twin = ("disease|UMLS|C1", "Type 2 diabetes mellitus ")
    hidden = graph_of([*NODES, twin], [*facts_of(training), (IMATINIB, "indication", twin[0])])
    with pytest.raises(LeakError, match=r"held-out diseases, first 'Imatinib' .*disease\|UMLS\|C1"):
        check_no_leaks(hidden, replace(split_holding_out_metformin_for_diabetes(hidden), unit="disease"))


def test_kept_siblings_pass_only_where_the_split_says_so_and_labels_never() -> None:
    graph = graph_of(NODES, [*FACTS, (METFORMIN, "off-label use", DIABETES)])
    strict = split_holding_out_metformin_for_diabetes(graph)
    kept = split_of_pairs(graph, train=strict.train, valid=strict.valid, test=strict.test, keep=["off-label use"])
    training = training_graph(graph, kept)
    check_no_leaks(training, kept)
    with pytest.raises(LeakError, match=METFORMIN_DIABETES):
        check_no_leaks(training, strict)
    with pytest.raises(LeakError, match="keeps facts of 'indication' between held-out pairs"):
        check_no_leaks(graph, replace(strict, kept=("indication",)))


def test_a_row_that_is_a_held_out_pair_under_another_name_is_refused() -> None:
    twin = ("drug|names|METFORMIN", "")
    graph = graph_of([*NODES, twin], FACTS)
    split = split_holding_out_metformin_for_diabetes(graph)
    rows = pairs_by_key(graph, (IMATINIB, LEUKEMIA), (twin[0], DIABETES))
    with pytest.raises(LeakError, match=r"1 of the 2 rows .*drug\|names\|METFORMIN.* in row 1"):
        check_training_rows(rows, split, graph)


def test_embeddings_of_the_whole_graph_are_refused_with_the_first_pair_they_saw() -> None:
    graph = graph_of(NODES, FACTS)
    split = split_holding_out_metformin_for_diabetes(graph)
    first = r"'Aspirin' \(.*\) and 'pain' \(.*\)"
    with pytest.raises(LeakError, match=f"trained on all facts of their graph, the 2 pairs .* first {first}"):
        check_no_leaks_in_embeddings({"split": "none"}, split, graph)


def test_embeddings_of_a_split_that_keeps_siblings_do_not_serve_one_that_does_not() -> None:
    graph = graph_of(NODES, [*FACTS, (METFORMIN, "off-label use", DIABETES)])
    strict = split_holding_out_metformin_for_diabetes(graph)
    kept = replace(strict, kept=("off-label use",))
    metadata = {"split": split_fingerprint(kept, graph)}
    check_no_leaks_in_embeddings(metadata, kept, graph)
    with pytest.raises(LeakError, match="holds out other pairs or keeps other facts"):
        check_no_leaks_in_embeddings(metadata, strict, graph)


def test_embeddings_ended_by_what_is_now_the_test_part_are_refused() -> None:
    """Both splits hold out the same pairs, and so give one training graph; but the test pairs chose the epoch."""
    graph = graph_of(NODES, FACTS)
    split = split_holding_out_metformin_for_diabetes(graph)
    other = replace(split, valid=split.test, test=split.valid)
    metadata = {"split": split_fingerprint(split, graph), "stopped_by": stop_fingerprint(split, graph)}
    check_no_leaks_in_embeddings(metadata, split, graph)
    check_no_leaks_in_embeddings({"split": metadata["split"]}, other, graph)
    with pytest.raises(LeakError, match=r"ended by ranks of other pairs .*'Aspirin' .* among them"):
        check_no_leaks_in_embeddings(metadata, other, graph)


def test_test_pairs_that_are_watched_while_training_are_refused() -> None:
    twin = ("drug|names|METFORMIN", "")
    graph = graph_of([*NODES, twin], FACTS)
    split = split_holding_out_metformin_for_diabetes(graph)
    check_no_test_pairs(graph, split.before_test, split.test)
    for key in (METFORMIN, twin[0]):
        watched = np.concatenate([split.valid, pairs_by_key(graph, (key, DIABETES))])
        with pytest.raises(LeakError, match="1 of the 2 pairs that are looked at while training are test pairs, first"):
            check_no_test_pairs(graph, watched, split.test)


def test_a_ranker_of_another_split_is_refused_with_the_first_pair_it_learnt() -> None:
    graph = graph_of(NODES, FACTS)
    split = split_holding_out_metformin_for_diabetes(graph)
    check_held_out_from(split.held_out, split, graph, what="The ranker")
    with pytest.raises(
        LeakError, match=f"ranker was made without holding out 1 of the 2 .* first {METFORMIN_DIABETES}"
    ):
        check_held_out_from(split.valid, split, graph, what="The ranker")


def test_what_a_model_gets_is_the_same_whatever_the_held_out_facts_were() -> None:
    """Two graphs that differ in facts of held-out pairs alone give one training graph, and so one of everything."""
    other = [fact for fact in FACTS if fact[::2] != (METFORMIN, DIABETES)]
    more = [*other, (METFORMIN, "off-label use", DIABETES), (DIABETES, "treated by", METFORMIN)]
    trained = []
    for facts in (FACTS, more):
        graph = graph_of(NODES, facts)
        trained.append(training_graph(graph, split_holding_out_metformin_for_diabetes(graph)))
    assert trained[0].nodes.equals(trained[1].nodes)
    for one, two in zip(trained[0].facts, trained[1].facts, strict=True):
        np.testing.assert_array_equal(one, two)
