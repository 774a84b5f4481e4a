from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from drug_graphs import (
    ASPIRIN,
    DIABETES,
    FACTS,
    INDICATION,
    METFORMIN,
    NODES,
    PAIN,
    Fact,
    Node,
    facts_of,
    graph_of,
)
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from rxweave.errors import ConfigError, InputError
from rxweave.graph.build import Graph
from rxweave.graph.pairs import identities, pair_keys
from rxweave.graph.split import (
    HELD_OUT_TREATMENT,
    OTHER_RELATION,
    TWIN,
    Split,
    random_split,
    split_of_pairs,
    training_graph,
)
from rxweave.graph.split_store import read_split, removed_path, write_split
from rxweave.kg.tables import Relation, Roles


@st.composite
def tables(draw: st.DrawFn) -> tuple[list[Node], list[Fact]]:
    """At least ten treatments among few nodes, sibling and reversed relations, and names that come twice."""
    names = st.sampled_from(["aspirin", "Aspirin ", "metformin", "imatinib", "a", "b", "c", "d", "e", "f", "7"])
    num_drugs, num_diseases = draw(st.integers(4, 7)), draw(st.integers(4, 7))
    drugs = [f"drug|DrugBank|DB{i}" for i in range(num_drugs)]
    diseases = [f"disease|MONDO|{i}" for i in range(num_diseases)]
    nodes: list[Node] = [(key, draw(names)) for key in (*drugs, *diseases)]
    nodes += [("gene|NCBI|1", "ABL1"), ("gene|NCBI|2", "PDE6G")]
    pair = st.tuples(st.sampled_from(drugs), st.sampled_from(diseases))
    treatments = draw(st.sets(pair, min_size=10, max_size=16))
    siblings = draw(st.sets(pair, max_size=16))
    reversed_ = draw(st.sets(pair, max_size=16))
    targets = draw(st.sets(st.tuples(st.sampled_from(drugs), st.sampled_from(["gene|NCBI|1", "gene|NCBI|2"]))))
    facts: list[Fact] = [(drug, "indication", disease) for drug, disease in treatments]
    facts += [(drug, "off-label use", disease) for drug, disease in siblings]
    facts += [(disease, "treated by", drug) for drug, disease in reversed_]
    facts += [(drug, "target", gene) for drug, gene in targets]
    return nodes, facts


def things_of(graph: Graph) -> dict[str, str]:
    """Give what each node stands for, written out: its name where that has a letter, or else its own key."""
    return {
        key: name.strip().lower() if any(letter.isalpha() for letter in name) else key
        for key, name in graph.nodes.select("node_key", "node_name").iter_rows()
    }


def as_set(pairs: np.ndarray) -> set[tuple[int, ...]]:
    return set(map(tuple, pairs.tolist()))


def split_drawn(table: tuple[list[Node], list[Fact]], seed: int) -> tuple[Graph, Split]:
    """Split a drawn graph, where its namesakes leave at least four distinct treatments."""
    graph = graph_of(*table)
    thing = things_of(graph)
    assume(len({(thing[drug], thing[disease]) for drug, relation, disease in table[1] if relation == "indication"}) > 3)
    return graph, random_split(graph, seed=seed)


@settings(max_examples=20, deadline=None)
@given(table=tables(), seed=st.integers(0, 2**31))
def test_the_parts_are_disjoint_and_together_are_all_treatments(
    table: tuple[list[Node], list[Fact]], seed: int
) -> None:
    graph, split = split_drawn(table, seed)
    parts = [as_set(split.train), as_set(split.valid), as_set(split.test)]
    assert sum(map(len, parts)) == len(set.union(*parts))
    assert set.union(*parts) == as_set(graph.pairs(("indication",)))
    assert all(parts)
    assert as_set(split.known) == set.union(*parts)


