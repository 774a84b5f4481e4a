"""Every reader, given rows of odd cells and damaged bytes: a graph, every row accounted for, or one clear error.

The readers' own count of rows is held against one that they do not make: the lines that are not blank.
"""

from __future__ import annotations

import string
import tempfile
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rxweave.errors import RxweaveError
from rxweave.graph.build import build_graph
from rxweave.kg.sources import load_kg
from rxweave.kg.tables import EDGE_COLUMNS, KnowledgeGraph

DATA = Path(__file__).parents[1] / "data"
BOUNDED = settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))

PRIMEKG = (DATA / "primekg" / "kg.csv").read_bytes()
NODES = b"id\tname\tkind\nGene::1\ta\tGene\nGene::2\tb\tGene\nDisease::7\tc\tDisease\nCompound::7\td\tCompound\n"
KGX_NODES = b"id\tcategory\tname\nG:1\tbiolink:Gene\ta\nG:2\tbiolink:Gene\tb\nD:7\tbiolink:Disease\tc\n"
PAIR_NODES = b"""node_index\tnode_id\tnode_type\tnode_name\tnode_source
0\t7\tdrug\ta\tx
1\t7\tdisease\tb\ty
2\t7\tgene/protein\tc\tz
"""

Files = dict[str, bytes]
"""The files of a graph by name; the last one holds the facts."""

_END = [["0"], ["5148", "7"], ["drug", "disease", "gene/protein"], ["a", "b", ""], ["S", "T"]]
FORMATS: dict[str, tuple[Files, bytes, list[list[str]]]] = {
    # Files beside the facts, header of the facts with their separator, what usually stands in each column.
    "primekg": ({}, PRIMEKG.splitlines()[0] + b"\n", [["indication", "drug_drug"], ["target"], *_END, *_END]),
    "primekg_pair": (
        {"nodes.tab": PAIR_NODES},
        b"relation,display_relation,x_index,y_index\n",
        [["indication", "drug_drug"], ["a", "b"], ["0", "1", "2"], ["0", "1", "2", "9"]],
    ),
    "hetionet": (
        {"nodes.tsv": NODES},
        b"source\tmetaedge\ttarget\n",
        [["Gene::1", "Compound::7"], ["GiG", "Gr>G", "CtD", "XyZ"], ["Gene::1", "Gene::2", "Disease::7"]],
    ),
    "kgx": (
        {"nodes.tsv": KGX_NODES},
        b"subject\tpredicate\tobject\n",
        [["G:1", "G:2"], ["biolink:treats", "interacts_with", "biolink:"], ["G:1", "G:2", "D:7"]],
    ),
    "triples": ({}, b"", [["Gene::1", "Drug::1", "A::b::c"], ["r", "treats"], ["Gene::1", "Gene::2", "Gene::"]]),
}
ODD = ["", " ", "é", "\x00", "|", "a|b", "NA", "null", "1e5", "007", "#", "'", "\u2028", "\ufeff", "x" * 300]


@st.composite
def rows_of(draw: st.DrawFn, columns: list[list[str]]) -> list[list[str]]:
    """Rows as they should be, among them some of any number of odd cells."""
    usual = st.tuples(*map(st.sampled_from, columns)).map(list)
    cells = sorted({cell for column in columns for cell in column}) + ODD
    odd = st.lists(st.sampled_from(cells), min_size=1, max_size=len(columns) + 1)
    rows: list[list[str]] = draw(st.lists(st.one_of(usual, usual, usual, odd), min_size=1, max_size=25))
    return rows


def written(folder: Path, files: Files) -> Path:
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


def load_or_refuse(path: Path, name: str) -> KnowledgeGraph | None:
    """Give the graph, checked, or None where it was refused as bad input; anything else is a failure."""
    try:
        kg = load_kg(path, format=name, on_error="skip")
    except RxweaveError:
        return None
    report = kg.report
    assert report.facts == kg.edges.height > 0 or report.rows_read == report.rejected_rows
    assert report.nodes == kg.nodes.height
    assert kg.edges.select(EDGE_COLUMNS).is_unique().all()
    assert kg.nodes["node_key"].is_unique().all()
    assert kg.nodes.null_count().sum_horizontal().item() == 0
    assert build_graph(kg).num_facts == report.facts
    return kg


