from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import polars as pl
import pytest
from report_data import NASTY, ROLES, Element, read_html

from rxweave.cluster.read import ClustersOfType, read_clusters
from rxweave.errors import InputError
from rxweave.report.clusters import MOST_POINTS, MOST_TYPES, NUMBERED, SHOWN, cluster_map, shown_clusters
from rxweave.report.page import ReportData, render_page

SVG = "{http://www.w3.org/2000/svg}"


def made_up(node_type: str, *, size: int = 60, groups: int = 3) -> ClustersOfType:
    rng = np.random.default_rng(0)
    cluster = [None if i % 10 == 9 else i % groups for i in range(size)]
    nodes = pl.DataFrame(
        {
            "node_key": [f"{node_type}|{i}" for i in range(size)],
            "node_name": [f"{node_type} {i} {NASTY}" for i in range(size)],
            "state": ["clustered" if each is not None else "in no cluster" for each in cluster],
            "cluster": pl.Series(cluster, dtype=pl.Int32),
            "centrality": pl.Series([1] * size, dtype=pl.Int32),
            "x": pl.Series([None, *rng.normal(size=size - 1)], dtype=pl.Float32),
            "y": pl.Series([None, *rng.normal(size=size - 1)], dtype=pl.Float32),
        }
    )
    table = pl.DataFrame(
        {
            "cluster": pl.Series(range(groups), dtype=pl.Int32),
            "name": [f"called {i} {NASTY}" for i in range(groups)],
            "size": pl.Series([cluster.count(i) for i in range(groups)], dtype=pl.UInt32),
            "stability": [0.75] * groups,
            "word": ["stable"] * groups,
            "medoid_name": ["medoid"] * groups,
            "num_enriched": pl.Series([5] * groups, dtype=pl.UInt32),
        }
    )
    return ClustersOfType(node_type, nodes, table, ("Take <care>.",))


def write(found: ClustersOfType, folder: Path) -> None:
    for name, table in (("nodes", found.nodes), ("groups", found.groups)):
        table.with_columns(more=pl.lit(1)).write_parquet(folder / f"clusters_{found.node_type}_{name}.parquet")
    told = {"node_type": found.node_type, "cautions": found.cautions}
    (folder / f"clusters_{found.node_type}.json").write_text(json.dumps(told), encoding="utf-8")


@pytest.mark.usefixtures("blank_figures")
def test_types_are_shown_with_their_map_and_names_drugs_first(data: ReportData) -> None:
    found = tuple(made_up(each) for each in ("anatomy", "disease", "drug"))
    section = read_html(render_page(replace(data, clusters=found))).find("section", id="clusters")
    assert [title.text for title in section.find_all("h3")] == ["Drug", "Disease", "Anatomy"]
    assert len(section.find_all("img")) == 3
    table = section.find_all("table")[0]
    assert [row[1].text for row in table.rows()] == [f"called {i} {NASTY}" for i in range(3)]
    assert [row[2].text for row in table.rows()] == ["18", "18", "18"]
    assert table.find("caption").text.startswith("54 of 60 nodes in 3 clusters.")
    assert "Take <care>." in section.text
    assert "research leads, not medical advice" in section.text


def test_a_run_without_clusters_says_how_to_make_them(page: Element) -> None:
    section = page.find("section", id="clusters")
    assert "rxweave cluster --run" in section.text
    assert section.find_all("table") == section.find_all("img") == []


@pytest.mark.usefixtures("blank_figures")
def test_of_many_types_and_clusters_the_first_are_shown(data: ReportData) -> None:
    found = tuple(made_up(f"type {i}", size=400, groups=SHOWN + 5) for i in range(MOST_TYPES + 2))
    assert [each.node_type for each in shown_clusters(found, ROLES)] == [f"type {i}" for i in range(MOST_TYPES)]
    section = read_html(render_page(replace(data, clusters=found))).find("section", id="clusters")
    assert [len(table.rows()) for table in section.find_all("table")] == [SHOWN] * MOST_TYPES
    assert f"{SHOWN + 5} clusters, the {SHOWN} largest shown" in section.find_all("caption")[0].text


def test_the_map_numbers_the_largest_clusters_and_stays_small() -> None:
    svg = cluster_map(made_up("drug", size=3 * MOST_POINTS, groups=41).nodes)
    numbers = ["".join(text.itertext()).strip() for text in ElementTree.fromstring(svg).iter(f"{SVG}text")]
    assert numbers == [str(i) for i in range(NUMBERED)]
    assert len(svg) < 600_000
    assert svg == cluster_map(made_up("drug", size=3 * MOST_POINTS, groups=41).nodes)


def test_clusters_are_read_back_with_what_is_shown(tmp_path: Path) -> None:
    made = [made_up("drug"), made_up("disease")]
    for each in made:
        write(each, tmp_path)
    for each, again in zip(made[::-1], read_clusters(tmp_path, tmp_path), strict=True):
        assert (again.node_type, again.cautions) == (each.node_type, each.cautions)
        assert again.nodes.equals(each.nodes)
        assert again.groups.equals(each.groups)
    assert read_clusters(tmp_path / "none", tmp_path) == ()


@pytest.mark.parametrize("broken", ["_nodes.parquet", "_groups.parquet", ".json"])
def test_damaged_clusters_are_told_of(tmp_path: Path, broken: str) -> None:
    write(made_up("drug"), tmp_path)
    (tmp_path / f"clusters_drug{broken}").write_text("{}")
    with pytest.raises(InputError, match="Make them again"):
        read_clusters(tmp_path, tmp_path)
    (tmp_path / "clusters_drug.json").unlink()
    with pytest.raises(InputError, match="cannot be read"):
        read_clusters(tmp_path, tmp_path)
