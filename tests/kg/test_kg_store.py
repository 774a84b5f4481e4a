"""A loaded graph comes back from its files as it was."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from rxweave.errors import InputError
from rxweave.kg.demo import demo_kg
from rxweave.kg.sources import load_kg
from rxweave.kg.store import read_kg, write_kg

DATA = Path(__file__).resolve().parents[1] / "data"


@pytest.mark.parametrize("source", ["demo:200", "primekg", "hetionet", "kgx"])
def test_what_was_written_is_read(tmp_path: Path, source: str) -> None:
    path = DATA / source
    kg = load_kg(source if source.startswith("demo") else path if any(path.glob("*nodes*")) else next(path.iterdir()))
    write_kg(kg, tmp_path)
    got = read_kg(tmp_path)
    assert got.nodes.equals(kg.nodes)
    assert got.edges.equals(kg.edges)
    assert (got.synonyms is None) == (kg.synonyms is None) == (source not in ("primekg", "hetionet"))
    assert got.synonyms is None or got.synonyms.equals(kg.synonyms)
    same = {"nodes": kg.nodes, "edges": kg.edges, "synonyms": None}
    assert replace(got, **same) == replace(kg, truth=None, synonyms=None)


def test_synonyms_of_an_earlier_graph_do_not_stay(tmp_path: Path) -> None:
    write_kg(load_kg(DATA / "primekg"), tmp_path)
    write_kg(load_kg(DATA / "kgx"), tmp_path)
    assert read_kg(tmp_path).synonyms is None


def test_a_folder_that_does_not_hold_a_whole_graph_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nodes\.parquet is missing"):
        read_kg(tmp_path)
    write_kg(demo_kg(num_nodes=200, num_edges=1000), tmp_path)
    whole = {name: (tmp_path / name).read_bytes() for name in ("nodes.parquet", "edges.parquet", "load_report.json")}
    for name, content in whole.items():
        for damaged in (b"", content[: len(content) // 2], b"[]"):
            (tmp_path / name).write_bytes(damaged)
            with pytest.raises(InputError, match="does not hold a whole graph"):
                read_kg(tmp_path)
        (tmp_path / name).write_bytes(content)
    (tmp_path / "edges.parquet").write_bytes(whole["nodes.parquet"])
    with pytest.raises(InputError, match="no column source_key"):
        read_kg(tmp_path)


def test_stored_tables_are_a_source_with_roles_of_choice(tmp_path: Path) -> None:
    kg = load_kg(DATA / "primekg")
    write_kg(kg, tmp_path)
    again = load_kg(tmp_path)
    assert again.edges.equals(kg.edges)
    assert (again.name, again.report, again.roles) == (kg.name, kg.report, kg.roles)
    assert load_kg(tmp_path, treats=["off-label use"]).roles.treats == ("off-label use",)