@pytest.mark.parametrize("name", FORMATS)
def test_rows_in_are_facts_duplicates_and_rejected_rows(name: str) -> None:
    beside, header, columns = FORMATS[name]
    separator = b"," if b"," in header else b"\t"
    accepted = 0

    @BOUNDED
    @given(rows=rows_of(columns))
    def check(rows: list[list[str]]) -> None:
        nonlocal accepted
        lines = [separator.join(cell.encode() for cell in row) for row in rows]
        with tempfile.TemporaryDirectory() as folder:
            path = written(Path(folder), {**beside, "edges.txt": header + b"\n".join(lines) + b"\n"})
            kg = load_or_refuse(path if beside else path / "edges.txt", name)
        if kg is not None:
            accepted += 1
            # A first line of triples may be read as a header, and says so.
            read_as_header = any("read as a header" in note for note in kg.report.notes)
            assert kg.report.rows_read + read_as_header == sum(bool(line.strip(b"\r\n ")) for line in lines)

    check()
    assert accepted >= 5


def damaged(content: bytes) -> st.SearchStrategy[bytes]:
    """Bytes of a real file with a few pieces replaced, left out or doubled."""
    piece = st.one_of(
        st.binary(max_size=4), st.sampled_from([b'"', b"\n", b"\r\n", b"\t", b",", b"\xff", b"\x00", b'""', b"::"])
    )
    cut = st.tuples(st.integers(0, len(content)), st.integers(0, 30), piece)

    def apply(cuts: list[tuple[int, int, bytes]]) -> bytes:
        found = content
        for place, length, new in cuts:
            found = found[:place] + new + found[place + length :]
        return found

    return st.lists(cut, min_size=1, max_size=4).map(apply)


REAL: dict[str, Files] = {
    "primekg": {"kg.csv": PRIMEKG},
    "hetionet": {name: (DATA / "hetionet" / name).read_bytes() for name in ("nodes.tsv", "edges.tsv")},
    "kgx": {name: (DATA / "kgx" / name).read_bytes() for name in ("small_nodes.tsv", "small_edges.tsv")},
    "triples": {"drkg.tsv": (DATA / "triples" / "drkg.tsv").read_bytes()},
    "primekg_pair": {
        "nodes.tab": PAIR_NODES,
        "edges.csv": b"relation,display_relation,x_index,y_index\nindication,a,0,1\ndrug_protein,b,0,2\n",
    },
}


@pytest.mark.parametrize("name", REAL)
def test_damaged_bytes_are_read_or_refused(name: str) -> None:
    @BOUNDED
    @given(data=st.data())
    def check(data: st.DataObject) -> None:
        hit = data.draw(st.sampled_from(sorted(REAL[name])))
        files = {**REAL[name], hit: data.draw(damaged(REAL[name][hit]))}
        with tempfile.TemporaryDirectory() as folder:
            load_or_refuse(written(Path(folder), files), name)

    check()


def test_damaged_parquet_is_read_or_refused(tmp_path: Path) -> None:
    table = pl.read_csv(DATA / "triples" / "drkg.tsv", separator="\t", has_header=False)
    table.rename(dict(zip(table.columns, ("head", "relation", "tail"), strict=True))).write_parquet(
        tmp_path / "e.parquet"
    )
    content = (tmp_path / "e.parquet").read_bytes()

    @BOUNDED
    @given(data=damaged(content))
    def check(data: bytes) -> None:
        (tmp_path / "e.parquet").write_bytes(data)
        load_or_refuse(tmp_path / "e.parquet", "parquet")

    check()


# Round trips: a drawn graph, written by each format's rules, comes back fact for fact.

Fact = tuple[tuple[str, str], tuple[str, str]]
IDS = st.text(alphabet=string.ascii_letters + string.digits + ". -(),'\"é", min_size=1, max_size=8).filter(
    lambda text: text == text.strip() and text not in ("", '"') and not text.startswith('"')
)
GRAPHS: st.SearchStrategy[set[Fact]] = st.sets(
    st.tuples(st.tuples(st.just("drug"), IDS), st.tuples(st.just("disease"), IDS)), min_size=1, max_size=12
)


