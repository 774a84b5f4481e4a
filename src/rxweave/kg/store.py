"""A loaded graph on disk: two Parquet tables and the report of how they were read."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl

from rxweave.artifacts import atomic_path, write_json
from rxweave.errors import InputError
from rxweave.kg.ledger import ledger_of
from rxweave.kg.tables import (
    EDGE_COLUMNS,
    NODE_COLUMNS,
    SYNONYM_COLUMNS,
    FoldedRow,
    InputFile,
    KnowledgeGraph,
    LoadReport,
    RejectedRow,
    Relation,
    Roles,
)
from rxweave.kg.text import OnError
from rxweave.kg.types import Reader, RoleChoice

_FILES = ("nodes.parquet", "edges.parquet", "load_report.json")


def write_kg(kg: KnowledgeGraph, folder: Path) -> None:
    """Write nodes, edges, the ledger and any synonyms as Parquet, and `load_report.json`, each whole or not at all."""
    tables = {"nodes": kg.nodes, "edges": kg.edges, "ledger": ledger_of(kg.report)} | (
        {} if kg.synonyms is None else {"synonyms": kg.synonyms}
    )
    (folder / "synonyms.parquet").unlink(missing_ok=True)
    for name, table in tables.items():
        with atomic_path(folder / f"{name}.parquet") as temporary:
            table.write_parquet(temporary)
    write_json(
        folder / "load_report.json",
        {"name": kg.name, "relations": kg.relations, "roles": kg.roles, "report": kg.report},
    )


def find(path: Path) -> tuple[Path, ...] | None:
    """Give the files of loaded tables in a folder, the report last, or None."""
    files = tuple(path / name for name in _FILES)
    return files if path.is_dir() and all(file.is_file() for file in files) else None


def read(files: tuple[Path, ...], on_error: OnError, choice: RoleChoice) -> KnowledgeGraph:
    """Read tables that were loaded before, as they were cleaned then; `on_error` finds nothing to do."""
    kg = read_kg(files[-1].parent)
    return replace(kg, roles=choice.over(kg.roles))


def read_kg(folder: Path) -> KnowledgeGraph:
    """Give the graph that `write_kg` wrote, without a synthetic one's truth, which is not kept.

    Raises InputError for a file that is missing, damaged, or of another kind.
    """
    for name in _FILES:
        if not (folder / name).is_file():
            raise InputError(f"{folder} holds no loaded graph ({name} is missing). Load one first: rxweave run.")
    synonyms = folder / "synonyms.parquet"
    try:
        told: dict[str, Any] = json.loads((folder / "load_report.json").read_text(encoding="utf-8"))
        roles, report = told["roles"], told["report"]
        return KnowledgeGraph(
            name=told["name"],
            nodes=_table(folder / "nodes.parquet", NODE_COLUMNS),
            edges=_table(folder / "edges.parquet", EDGE_COLUMNS),
            synonyms=_table(synonyms, SYNONYM_COLUMNS) if synonyms.is_file() else None,
            relations=tuple(Relation(**relation) for relation in told["relations"]),
            roles=Roles(
                roles["drug"], roles["disease"], roles["gene"], tuple(roles["treats"]), tuple(roles["contraindicated"])
            ),
            report=LoadReport(
                **{
                    **report,
                    "files": tuple(InputFile(**file) for file in report["files"]),
                    "renamed_examples": tuple(report["renamed_examples"]),
                    "rejected_examples": tuple(RejectedRow(**row) for row in report["rejected_examples"]),
                    "folded_examples": tuple(FoldedRow(**row) for row in report.get("folded_examples", ())),
                    "notes": tuple(report["notes"]),
                }
            ),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, pl.exceptions.PolarsError) as error:
        reason = f"no {error}" if isinstance(error, KeyError) else " ".join(str(error).split())
        raise InputError(
            f"{folder} does not hold a whole graph: {reason.removesuffix('.')}. Make the run again: rxweave run."
        ) from error


READER = Reader("a folder of tables that rxweave loaded: 02_graph/NAME of a run", (), find, read)


def _table(path: Path, columns: tuple[str, ...]) -> pl.DataFrame:
    table = pl.read_parquet(path)
    absent = [column for column in columns if column not in table.columns]
    if absent:
        raise ValueError(f"{path.name} has no column {', '.join(absent)}")
    return table
