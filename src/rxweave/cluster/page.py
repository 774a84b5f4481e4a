"""Clusters as one HTML page: a map that is panned, zoomed and searched, without a network."""

from __future__ import annotations

from importlib.resources import files

import polars as pl
from jinja2 import Environment, FunctionLoader, StrictUndefined

from rxweave import __version__
from rxweave.artifacts import script_json
from rxweave.cluster.clusters import CLUSTERED, Clusters

TOP_TERMS = 8
"""Enriched neighbours that the page lists of a cluster; the tables hold all."""
TOP_MEMBERS = 5


def render_page(found: Clusters, *, title: str) -> str:
    """Give the page as text. Names reach it escaped, and its script as data alone."""
    environment = Environment(loader=FunctionLoader(_source), autoescape=True, undefined=StrictUndefined)
    chosen = found.stability.chosen
    return environment.get_template("page.html.j2").render(
        title=title,
        version=__version__,
        found=found,
        chosen=chosen,
        states=dict(found.nodes["state"].value_counts().sort("state").iter_rows()),
        clustered=CLUSTERED,
        groups=_groups(found),
        data=script_json(_points(found)),
    )


def _source(name: str) -> str:
    return (files("rxweave.cluster") / name).read_text(encoding="utf-8")


def _points(found: Clusters) -> dict[str, object]:
    placed = found.nodes.drop_nulls("x")
    return {
        "x": [round(value, 4) for value in placed["x"].to_list()],
        "y": [round(value, 4) for value in placed["y"].to_list()],
        "c": placed["cluster"].fill_null(-1).to_list(),
        "n": placed["node_name"].to_list(),
        "k": placed["node_key"].to_list(),
        "m": (placed["centrality"] == 1).fill_null(value=False).to_list(),
        "names": found.clusters["name"].to_list(),
    }


def _groups(found: Clusters) -> list[dict[str, object]]:
    members = found.nodes.drop_nulls("cluster").sort("cluster", "centrality")
    return [
        {
            **row,
            "terms": found.enrichment.filter(pl.col("cluster") == row["cluster"]).head(TOP_TERMS).to_dicts(),
            "members": members.filter(pl.col("cluster") == row["cluster"])["node_name"].head(TOP_MEMBERS).to_list(),
        }
        for row in found.clusters.iter_rows(named=True)
    ]
