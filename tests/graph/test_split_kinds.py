"""Every kind of split: what it holds out, that nothing of it stays in training, and what it refuses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from drug_graphs import RELATIONS, ROLES, Fact, Node, facts_of, graph_of
from hypothesis import given, settings
from hypothesis import strategies as st

from rxweave.config import SplitSettings
from rxweave.errors import ConfigError, InputError, LeakError
from rxweave.graph.areas import find_area
from rxweave.graph.build import Graph
from rxweave.graph.leaks import check_no_leaks
from rxweave.graph.make_split import make_split
from rxweave.graph.pairs import pair_keys
from rxweave.graph.split import Split, training_graph, unit_things
from rxweave.graph.split_store import read_split, write_split
from rxweave.kg.tables import Relation

IS_A = Relation("disease", "is_a", "disease")
PARENT_CHILD = Relation("disease", "disease_disease", "disease", symmetric=True)
DISEASES = [f"disease|MONDO|{i}" for i in range(8)]
DRUGS = [f"drug|DrugBank|DB{i}" for i in range(7)]


def tree(*, upside: Relation = IS_A) -> Graph:
    """Seven diseases in a binary tree under the first, one apart; each has three treatments, and there are siblings.

    0 is the parent of 1 and 2, 1 of 3 and 4, 2 of 5 and 6. The eighth disease has no parent.
    """
    nodes: list[Node] = [(key, f"disease {i}") for i, key in enumerate(DISEASES)]
    nodes += [(key, f"drug {i}") for i, key in enumerate(DRUGS)]
    nodes += [("gene|NCBI|1", "ABL1")]
    facts: list[Fact] = [
        (DRUGS[(i + j) % 7], "indication", disease) for i, disease in enumerate(DISEASES) for j in (0, 1, 3)
    ]
    facts += [(DRUGS[i % 7], "off-label use", disease) for i, disease in enumerate(DISEASES)]
    facts += [(disease, "treated by", DRUGS[(i + 1) % 7]) for i, disease in enumerate(DISEASES)]
    facts += [(drug, "target", "gene|NCBI|1") for drug in DRUGS]
    for child in range(1, 7):
        ends = (DISEASES[child], DISEASES[(child - 1) // 2])
        facts.append((ends[0], upside.name, ends[1]) if upside.name != "parent_of" else (ends[1], upside.name, ends[0]))
    return graph_of(nodes, facts, relations=(*RELATIONS, upside))


def settings_of(kind: str) -> SplitSettings:
    """One of each kind; parts are large, since the graphs are small."""
    thirds: dict[str, object] = {"kind": kind, "valid_fraction": 0.3, "test_fraction": 0.3}
    more: dict[str, dict[str, object]] = {
        "area": {"area": "disease 0"},
        "folds": {"num_folds": 3, "fold": 1},
        "disease folds": {"kind": "folds", "num_folds": 3, "fold": 2, "folds_of": "disease"},
        "drug folds": {"kind": "folds", "num_folds": 3, "fold": 0, "folds_of": "drug"},
    }
    return SplitSettings(**{**thirds, **more.get(kind, {})})


KINDS = ("random", "disease", "drug", "area", "folds", "disease folds", "drug folds")


@st.composite
def tables(draw: st.DrawFn) -> tuple[list[Node], list[Fact]]:
    """Graphs with treatments of every disease and drug, siblings both ways, some namesakes and a tree of diseases."""
    num = draw(st.integers(7, 9))
    diseases = [f"disease|MONDO|{i}" for i in range(num)]
    drugs = [f"drug|DrugBank|DB{i}" for i in range(num)]
    nodes: list[Node] = [(key, f"disease {i}") for i, key in enumerate(diseases)]
    nodes += [(key, f"drug {i}") for i, key in enumerate(drugs)]
    twins = [("disease|UMLS|C1", "Disease 1 "), ("drug|ChEBI|9", "DRUG 2")]
    facts: list[Fact] = [(drugs[i], "indication", diseases[i]) for i in range(num)]
    pair = st.tuples(st.sampled_from([*drugs, "drug|ChEBI|9"]), st.sampled_from([*diseases, "disease|UMLS|C1"]))
    for relation, swapped in (("indication", False), ("off-label use", False), ("treated by", True)):
        for drug, disease in sorted(draw(st.sets(pair, max_size=14))):
            fact = (disease, relation, drug) if swapped else (drug, relation, disease)
            facts += [fact] * (fact not in facts)
    facts += [(diseases[2], "is_a", diseases[0]), (diseases[3], "is_a", diseases[2])]
    return [*nodes, *twins], facts


def as_set(pairs: np.ndarray) -> set[tuple[int, ...]]:
    return set(map(tuple, pairs.tolist()))


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=5, deadline=None)
@given(table=tables(), seed=st.integers(0, 2**31))
def test_every_kind_holds_out_all_that_it_says(kind: str, table: tuple[list[Node], list[Fact]], seed: int) -> None:
    graph = graph_of(*table, relations=(*RELATIONS, IS_A))
    split = make_split(graph, settings_of(kind), seed=seed)
    parts = [as_set(split.train), as_set(split.valid), as_set(split.test)]
    assert all(parts)
    assert sum(map(len, parts)) == len(set.union(*parts))
    assert set.union(*parts) == as_set(graph.pairs(("indication",)))

    training = training_graph(graph, split)
    check_no_leaks(training, split)
    names = dict(graph.nodes.select("node_key", pl.col("node_name").str.strip_chars().str.to_lowercase()).iter_rows())
    held = {(names[drug], names[disease]) for drug, disease in pair_keys(graph, split.held_out).iter_rows()}
    for source, relation, target in facts_of(training):
        if relation in ("indication", "off-label use", "treated by"):
            assert not {(names[source], names[target]), (names[target], names[source])} & held
    lost = {(*fact,) for fact in facts_of(graph)} - {(*fact,) for fact in facts_of(training)}
    assert lost == set(split.removed.select("source_key", "relation", "target_key").iter_rows())
    assert not split.removed["reason"].null_count()

    if split.unit != "pair":
        treated = {names[key] for fact in facts_of(training) if fact[1] == "indication" for key in fact[::2]}
        end = {"drug": "drug_key", "disease": "disease_key"}[split.unit]
        valid, test = ({names[key] for key in pair_keys(graph, part)[end]} for part in (split.valid, split.test))
        assert not treated & (valid | test)
        assert not valid & test

    again = make_split(graph, settings_of(kind), seed=seed)
    for part in ("train", "valid", "test", "removed"):
        one, other = getattr(split, part), getattr(again, part)
        assert one.equals(other) if part == "removed" else np.array_equal(one, other)


@pytest.mark.parametrize("kind", ["random", "disease", "drug", "folds"])
def test_another_seed_gives_another_split(kind: str) -> None:
    graph = tree()
    assert len({as_text(make_split(graph, settings_of(kind), seed=seed)) for seed in range(6)}) > 1


def as_text(split: Split) -> str:
    return str([split.train.tolist(), split.valid.tolist(), split.test.tolist()])


@pytest.mark.parametrize("unit", ["pair", "disease", "drug"])
@settings(max_examples=5, deadline=None)
@given(table=tables(), seed=st.integers(0, 2**31))
def test_folds_test_every_treatment_once_and_differ_by_one_unit(
    unit: str, table: tuple[list[Node], list[Fact]], seed: int
) -> None:
    graph = graph_of(*table, relations=(*RELATIONS, IS_A))
    chosen = SplitSettings(kind="folds", num_folds=3, folds_of=unit, valid_fraction=0.2)
    folds = [make_split(graph, chosen.but(fold=fold), seed=seed) for fold in range(3)]
    tested = [as_set(fold.test) for fold in folds]
    assert sum(map(len, tested)) == len(set.union(*tested))
    assert set.union(*tested) == as_set(graph.pairs(("indication",)))
    sizes = [len(np.unique(unit_things(graph, fold.test, fold.unit))) for fold in folds]
    assert max(sizes) - min(sizes) <= 1


def test_the_fractions_are_of_the_diseases() -> None:
    graph = tree()
    split = make_split(graph, SplitSettings(kind="disease", valid_fraction=0.25, test_fraction=0.125), seed=0)
    assert [len(np.unique(part[:, 1])) for part in (split.train, split.valid, split.test)] == [5, 2, 1]
    assert [len(part) for part in (split.train, split.valid, split.test)] == [15, 6, 3]
    assert "of 8 diseases with treatments, 1 lose all 3 for testing and 2 all 6 for validation" in split.notes[0]


def test_siblings_of_other_pairs_of_a_held_out_disease_stay() -> None:
    """A held-out disease loses its treatments and what else joins those pairs, not what joins it to other drugs."""
    graph = tree()
    other = ("drug|DrugBank|DB6", "off-label use", DISEASES[1])
    graph = graph_of(
        list(graph.nodes.select("node_key", "node_name").iter_rows()),
        [*facts_of(graph), other],
        relations=(*RELATIONS, IS_A),
    )
    split = make_split(graph, SplitSettings(kind="area", area="disease 1"), seed=0)
    training = facts_of(training_graph(graph, split))
    assert other in training
    assert {fact[2] for fact in training if fact[1] == "indication"} <= {DISEASES[i] for i in (0, 2, 5, 6, 7)}


# Areas.


@pytest.mark.parametrize("upside", [IS_A, Relation("disease", "parent_of", "disease")], ids=str)
@pytest.mark.parametrize(
    ("root", "steps", "members"),
    [
        ("disease 1", None, {1, 3, 4}),
        ("DISEASE 0 ", None, set(range(7))),
        ("5", None, {5}),
        (DISEASES[0], 1, {0, 1, 2}),
    ],
)
def test_an_area_is_a_disease_and_its_descendants(
    upside: Relation, root: str, steps: int | None, members: set[int]
) -> None:
    assert set(np.flatnonzero(find_area(tree(upside=upside), root, steps=steps).members).tolist()) == members


def test_without_a_direction_an_area_needs_steps_and_the_refusal_says_how_far_they_reach() -> None:
    graph = tree(upside=PARENT_CHILD)
    with pytest.raises(
        ConfigError,
        match=r"does not say which end is the parent.*area_steps \(1: 4 diseases with 12 treatments; 2: 5 diseases",
    ):
        find_area(graph, "disease 1")
    assert set(np.flatnonzero(find_area(graph, "disease 1", steps=1).members).tolist()) == {0, 1, 3, 4}


def test_other_keys_of_a_disease_belong_to_its_area() -> None:
    graph = tree()
    nodes = [*graph.nodes.select("node_key", "node_name").iter_rows(), ("disease|UMLS|C3", "Disease 3")]
    twin = graph_of(nodes, facts_of(graph), relations=(*RELATIONS, IS_A))
    area = find_area(twin, "disease 1")
    keys = twin.nodes["node_key"][twin.rows_of("disease")].filter(pl.Series(area.members))
    assert set(keys) == {DISEASES[1], DISEASES[3], DISEASES[4], "disease|UMLS|C3"}


def test_a_list_of_diseases_is_an_area_whatever_way_they_are_written(tmp_path: Path) -> None:
    graph = tree()
    listed, table = tmp_path / "area.txt", tmp_path / "area.csv"
    listed.write_text("# an area\ndisease 1\n\nMONDO:2\ndisease|MONDO|3\n")
    table.write_text("note,disease_name\na,disease 1\nb,disease 2\nc,Disease 3\n")
    for file in (listed, table):
        assert np.flatnonzero(find_area(graph, str(file)).members).tolist() == [1, 2, 3]
    assert np.flatnonzero(find_area(graph, str(listed), steps=1).members).tolist() == [1, 2, 3, 4, 5, 6]
    listed.write_text("disease 1\ndiseaze 2\n")
    with pytest.raises(
        InputError, match=r"area\.txt, line 2: 'diseaze 2' is no disease of handmade.*Closest: 'disease 2'"
    ):
        find_area(graph, str(listed))


def test_an_area_is_tested_and_other_diseases_validate() -> None:
    graph = tree()
    split = make_split(graph, SplitSettings(kind="area", area="disease 1", valid_fraction=0.4), seed=0)
    assert set(split.test[:, 1].tolist()) == {1, 3, 4}
    assert len(set(split.valid[:, 1].tolist())) == 2  # 0.4 of five others
    assert "'disease 1' and its 2 descendants; 3 of them have treatments and lose all 9" in split.notes[0]
    named = make_split(graph, SplitSettings(kind="area", area="disease 1", valid_area="disease 0"), seed=0)
    assert set(named.valid[:, 1].tolist()) == {0, 2, 5, 6}
    assert set(named.train[:, 1].tolist()) == {7}
    assert "(3 diseases of both areas are tested)" in named.notes[0]


def test_areas_that_cannot_be_are_refused_with_numbers() -> None:
    graph = tree()
    cases: list[tuple[dict[str, object], str]] = [
        (
            {"area": "disease 0", "valid_area": "disease 7"},
            "holds 7; that leaves 1 for validation .* and 0 for training",
        ),
        ({"area": "disease 0", "valid_fraction": 0.1}, "of the 8 diseases in split.valid_area|leaves 0 for validation"),
        ({"area": "disease 0", "valid_area": "disease 1"}, "in split.valid_area .* beyond those that are tested"),
        ({"area": "disease 9"}, "split.area: 'disease 9' is no disease of handmade, which has 8"),
        ({"area": "disease 0", "area_relation": "is-a"}, r"none named 'is-a' .*\(is_a\).* Closest: 'is_a'"),
    ]
    for values, message in cases:
        with pytest.raises((ConfigError, InputError), match=message):
            make_split(graph, SplitSettings(kind="area", **values), seed=0)
    empty = graph_of(
        [*graph.nodes.select("node_key", "node_name").iter_rows(), ("disease|MONDO|99", "new")],
        facts_of(graph),
        relations=(*RELATIONS, IS_A),
    )
    with pytest.raises(InputError, match=r"None of the 24 treatments of handmade is of the 1 diseases in split.area"):
        make_split(empty, SplitSettings(kind="area", area="new"), seed=0)
    with pytest.raises(ConfigError, match=r"relations that join two diseases \(there are none\)"):
        find_area(graph_of([("disease|MONDO|1", "pain")], []), "pain")


# Kept relations.


def test_kept_relations_stay_and_are_told_and_saved(tmp_path: Path) -> None:
    graph = tree()
    strict = make_split(graph, SplitSettings(kind="disease"), seed=0)
    kept = make_split(graph, SplitSettings(kind="disease", keep=("off-label use",)), seed=0)
    np.testing.assert_array_equal(kept.test, strict.test)
    off_label = strict.removed.filter(pl.col("relation") == "off-label use")
    assert len(off_label) == 3  # of three held-out diseases, each with one
    assert kept.removed.equals(strict.removed.filter(pl.col("relation") != "off-label use"))
    assert any("keep their 3 facts of off-label use" in note for note in kept.notes)
    training = training_graph(graph, kept)
    check_no_leaks(training, kept)
    with pytest.raises(LeakError, match="joined by 'drug –off-label use→ disease'"):
        check_no_leaks(training, strict)
    write_split(kept, graph, tmp_path / "split.parquet")
    again = read_split(tmp_path / "split.parquet", graph)
    assert (again.unit, again.kept, again.notes) == ("disease", ("off-label use",), kept.notes)


@pytest.mark.parametrize(
    ("keep", "message"),
    [
        ("indication", r"it is a label \('treat'\).*can be: off-label use, treated by"),
        ("off label use", "There is no relation 'off label use' .* Closest: 'off-label use'"),
        ("target", "no relation 'target' between drugs and diseases"),
    ],
)
def test_labels_and_unknown_relations_cannot_be_kept(keep: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make_split(tree(), SplitSettings(keep=(keep,)), seed=0)


def test_contraindications_cannot_be_kept() -> None:
    graph = replace(tree(), roles=replace(ROLES, contraindicated=("off-label use",)))
    with pytest.raises(ConfigError, match=r"it is a label \('not treat'\)"):
        make_split(graph, SplitSettings(keep=("off-label use",)), seed=0)


# Settings, and graphs that are too small.


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"kind": "area"}, "say which with -o split.area"),
        ({"kind": "file"}, "say which with -o split.file"),
        ({"area": "pain"}, "split.area is 'pain', and split.kind is 'random'.*--split area"),
        ({"kind": "disease", "folds_of": "drug"}, "does not use it. Choose --split folds"),
        ({"kind": "folds", "num_folds": 3, "fold": 3}, "split.fold is 3; of 3 folds .* 0 to 2"),
        ({"kind": "diseases"}, "kind is 'diseases'"),
    ],
)
def test_settings_that_do_not_fit_are_refused(values: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        SplitSettings(**values)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("disease", r"8 diseases with treatments .* give 8 train, 0 valid and 0 test"),
        ("drug", r"7 drugs with treatments .* give 7 train, 0 valid and 0 test"),
        ("folds", r"24 treatment pairs of handmade in 5 folds .* give 19 train, 0 valid and 5 test in fold 0"),
    ],
)
def test_too_small_graphs_are_refused_with_numbers(kind: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make_split(tree(), SplitSettings(kind=kind, valid_fraction=0.01, test_fraction=0.01), seed=0)


def test_test_pairs_of_nodes_without_other_facts_are_counted() -> None:
    graph = tree()
    no_tree = replace(
        graph,
        facts=tuple(f if r.name != "is_a" else f[:, :0] for f, r in zip(graph.facts, graph.relations, strict=True)),
    )
    split = make_split(no_tree, SplitSettings(kind="disease"), seed=0)
    assert any(note.startswith(f"{len(split.test)} of the {len(split.test)} test pairs") for note in split.notes)
    in_tree = make_split(graph, SplitSettings(kind="area", area="disease 1"), seed=0)
    assert not any("rank is chance" in note for note in in_tree.notes)


# The user's own files.


@pytest.fixture
def written(tmp_path: Path) -> Callable[..., Path]:
    """Write files of pairs into a folder, and give the folder."""

    def write(**files: str) -> Path:
        for name, text in files.items():
            (tmp_path / f"{name}.csv").write_text(text)
        return tmp_path

    return write


def own(folder: Path, graph: Graph | None = None) -> Split:
    return make_split(graph or tree(), SplitSettings(kind="file", file=str(folder)), seed=0)


def test_files_name_pairs_by_key_id_or_name_and_the_rest_is_for_training(written: Callable[..., Path]) -> None:
    folder = written(
        valid="drug,disease\ndrug 1,disease 0\n",
        test="id,drug_id,disease_key\n1,DB0,disease|MONDO|0\n2,DB0,disease|MONDO|0\n3,db3,disease|MONDO|2\n",
    )
    split = own(folder)
    keys = pair_keys(tree(), split.test).rows()
    assert keys == [(DRUGS[0], DISEASES[0]), (DRUGS[3], DISEASES[2])]
    assert pair_keys(tree(), split.valid).rows() == [(DRUGS[1], DISEASES[0])]
    assert len(split.train) == 21
    assert "21 treatments that they do not name are for training" in split.notes[0]
    assert split.unit == "pair"


def test_a_saved_split_is_read_as_a_file_of_parts(tmp_path: Path) -> None:
    graph = tree()
    made = make_split(graph, SplitSettings(kind="disease"), seed=3)
    write_split(made, graph, tmp_path / "split.parquet")
    again = own(tmp_path / "split.parquet", graph)
    for part in ("train", "valid", "test"):
        np.testing.assert_array_equal(getattr(again, part), getattr(made, part))
    assert again.unit == "disease"
    assert again.removed.equals(made.removed)


def test_validation_pairs_of_another_nature_than_the_test_are_told(written: Callable[..., Path]) -> None:
    test = "".join(f"DB{i},disease 0\n" for i in (0, 1, 3))
    split = own(written(valid="drug,disease\nDB1,disease 1\n", test=f"drug,disease\n{test}"))
    assert (
        "No disease of the test pairs has a treatment in training, and those of 1 of the 1 validation" in split.notes[0]
    )
    assert split.unit == "pair"


@pytest.mark.parametrize(
    ("train", "kind"),
    [
        ("disease 0,drug 0", "swapped"),
        ("DB0,0", "names as ids"),
        ("DRUG 0, Disease 0", "another case"),
    ],
)
def test_a_pair_in_two_parts_is_refused_however_it_is_written(
    written: Callable[..., Path], train: str, kind: str
) -> None:
    folder = written(
        train=f"drug,disease\ndrug 1,disease 0\n{train}\n",
        valid="drug,disease\ndrug 1,disease 1\n",
        test="drug,disease\ndrug|DrugBank|DB0,disease|MONDO|0\n",
    )
    with pytest.raises(LeakError, match=r"test\.csv, line 2: .*DB0.* for .*MONDO\|0.* is for test here and for train"):
        own(folder)


def test_a_namesake_of_a_test_pair_in_the_train_file_is_refused(written: Callable[..., Path]) -> None:
    graph = tree()
    nodes = [*graph.nodes.select("node_key", "node_name").iter_rows(), ("drug|ChEBI|1", "Drug 0")]
    twin = graph_of(
        nodes, [*facts_of(graph), ("drug|ChEBI|1", "indication", DISEASES[0])], relations=(*RELATIONS, IS_A)
    )
    folder = written(
        valid="drug,disease\ndrug 1,disease 1\n",
        test="drug,disease\ndrug|DrugBank|DB0,disease 0\n",
    )
    split = own(folder, twin)
    assert len(split.test) == 2  # both keys of the drug, though the file names one
    written(train="drug,disease\ndrug|ChEBI|1,disease 0\n")
    with pytest.raises(LeakError, match="is for test here and for train elsewhere"):
        own(folder, twin)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"test": "drug,disease\nDB0,disease 0\n"}, "has no pairs for valid. Verdict, early stopping"),
        ({"valid": "drug,disease\nDB0,disease 0\n"}, "has no pairs for test"),
        (
            {"valid": "drug,disease\nDB0,disease 0\n", "test": "drug,disease\nDB1,diseese 0\n"},
            r"test\.csv, line 2: 'diseese 0' is no disease of handmade, which has 8.* Closest: 'disease 0'",
        ),
        (
            {"valid": "drug,disease\nDB0,disease 0\n", "test": "drug,disease\nDB5,disease 0\n"},
            r"test\.csv, line 2: 'DB5' for 'disease 0' is no treatment of handmade, which joins the two by nothing",
        ),
        (
            {"valid": "drug,disease\nDB0,disease 0\n", "test": "drug,illness\nDB5,disease 0\n"},
            r"test\.csv lacks a column for the disease: its first line has drug, illness",
        ),
        (
            {
                "train": "drug,disease\nDB3,disease 0\n",
                "valid": "drug,disease\nDB0,disease 0\n",
                "test": "drug,disease\nDB1,disease 0\n",
            },
            "names no part for 21 of the 24 treatments of handmade, first 'drug 0' for 'disease 4'",
        ),
    ],
)
def test_files_that_do_not_fit_are_refused(written: Callable[..., Path], files: dict[str, str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        own(written(**files))


def test_the_refusal_of_a_pair_names_the_relation_that_joins_it(written: Callable[..., Path]) -> None:
    graph = tree()
    fact = ("drug|DrugBank|DB5", "off-label use", DISEASES[0])
    more = graph_of(
        list(graph.nodes.select("node_key", "node_name").iter_rows()),
        [*facts_of(graph), fact],
        relations=(*RELATIONS, IS_A),
    )
    folder = written(valid="drug,disease\nDB0,disease 0\n", test="drug,disease\nDB5,disease 0\n")
    with pytest.raises(InputError, match="joins the two by off-label use"):
        own(folder, more)


def test_an_unknown_part_and_a_missing_path_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "parts.tsv"
    file.write_text("drug\tdisease\tpart\nDB0\tdisease 0\ttset\n")
    with pytest.raises(InputError, match=r"parts\.tsv, line 2: part 'tset' is not one of train, valid, test"):
        own(file)
    with pytest.raises(InputError, match="which does not exist"):
        own(tmp_path / "nowhere")


def test_a_name_of_two_things_is_refused_with_their_keys(written: Callable[..., Path]) -> None:
    graph = tree()
    nodes = [*graph.nodes.select("node_key", "node_name").iter_rows(), ("drug|PubChem|7", "x"), ("drug|ChEBI|7", "y")]
    more = graph_of(nodes, facts_of(graph), relations=(*RELATIONS, IS_A))
    folder = written(valid="drug,disease\nDB0,disease 0\n", test="drug,disease\n7,disease 0\n")
    with pytest.raises(
        InputError, match=r"'7' is the id or name of more than one drug .*drug\|ChEBI\|7, drug\|PubChem\|7"
    ):
        own(folder, more)
