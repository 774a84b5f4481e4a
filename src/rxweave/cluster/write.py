"""Clusters as files: tables as Parquet and CSV, and a map to look at in a browser."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from rxweave import __version__
from rxweave.artifacts import atomic_path, write_json
from rxweave.cluster.clusters import Clusters
from rxweave.cluster.page import render_page


@dataclass(frozen=True)
class WrittenClusters:
    """Where the clusters of a type lie."""

    page: Path
    summary: Path
    tables: tuple[Path, ...]


def write_clusters(found: Clusters, tables: Path, reporting: Path, *, title: str) -> WrittenClusters:
    """Write `clusters_TYPE_nodes`, `_groups` and `_enrichment` (.parquet, .csv), a page and its numbers as JSON.

    Each file appears whole or not at all; the page, which is written last, replaces that of earlier clusters.
    """
    stem = f"clusters_{file_name(found.node_type)}"
    written = []
    parts = {"nodes": found.nodes, "groups": found.clusters, "enrichment": found.enrichment}
    for name, table in parts.items():
        for ending in ("parquet", "csv"):
            path = tables / f"{stem}_{name}.{ending}"
            with atomic_path(path) as temporary:
                if ending == "csv":
                    table.write_csv(temporary)
                else:
                    table.write_parquet(temporary, metadata={"rxweave": __version__, "seed": str(found.seed)})
            written.append(path)
    summary, page = reporting / f"{stem}.json", reporting / f"{stem}.html"
    write_json(summary, summary_of(found))
    with atomic_path(page) as temporary:
        temporary.write_text(render_page(found, title=title), encoding="utf-8", newline="\n")
    return WrittenClusters(page, summary, tuple(written))


def remove_clusters(node_type: str, tables: Path, reporting: Path) -> None:
    """Remove the files of a type's clusters, if there are any: those of other embeddings."""
    stem = f"clusters_{file_name(node_type)}"
    for path in (*tables.glob(f"{stem}_*.*"), *reporting.glob(f"{stem}.*")):
        path.unlink()


def summary_of(found: Clusters) -> dict[str, object]:
    """Give the clusters and what they are worth, plain enough for JSON; members and enrichment are in the tables."""
    chosen = found.stability.chosen
    return {
        "node_type": found.node_type,
        "seed": found.seed,
        "settings": found.settings.model_dump(mode="json"),
        "nodes": dict(found.nodes["state"].value_counts().sort("state").iter_rows()),
        "resolution": chosen.resolution,
        "stability": {
            "mean_ari": chosen.stability,
            "standard_error": chosen.standard_error,
            "shuffled_dimensions": found.stability.control,
            "above_shuffled": found.stability.above_control,
            "tried": found.stability.tried,
        },
        "agreement": found.agreement,
        "clusters": found.clusters.with_columns(pl.col("size").cast(pl.Int64)).to_dicts(),
        "enrichment_tests": found.num_tests,
        "enriched": len(found.enrichment),
        "cautions": found.cautions,
        "note": "Clusters describe vectors; they are research leads, not medical advice.",
    }


def file_name(node_type: str) -> str:
    """Give a node type as part of a file's name: gene/protein becomes gene-protein."""
    return re.sub(r"[^A-Za-z0-9]+", "-", node_type).strip("-") or "nodes"