@settings(max_examples=20, deadline=None)
@given(table=tables(), seed=st.integers(0, 2**31))
def test_the_training_graph_lacks_the_facts_of_held_out_pairs_and_of_their_namesakes_and_no_others(
    table: tuple[list[Node], list[Fact]], seed: int
) -> None:
    graph, split = split_drawn(table, seed)
    thing = things_of(graph)
    held_out = {(thing[drug], thing[disease]) for drug, disease in pair_keys(graph, split.held_out).iter_rows()}
    expected = []
    for source, relation, target in facts_of(graph):
        drug, disease = (target, source) if relation == "treated by" else (source, target)
        if relation == "target" or (thing[drug], thing[disease]) not in held_out:
            expected.append((source, relation, target))
    training = training_graph(graph, split)
    assert facts_of(training) == expected
    assert training.nodes.equals(graph.nodes)
    assert len(split.removed) == graph.num_facts - training.num_facts


@settings(max_examples=20, deadline=None)
@given(table=tables(), seed=st.integers(0, 2**31))
def test_one_seed_gives_one_split(table: tuple[list[Node], list[Fact]], seed: int) -> None:
    (_, one), (_, other) = split_drawn(table, seed), split_drawn(table, seed)
    for part in ("train", "valid", "test"):
        np.testing.assert_array_equal(getattr(one, part), getattr(other, part))
    assert one.removed.equals(other.removed)


@settings(max_examples=20, deadline=None)
@given(table=tables(), seed=st.integers(0, 2**31))
def test_namesakes_are_never_on_both_sides_of_the_split(table: tuple[list[Node], list[Fact]], seed: int) -> None:
    graph, split = split_drawn(table, seed)
    thing = things_of(graph)
    train, valid, test = (
        {(thing[drug], thing[disease]) for drug, disease in pair_keys(graph, pairs).iter_rows()}
        for pairs in (split.train, split.valid, split.test)
    )
    assert not train & valid
    assert not train & test
    assert not valid & test


def grid(num_drugs: int, num_diseases: int) -> Graph:
    """Every drug treats every disease."""
    drugs = [f"drug|DrugBank|DB{i:03}" for i in range(num_drugs)]
    diseases = [f"disease|MONDO|{i:03}" for i in range(num_diseases)]
    return graph_of(
        [(key, f"name of {key}") for key in (*drugs, *diseases)],
        [(drug, "indication", disease) for drug in drugs for disease in diseases],
    )


def test_the_fractions_are_those_asked_for() -> None:
    split = random_split(grid(20, 10), valid_fraction=0.15, test_fraction=0.2, seed=0)
    assert (len(split.train), len(split.valid), len(split.test)) == (130, 30, 40)


def test_different_seeds_give_different_splits() -> None:
    graph = grid(20, 10)
    one, other = random_split(graph, seed=0), random_split(graph, seed=1)
    assert as_set(one.test) != as_set(other.test)


def test_every_pair_has_the_same_chance_of_being_held_out() -> None:
    graph = grid(5, 4)
    counts = np.zeros((5, 4))
    for seed in range(60):
        held_out = random_split(graph, seed=seed).held_out
        counts[held_out[:, 0], held_out[:, 1]] += 1
    # 7 of 20 pairs are held out each time: six standard deviations of a binomial count bound every cell.
    assert np.abs(counts - 60 * 0.35).max() < 6 * np.sqrt(60 * 0.35 * 0.65)


def test_a_held_out_pair_loses_all_its_facts_each_with_its_reason() -> None:
    graph = graph_of(NODES, [*FACTS, (PAIN, "treated by", METFORMIN)])
    pairs = graph.pairs(("indication",))
    is_pain = (pair_keys(graph, pairs)["disease_key"] == PAIN).to_numpy()
    is_diabetes = (pair_keys(graph, pairs)["disease_key"] == DIABETES).to_numpy()
    split = split_of_pairs(graph, train=pairs[~is_pain & ~is_diabetes], valid=pairs[is_diabetes], test=pairs[is_pain])
    assert split.removed.rows() == [
        (PAIN, "treated by", ASPIRIN, "test", OTHER_RELATION),
        (METFORMIN, "indication", DIABETES, "valid", HELD_OUT_TREATMENT),
        (ASPIRIN, "indication", PAIN, "test", HELD_OUT_TREATMENT),
    ]
    assert (PAIN, "treated by", METFORMIN) in facts_of(training_graph(graph, split))
    assert (ASPIRIN, "off-label use", DIABETES) in facts_of(training_graph(graph, split))


