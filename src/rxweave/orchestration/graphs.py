"""Which graph a run is of: the demo as long as there is nothing else, one partition per graph once there is.

Graphs are files and folders in the folder `graphs` (or RXWEAVE_GRAPHS). Where that folder is missing, assets have no
partitions, so that "materialize all" asks nothing and runs the demo.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import dagster as dg

DEMO = "demo"
PARTITIONS = "knowledge_graphs"
"""Name of the dynamic partitions, a key for each graph."""


def graphs_folder() -> Path:
    """Give the folder of the user's graphs, which need not exist."""
    return Path(os.environ.get("RXWEAVE_GRAPHS", "graphs"))


def partitions_of_graphs() -> dg.DynamicPartitionsDefinition | None:
    """Give the partitions, or None where only the demo is at hand."""
    return dg.DynamicPartitionsDefinition(name=PARTITIONS) if graphs_folder().is_dir() else None


def graph_files(folder: Path) -> list[Path]:
    """Give the graphs in a folder, a file or a folder each, by name; hidden ones and notes are none."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if not path.name.startswith(".") and path.suffix != ".md")


def source_of(partition: str) -> str:
    """Give what `load.kg` is for a partition: a path in the folder of graphs, else the name itself."""
    path = graphs_folder() / partition
    return str(path) if path.exists() else partition


def folder_name(kg: str) -> str:
    """Give the name of a graph's own folder: demo:600 becomes demo-600, graphs/kg.csv becomes kg.csv."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", Path(kg).name).strip("-.") or "graph"
