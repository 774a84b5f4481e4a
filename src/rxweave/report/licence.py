"""What may be done with a graph: its licence in the catalogue, as surely as the run can tell which graph it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from rxweave.kg.catalogue import source_named, source_names
from rxweave.kg.catalogue.source import Source
from rxweave.kg.tables import KnowledgeGraph

SYNTHETIC = "demo"


@dataclass(frozen=True)
class DataLicence:
    """What is known of a graph's terms."""

    known: Literal["catalogue", "by name", "made up", "unknown"]
    """catalogue: the graph was asked for by its name there, or a file has the checksum it has there; by name: only its
    name is that of one there; made up: the demo; unknown: the user's own."""
    source: Source | None


def licence_of(kg: KnowledgeGraph, manifest: Mapping[str, object]) -> DataLicence:
    """Give the terms of a run's graph, from the settings and input files that the run recorded."""
    settings = manifest.get("settings")
    load = settings.get("load") if isinstance(settings, Mapping) else None
    asked = str(load.get("kg", "")) if isinstance(load, Mapping) else ""
    if asked.partition(":")[0] == SYNTHETIC or kg.report.source == SYNTHETIC:
        return DataLicence("made up", None)
    names = source_names()
    if asked in names:
        return DataLicence("catalogue", source_named(asked))
    checksums = {file.sha256 for file in kg.report.files}
    for name in names:
        source = source_named(name)
        if any(file.sha256 is not None and file.sha256 in checksums for file in source.files):
            return DataLicence("catalogue", source)
    if kg.name.lower() in names:
        return DataLicence("by name", source_named(kg.name.lower()))
    return DataLicence("unknown", None)
