"""A loaded graph on disk: two Parquet tables and the report of how they were read."""

from __future__ import annotations

from pathlib import Path

from rxweave.artifacts import atomic_path, write_json
from rxweave.kg.tables import KnowledgeGraph


def write_kg(kg: KnowledgeGraph, folder: Path) -> None:
    """Write `nodes.parquet`, `edges.parquet` and `load_report.json` into a folder, each whole or not at all."""
    for name, table in (("nodes", kg.nodes), ("edges", kg.edges)):
        with atomic_path(folder / f"{name}.parquet") as temporary:
            table.write_parquet(temporary)
    write_json(
        folder / "load_report.json",
        {"name": kg.name, "relations": kg.relations, "roles": kg.roles, "report": kg.report},
    )