def as_primekg(folder: Path, facts: list[Fact]) -> None:
    rows = [
        ("indication", "indication", kind, number, number, "S", other, id_, id_, "S")
        for (kind, number), (other, id_) in facts + [(target, source) for source, target in facts]
    ]
    columns = (
        "relation",
        "display_relation",
        *(f"{side}_{part}" for side in "xy" for part in ("type", "id", "name", "source")),
    )
    pl.DataFrame(rows, schema=columns, orient="row").write_csv(folder / "kg.csv")


def as_hetionet(folder: Path, facts: list[Fact]) -> None:
    kinds = {"drug": "Compound", "disease": "Disease"}
    ends = sorted({end for fact in facts for end in fact})
    nodes = [(f"{kinds[kind]}::{id_}", id_, kinds[kind]) for kind, id_ in ends]
    edges = [(f"Compound::{drug}", "CtD", f"Disease::{disease}") for (_, drug), (_, disease) in facts]
    pl.DataFrame(nodes, schema=["id", "name", "kind"], orient="row").write_csv(folder / "nodes.tsv", separator="\t")
    pl.DataFrame(edges, schema=["source", "metaedge", "target"], orient="row").write_csv(
        folder / "edges.tsv", separator="\t"
    )


def as_kgx(folder: Path, facts: list[Fact]) -> None:
    ends = sorted({end for fact in facts for end in fact})
    nodes = [(f"{kind}:{id_}", f"biolink:{kind}", id_) for kind, id_ in ends]
    edges = [(f"drug:{drug}", "biolink:treats", f"disease:{disease}") for (_, drug), (_, disease) in facts]
    pl.DataFrame(nodes, schema=["id", "category", "name"], orient="row").write_csv(folder / "nodes.tsv", separator="\t")
    pl.DataFrame(edges, schema=["subject", "predicate", "object"], orient="row").write_csv(
        folder / "edges.tsv", separator="\t"
    )


def as_triples(folder: Path, facts: list[Fact]) -> None:
    rows = [(f"drug::{drug}", "treats", f"disease::{disease}") for (_, drug), (_, disease) in facts]
    pl.DataFrame(rows, schema=["h", "r", "t"], orient="row").write_csv(
        folder / "t.tsv", separator="\t", include_header=False
    )


def as_parquet(folder: Path, facts: list[Fact]) -> None:
    rows = [(f"drug::{drug}", "treats", f"disease::{disease}") for (_, drug), (_, disease) in facts]
    pl.DataFrame(rows, schema=["head", "relation", "tail"], orient="row").write_parquet(folder / "t.parquet")


def as_pair(folder: Path, facts: list[Fact]) -> None:
    ends = sorted({end for fact in facts for end in fact})
    nodes = [(str(i), id_, kind, id_, "S") for i, (kind, id_) in enumerate(ends)]
    schema = ["node_index", "node_id", "node_type", "node_name", "node_source"]
    pl.DataFrame(nodes, schema=schema, orient="row").write_csv(
        folder / "nodes.tab", separator="\t", quote_style="always"
    )
    rows = [("indication", "indication", str(ends.index(one)), str(ends.index(other))) for one, other in facts]
    pl.DataFrame(rows, schema=["relation", "display_relation", "x_index", "y_index"], orient="row").write_csv(
        folder / "edges.csv"
    )


@pytest.mark.parametrize("write", [as_primekg, as_pair, as_hetionet, as_kgx, as_triples, as_parquet])
def test_a_graph_comes_back_from_its_file(write: Callable[[Path, list[Fact]], None]) -> None:
    @BOUNDED
    @given(facts=GRAPHS)
    def check(facts: set[Fact]) -> None:
        with tempfile.TemporaryDirectory() as folder:
            write(Path(folder), sorted(facts))
            kg = load_kg(folder)
        bare = dict(
            zip(kg.nodes["node_key"], kg.nodes["node_key"].str.splitn("|", 3).struct.field("field_2"), strict=True)
        )
        assert {
            (bare[source], bare[target]) for source, target in kg.edges.select("source_key", "target_key").iter_rows()
        } == {(drug, disease) for (_, drug), (_, disease) in facts}
        assert kg.report.facts == len(facts)
        assert kg.report.rejected_rows == 0

    check()
