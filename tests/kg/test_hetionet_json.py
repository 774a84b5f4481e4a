"""Hetionet's JSON gives the graph of its tables."""

from __future__ import annotations

import bz2
import csv
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rxweave.errors import InputError, RxweaveError
from rxweave.kg.hetionet import METAEDGES
from rxweave.kg.sources import load_kg

SLICE = Path(__file__).parents[1] / "data" / "hetionet"
ABBREVIATIONS = {
    **{"Compound": "C", "Disease": "D", "Gene": "G", "Side Effect": "SE", "Symptom": "S"},
    **{"treats": "t", "palliates": "p", "resembles": "r", "regulates": "r", "interacts": "i", "causes": "c"},
    **{"associates": "a", "binds": "b"},
}


def table(name: str) -> list[dict[str, str]]:
    with (SLICE / name).open(newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


def end(written: str) -> list[Any]:
    kind, identifier = written.split("::", 1)
    return [kind, int(identifier) if identifier.isdigit() else identifier]  # genes have numbers in the JSON


def hetnet() -> dict[str, Any]:
    nodes = [
        {
            "kind": row["kind"],
            "identifier": end(row["id"])[1],
            "name": row["name"],
            "data": {"license": "CC0", "x": [1, {}]},
        }
        for row in table("nodes.tsv")
    ]
    edges = [
        {
            "source_id": end(row["source"]),
            "target_id": end(row["target"]),
            "kind": METAEDGES[row["metaedge"]][1],
            "direction": "forward" if ">" in row["metaedge"] else "both",
            "data": {"unbiased": False, "sources": ["a ] b", "}"]},
        }
        for row in table("edges.tsv")
    ]
    return {
        "metanode_kinds": ["Gene"],
        "metaedge_tuples": [["Gene", "Gene", "regulates", "forward"]],
        "kind_to_abbrev": ABBREVIATIONS,
        "nodes": nodes,
        "edges": edges,
    }


def write(folder: Path, told: dict[str, Any], *, indent: int | None = None) -> Path:
    path = folder / "hetionet-v1.0.json.bz2"
    path.write_bytes(bz2.compress(json.dumps(told, indent=indent).encode()))
    return path


@pytest.mark.parametrize("indent", [None, 2])
def test_the_json_gives_the_graph_of_the_tables(tmp_path: Path, indent: int | None) -> None:
    tables = load_kg(SLICE)
    path = write(tmp_path, hetnet(), indent=indent)
    for source in (path, tmp_path):
        kg = load_kg(source)
        assert kg.edges.equals(tables.edges)
        assert kg.nodes.equals(tables.nodes)
        assert (kg.name, kg.relations, kg.roles) == (tables.name, tables.relations, tables.roles)
        counts = ("rows_read", "facts", "exact_duplicates", "swapped_duplicates", "self_loops", "renamed_ids")
        assert all(getattr(kg.report, count) == getattr(tables.report, count) for count in counts)


def test_a_backward_edge_is_turned(tmp_path: Path) -> None:
    told = hetnet()
    turned = next(edge for edge in told["edges"] if edge["direction"] == "forward")
    turned["source_id"], turned["target_id"] = turned["target_id"], turned["source_id"]
    turned["direction"] = "backward"
    assert load_kg(write(tmp_path, told)).edges.equals(load_kg(SLICE).edges)


@pytest.mark.parametrize(
    "edge",
    [
        {"source_id": ["Gene", 5148], "target_id": ["Gene", 9021], "kind": "unheard of", "direction": "both"},
        {"source_id": ["Gene"], "target_id": ["Gene", 9021], "kind": "interacts", "direction": "both"},
        {"source_id": ["Gene", True], "target_id": ["Gene", 9021], "kind": "interacts", "direction": "both"},
        {"source_id": ["Gene", 5148], "kind": "interacts", "direction": "both"},
        "no edge",
        None,
    ],
)
def test_a_malformed_edge_is_named_or_skipped_and_counted(tmp_path: Path, edge: object) -> None:
    told = hetnet()
    told["edges"].append(edge)
    with pytest.raises(InputError, match=r"line 12: edge is not as Hetionet's are"):
        load_kg(write(tmp_path, told))
    report = load_kg(write(tmp_path, told), on_error="skip").report
    assert (report.rows_read, report.rejected_rows) == (12, 1)


def test_a_malformed_node_is_named(tmp_path: Path) -> None:
    told = hetnet()
    told["nodes"][3]["identifier"] = None
    with pytest.raises(InputError, match="line 4: node is not as Hetionet's are"):
        load_kg(write(tmp_path, told))


def test_a_file_that_breaks_off_says_where(tmp_path: Path) -> None:
    text = json.dumps(hetnet())
    (tmp_path / "h.json").write_text(text[: text.rindex("source_id") - 2])
    with pytest.raises(InputError, match="its edges break off or are damaged after 10"):
        load_kg(tmp_path / "h.json")
    (tmp_path / "h.json").write_text(text[: text.index('"edges"')])
    with pytest.raises(InputError, match="no list of edges"):
        load_kg(tmp_path / "h.json")
    (tmp_path / "h.json").write_text(text.replace("kind_to_abbrev", "kinds"))
    with pytest.raises(InputError, match="no kind_to_abbrev"):
        load_kg(tmp_path / "h.json")


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(
    cuts=st.lists(st.tuples(st.integers(0, 6000), st.integers(0, 20), st.binary(max_size=4)), min_size=1, max_size=4)
)
def test_damaged_json_is_read_or_refused(tmp_path: Path, cuts: list[tuple[int, int, bytes]]) -> None:
    data = json.dumps(hetnet()).encode()
    for place, length, new in cuts:
        data = data[:place] + new + data[place + length :]
    (tmp_path / "h.json").write_bytes(data)
    try:
        report = load_kg(tmp_path / "h.json", format="hetionet_json", on_error="skip").report
    except RxweaveError:
        return
    assert report.rows_read <= 12
