"""The run's record (settings, versions, stage times) as plain tables of text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

SHOWN_ELSEWHERE = ("inputs",)
"""The load report lists the input files already."""


@dataclass(frozen=True)
class ManifestTable:
    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def manifest_tables(manifest: Mapping[str, object]) -> list[ManifestTable]:
    """Give a table for each part of a manifest: single values first, then each part in its own order.

    A part that is a list of mappings (stages) has a column per key; a mapping (settings, versions) has a row
    per value, nested names joined by dots. Empty parts have no table.
    """
    single: list[tuple[str, str]] = []
    tables = []
    for key, part in manifest.items():
        title = key.replace("_", " ").capitalize()
        if key in SHOWN_ELSEWHERE:
            continue
        if isinstance(part, Mapping):
            rows = tuple(_flat(part))
            tables.append(ManifestTable(title, ("Name", "Value"), rows))
        elif isinstance(part, Sequence) and part and all(isinstance(entry, Mapping) for entry in part):
            tables.append(_table_of_records(title, part))
        else:
            single.append((title, _text(part)))
    first = [ManifestTable("Run", ("Name", "Value"), tuple(single))]
    return [table for table in first + tables if table.rows]


def seed_of(manifest: Mapping[str, object]) -> object:
    """Give the seed of the run: of the manifest itself, or of its settings; None when it names none."""
    for part in (manifest, manifest.get("settings"), manifest.get("config")):
        if isinstance(part, Mapping) and "seed" in part:
            return part["seed"]
    return None


def result_of(manifest: Mapping[str, object], name: str) -> object:
    """Give one of the results that a run has recorded; None if it has not."""
    results = manifest.get("results")
    return results.get(name) if isinstance(results, Mapping) else None


def _flat(part: Mapping[object, object], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, value in part.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            yield from _flat(value, f"{name}.")
        else:
            yield name, _text(value)


def _table_of_records(title: str, records: Sequence[Mapping[object, object]]) -> ManifestTable:
    keys = list(dict.fromkeys(key for record in records for key in record))
    return ManifestTable(
        title,
        tuple(str(key).replace("_", " ").capitalize() for key in keys),
        tuple(tuple(_text(record.get(key, "")) for key in keys) for record in records),
    )


def _text(value: object) -> str:
    if value is None:
        return "not set"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}" if abs(value) >= 10_000 else str(value)
    if isinstance(value, float):
        return f"{value:,.6g}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(map(_text, value)) or "none"
    return str(value)