def test_facts_of_namesakes_leave_with_a_reason_of_their_own() -> None:
    twin = "drug|ChEBI|15365"
    graph = graph_of([*NODES, (twin, " ASPIRIN")], [*FACTS, (twin, "off-label use", PAIN)])
    pairs = graph.pairs(("indication",))
    is_pain = (pair_keys(graph, pairs)["disease_key"] == PAIN).to_numpy()
    split = split_of_pairs(graph, train=pairs[~is_pain][:1], valid=pairs[~is_pain][1:], test=pairs[is_pain])
    assert (twin, "off-label use", PAIN, "test", TWIN) in split.removed.rows()
    assert (twin, "off-label use", PAIN) not in facts_of(training_graph(graph, split))


def test_nodes_are_one_thing_by_name_or_lettered_id_but_not_by_number() -> None:
    keys = {
        "drug|DrugBank|DB1": "Aspirin",
        "drug|ChEBI|15365": "aspirin ",  # same name
        "drug|PharmGKB|DB1": "Acetylsalicylic acid",  # same id, and it has letters
        "drug|names|aspirin": "ASA",  # its id is the name of the others
        "drug|ChEBI|7": "Ibuprofen",
        "drug|PubChem|7": "Naproxen",  # same number, counted by another source
    }
    graph = graph_of([*keys.items(), (PAIN, "pain")], [])
    thing = dict(
        zip(
            graph.nodes["node_key"][graph.rows_of("drug")].to_list(),
            identities(graph, "drug").tolist(),
            strict=True,
        )
    )
    aspirin = {thing[key] for key in list(keys)[:4]}
    assert len(aspirin) == 1
    assert len({*aspirin, thing["drug|ChEBI|7"], thing["drug|PubChem|7"]}) == 3


def test_no_treatments_is_refused_with_the_relations_that_are_there() -> None:
    roles = Roles(drug="drug", disease="disease", gene="gene", treats=("indicaton",))
    with pytest.raises(InputError, match=r"no facts of 'indicaton'.*–indication→ disease \(3 facts\).*Closest"):
        random_split(graph_of(NODES, FACTS, roles=roles), seed=0)


def test_no_relation_between_drugs_and_diseases_is_refused() -> None:
    relation = Relation("drug", "interacts", "drug", symmetric=True)
    graph = graph_of(NODES, [(ASPIRIN, "interacts", METFORMIN)], relations=(relation,))
    with pytest.raises(InputError, match="join the two: none"):
        random_split(graph, seed=0)


def test_too_few_treatments_are_refused_with_the_counts() -> None:
    with pytest.raises(ConfigError, match=r"3 treatment pairs .* give 2 train, 0 valid and 1 test"):
        random_split(graph_of(NODES, FACTS), seed=0)


@pytest.mark.parametrize(("valid", "test"), [(0.0, 0.2), (0.5, 0.5), (0.2, 1.0), (-0.1, 0.2), (0.2, float("nan"))])
def test_impossible_fractions_are_refused(valid: float, test: float) -> None:
    with pytest.raises(ConfigError, match="their sum below 1"):
        random_split(grid(5, 4), valid_fraction=valid, test_fraction=test, seed=0)


def test_pairs_outside_the_graph_are_refused() -> None:
    none = np.empty((0, 2), np.int64)
    with pytest.raises(InputError, match=r"first \[0, 3\]; it has 3 drugs and 3 diseases"):
        split_of_pairs(graph_of(NODES, FACTS), train=none, valid=none, test=np.array([[0, 3]]))


def test_a_split_of_another_graph_takes_nothing_out_unnoticed() -> None:
    split = random_split(grid(5, 4), seed=0)
    with pytest.raises(InputError, match="name nodes that are not in handmade"):
        training_graph(graph_of(NODES, FACTS), split)


