"""Clusters read back from the files that `write.write_clusters` left."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from rxweave.errors import InputError

NODE_COLUMNS = ("node_key", "node_name", "state", "cluster", "centrality", "x", "y")
GROUP_COLUMNS = ("cluster", "name", "size", "stability", "word", "medoid_name", "num_enriched")


@dataclass(frozen=True, eq=False)
class ClustersOfType:
    """The clusters of one node type, as far as a report shows them (columns as in `clusters.Clusters`)."""

    node_type: str
    nodes: pl.DataFrame
    groups: pl.DataFrame
    cautions: tuple[str, ...]


def read_clusters(tables: Path, reporting: Path) -> tuple[ClustersOfType, ...]:
    """Give the clusters of every node type whose files lie in the two folders of a run, by the type's name.

    Raises InputError for a file that is damaged, or missing beside the others.
    """
    found = []
    for nodes in sorted(tables.glob("clusters_*_nodes.parquet")):
        stem = nodes.name.removesuffix("_nodes.parquet")
        groups, summary = tables / f"{stem}_groups.parquet", reporting / f"{stem}.json"
        try:
            told = json.loads(summary.read_text(encoding="utf-8"))
            found.append(
                ClustersOfType(
                    str(told["node_type"]),
                    pl.read_parquet(nodes).select(*NODE_COLUMNS),
                    pl.read_parquet(groups).select(*GROUP_COLUMNS),
                    tuple(map(str, told["cautions"])),
                )
            )
        except (OSError, ValueError, KeyError, TypeError, pl.exceptions.PolarsError) as error:
            reason = f"no {error}" if isinstance(error, KeyError) else " ".join(str(error).split())
            raise InputError(
                f"The clusters {stem} of {tables.parent} cannot be read: {reason}. Make them again: rxweave cluster."
            ) from error
    return tuple(sorted(found, key=lambda each: each.node_type))