def test_relations_of_one_name_between_other_types_keep_their_facts() -> None:
    palliates_symptom = Relation("drug", "indication", "gene")
    graph = graph_of(
        NODES,
        [*FACTS, (ASPIRIN, "indication", "gene|NCBI|25")],
        relations=(INDICATION, palliates_symptom, *graph_of(NODES, FACTS).relations[1:]),
    )
    pairs = graph.pairs(("indication",))
    split = split_of_pairs(graph, train=pairs[:0], valid=pairs[:1], test=pairs[1:])
    training = training_graph(graph, split)
    assert [fact for fact in facts_of(training) if fact[1] == "indication"] == [(ASPIRIN, "indication", "gene|NCBI|25")]


def test_a_written_split_is_read_back_the_same(tmp_path: Path) -> None:
    graph = grid(6, 5)
    split = random_split(graph, seed=3)
    write_split(split, graph, tmp_path / "split.parquet")
    again = read_split(tmp_path / "split.parquet", graph)
    for part in ("train", "valid", "test"):
        np.testing.assert_array_equal(getattr(split, part), getattr(again, part))
    assert again.removed.equals(split.removed)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["split.parquet", "split.removed.parquet"]
    table = pl.read_parquet(tmp_path / "split.parquet")
    assert table.columns == ["drug_key", "disease_key", "part"]
    assert dict(table["part"].value_counts().iter_rows()) == {"train": 20, "valid": 4, "test": 6}


@pytest.fixture
def written(tmp_path: Path) -> tuple[Path, Graph]:
    graph = grid(6, 5)
    path = tmp_path / "split.parquet"
    write_split(random_split(graph, seed=3), graph, path)
    return path, graph


def test_reading_without_a_file_names_it(written: tuple[Path, Graph]) -> None:
    path, graph = written
    removed_path(path).unlink()
    with pytest.raises(InputError, match=r"no .*split\.removed\.parquet"):
        read_split(path, graph)


def test_reading_two_files_of_different_splits_is_refused(written: tuple[Path, Graph], tmp_path: Path) -> None:
    path, graph = written
    other = tmp_path / "other" / "split.parquet"
    write_split(random_split(graph, seed=4), graph, other)
    removed_path(other).replace(removed_path(path))
    with pytest.raises(InputError, match="do not belong together"):
        read_split(path, graph)


def test_reading_with_the_training_graph_is_refused(written: tuple[Path, Graph]) -> None:
    path, graph = written
    training = training_graph(graph, read_split(path, graph))
    with pytest.raises(InputError, match=r"0 treatments of the graph are not in it, and 10 of its pairs are no"):
        read_split(path, training)


def rewrite(path: Path, table: pl.DataFrame) -> None:
    table.write_parquet(path, metadata=pl.read_parquet_metadata(path))


@pytest.mark.parametrize("part", ["dev", None])
def test_reading_an_unknown_part_is_refused(written: tuple[Path, Graph], part: str | None) -> None:
    path, graph = written
    table = pl.read_parquet(path)
    rewrite(path, table.with_columns(part=pl.when(pl.col("part") == "valid").then(pl.lit(part)).otherwise("part")))
    with pytest.raises(InputError, match="4 rows have a part other than train, valid, test"):
        read_split(path, graph)


def test_reading_a_key_that_is_not_in_the_graph_gives_the_closest(written: tuple[Path, Graph]) -> None:
    path, graph = written
    table = pl.read_parquet(path)
    rewrite(path, table.with_columns(pl.col("drug_key").str.replace("DB005", "DB05")))
    with pytest.raises(InputError, match=r"5 rows name a drug .*'drug\|DrugBank\|DB05'. Closest: "):
        read_split(path, graph)


def test_reading_a_table_without_its_columns_is_refused(written: tuple[Path, Graph]) -> None:
    path, graph = written
    rewrite(path, pl.read_parquet(path).drop("part"))
    with pytest.raises(InputError, match="no column part; it has drug_key, disease_key"):
        read_split(path, graph)


def test_reading_what_is_no_parquet_file_is_refused(written: tuple[Path, Graph]) -> None:
    path, graph = written
    path.write_text("drug_key,disease_key,part\n")
    with pytest.raises(InputError, match=r"split\.parquet is not a Parquet file"):
        read_split(path, graph)
