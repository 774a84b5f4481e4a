"""One way in: a path, the name of a downloaded source, or the word "demo", becomes a knowledge graph."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import polars as pl

from rxweave.errors import ConfigError, InputError, did_you_mean
from rxweave.kg import (
    hetionet,
    hetionet_json,
    kgx,
    mapped,
    optimuskg,
    primekg,
    primekg_pair,
    store,
    triple_parquet,
    triples,
)
from rxweave.kg.catalogue import source_named, source_names
from rxweave.kg.catalogue.source import cache_folder
from rxweave.kg.files import listed, missing_path, text_files
from rxweave.kg.ledger import check_strict
from rxweave.kg.loaded import read_once
from rxweave.kg.parquet import is_parquet
from rxweave.kg.tables import KnowledgeGraph
from rxweave.kg.text import OnError, check_columns, first_records
from rxweave.kg.types import Reader, RoleChoice

READERS: dict[str, Reader] = {
    "primekg": primekg.READER,
    "primekg_pair": primekg_pair.READER,
    "hetionet": hetionet.READER,
    "hetionet_json": hetionet_json.READER,
    "kgx": kgx.READER,
    "optimuskg": optimuskg.READER,
    "tables": store.READER,
    "parquet": triple_parquet.READER,
    "triples": triples.READER,  # last: it takes any three columns, Hetionet's too
}
"""Every format by name, in the order in which they are tried. A new source is one file and one line here."""


def load_kg(
    source: str | Path,
    *,
    format: str = "auto",
    columns: Sequence[str] | None = None,
    include_node_types: Sequence[str] | None = None,
    treats: Sequence[str] | None = None,
    contraindicated: Sequence[str] | None = None,
    drug_type: str | None = None,
    disease_type: str | None = None,
    gene_type: str | None = None,
    on_error: OnError = "stop",
    strict: bool = False,
    seed: int = 0,
) -> KnowledgeGraph:
    """Give the knowledge graph at a path, or a made-up one for "demo" or "demo:6000" (its number of nodes).

    Where no path is there, the name of a source of the catalogue (`rxweave download --list`) is that of its download.

    The format is known by the content of the file or folder, unless `format` names one of READERS, or `columns` the
    columns of any table (`kg/mapped.py`).
    `include_node_types` keeps the nodes of these types and the facts between them; the report notes what was
    left out and otherwise describes the whole source. `treats`, `contraindicated` (relation names) and
    `drug_type`, `disease_type`, `gene_type` replace the format's own roles. A malformed row is an InputError
    with file and line, or, with `on_error="skip"`, left out, counted and listed; `strict` refuses a
    graph with anything to fold or mend in it but swapped copies. `seed` is the demo graph's. The
    tables of a large file are kept in the cache and read from there the next time.

    Raises InputError for what cannot be read or a node type that is not there, ConfigError for a setting that
    names an unknown format, type or relation.
    """
    if on_error not in ("stop", "skip"):
        raise ConfigError(f"on_error is {on_error!r}; expected 'stop' or 'skip'.")
    choice = RoleChoice(
        drug_type,
        disease_type,
        gene_type,
        None if treats is None else _names(treats, "treats"),
        None if contraindicated is None else _names(contraindicated, "contraindicated"),
    )
    if isinstance(source, str) and source.partition(":")[0] == "demo":
        kg = _demo(source, seed)
        kg = replace(kg, roles=choice.over(kg.roles))
    else:
        kg = _read(Path(source), format, columns, on_error, choice)
    _check_choice(kg, choice)
    if strict:
        check_strict(kg.report)
    if include_node_types is not None:
        kg = _keep_types(kg, _names(include_node_types, "include_node_types"))
    return _with_role_notes(kg)


def _read(
    path: Path, format: str, columns: Sequence[str] | None, on_error: OnError, choice: RoleChoice
) -> KnowledgeGraph:
    if columns is None:
        reader, files = _find(path, format)
        if reader is store.READER:  # kept tables already
            return reader.read(files, on_error, choice)
        return read_once(files, (reader.holds, on_error, choice), lambda: reader.read(files, on_error, choice))
    mapping = mapped.mapping_of(_names(columns, "columns"))
    if not path.exists():
        raise missing_path(path)
    return read_once(
        (path,), ("columns", mapping, on_error, choice), lambda: mapped.read(path, mapping, on_error, choice)
    )


def _demo(source: str, seed: int) -> KnowledgeGraph:
    _, colon, size = source.partition(":")
    if colon and not (size.isascii() and size.isdigit()):
        raise ConfigError(f"{source!r} does not say how many nodes; expected a whole number, as in 'demo:6000'.")
    from rxweave.kg.demo import demo_kg  # brings scikit-learn, which reading files does not need

    if not colon:
        return demo_kg(seed=seed)
    num_nodes = int(size)
    # As dense as the default demo, but a small one has not the pairs of drugs for that.
    return demo_kg(num_nodes=num_nodes, num_edges=num_nodes * min(20, num_nodes // 40), seed=seed)


def _find(path: Path, format: str) -> tuple[Reader, tuple[Path, ...]]:
    """Give the reader for a path and the files it is to read."""
    if not path.exists():
        path = _downloaded(path)
    if format == "auto":
        # Every other reader expects text, and would say so of a Parquet file.
        for reader in [optimuskg.READER, triple_parquet.READER] if is_parquet(path) else READERS.values():
            files = reader.find(path)
            if files is not None:
                return reader, files
        raise _unknown_format(path)
    if format not in READERS:
        known = ["auto", *READERS]
        raise ConfigError(f"format is {format!r}; expected one of {', '.join(known)}.{did_you_mean(format, known)}")
    reader = READERS[format]
    files = reader.find(path)
    if files is None and path.is_dir():
        raise InputError(f"{path} is not {format}: expected {reader.holds}. {_contents(path)}")
    if files is None:
        check_columns(path, first_records(path, 1)[0], reader.columns)
        files = (path,)
    return reader, files


def _downloaded(path: Path) -> Path:
    """Give the folder of a downloaded source that a path, where nothing lies, is the name of."""
    name = str(path)
    if name not in source_names():
        raise missing_path(path)
    source = source_named(name)
    folder = source.found()
    if folder is None:
        place = cache_folder() / name
        raise InputError(f"{name} is not downloaded yet: `rxweave download {name}` does it. {source.by_hand(place)}")
    return folder


def _unknown_format(path: Path) -> InputError:
    """Give the error for a path no reader knows; a header that is nearly right is told what it lacks."""
    expected = "; ".join(f"{name}: {reader.holds}" for name, reader in READERS.items())
    if path.is_dir():
        return InputError(f"{path} holds no graph. {_contents(path)} Expected {expected}.")
    found = first_records(path, 1)[0]
    for reader in READERS.values():
        if 2 * len(set(found) & set(reader.columns)) >= max(1, len(reader.columns)):
            check_columns(path, found, reader.columns)
    return InputError(f"{path} is not a graph: its first line has {', '.join(found)}. Expected {expected}.")


def _contents(folder: Path) -> str:
    """Say what lies in a folder, and why what looks like a table cannot be read."""
    said = [f"It holds {listed(sorted(entry.name for entry in folder.iterdir()))}."]
    for file in text_files(folder):
        try:
            first_records(file, 1)
        except InputError as error:
            said.append(str(error))
    return " ".join(said)


def _names(value: Sequence[str], setting: str) -> tuple[str, ...]:
    names = (value,) if isinstance(value, str) else tuple(value)
    if not names:
        raise ConfigError(f"{setting} is empty; name at least one, or leave it out.")
    return names


def _check_choice(kg: KnowledgeGraph, choice: RoleChoice) -> None:
    """Raise ConfigError where a chosen role names no type or relation of the graph, or the wrong one."""
    types = kg.nodes["node_type"].unique().sort().to_list()
    for setting, name in (
        ("drug_type", choice.drug),
        ("disease_type", choice.disease),
        ("gene_type", choice.gene),
    ):
        if name is not None and name not in types:
            raise ConfigError(
                f"{setting} is {name!r}, which is not a node type of {kg.name} (it has {', '.join(types)})."
                f"{did_you_mean(name, types)}"
            )
    for setting, names in (("treats", choice.treats), ("contraindicated", choice.contraindicated)):
        for name in names or ():
            _check_relation(kg, setting, name)
    if kg.roles.drug == kg.roles.disease:
        raise ConfigError(f"drug_type and disease_type are both {kg.roles.drug!r}; they must be two node types.")
    both = sorted(set(kg.roles.treats) & set(kg.roles.contraindicated))
    if both:
        raise ConfigError(f"{', '.join(both)} is in both treats and contraindicated; it can be one only.")


def _check_relation(kg: KnowledgeGraph, setting: str, name: str) -> None:
    ends = {kg.roles.drug, kg.roles.disease}
    fitting = sorted({rel.name for rel in kg.relations if {rel.source_type, rel.target_type} == ends})
    if name in fitting:
        return
    between = f"{kg.roles.drug} and {kg.roles.disease}"
    elsewhere = [str(rel) for rel in kg.relations if rel.name == name]
    what = f"which joins other types ({', '.join(elsewhere)})" if elsewhere else f"which {kg.name} does not have"
    raise ConfigError(
        f"{setting} names {name!r}, {what}. Between {between} it has {', '.join(fitting) or 'no relation'}."
        f"{did_you_mean(name, fitting)}"
    )


def _keep_types(kg: KnowledgeGraph, keep: tuple[str, ...]) -> KnowledgeGraph:
    """Give the graph of the nodes of these types and the facts between them; its notes say what is gone."""
    types = kg.nodes["node_type"].unique().sort().to_list()
    for name in keep:
        if name not in types:
            raise InputError(
                f"Node type {name!r} is not in {kg.name} (it has {', '.join(types)}).{did_you_mean(name, types)}"
            )
    kept = pl.col("node_type").is_in(keep)
    nodes, gone = kg.nodes.filter(kept), kg.nodes.filter(~kept)["node_key"].implode()
    edges = kg.edges.filter(~pl.col("source_key").is_in(gone) & ~pl.col("target_key").is_in(gone))
    relations = tuple(rel for rel in kg.relations if rel.source_type in keep and rel.target_type in keep)
    note = (
        f"Only the node types {', '.join(sorted(set(keep)))} were kept, which left out "
        f"{kg.nodes.height - nodes.height:,} of {kg.nodes.height:,} nodes and "
        f"{kg.edges.height - edges.height:,} of {kg.edges.height:,} facts. "
        "The counts of this report are those of the whole source."
    )
    report = replace(kg.report, notes=(*kg.report.notes, note))
    return replace(kg, nodes=nodes, edges=edges, relations=relations, report=report)


def _with_role_notes(kg: KnowledgeGraph) -> KnowledgeGraph:
    """Take away a gene role that no node plays, and say what is missing for a ranking."""
    types = set(kg.nodes["node_type"].unique())
    notes = [
        f"There are no nodes of type {name!r}, the {role} role: this graph can be embedded but not ranked."
        for role, name in (("drug", kg.roles.drug), ("disease", kg.roles.disease))
        if name not in types
    ]
    found = {
        rel.name for rel in kg.relations if {rel.source_type, rel.target_type} == {kg.roles.drug, kg.roles.disease}
    }
    absent = [name for name in kg.roles.treats if name not in found]
    if absent and not notes:
        notes.append(f"No fact of {', '.join(absent)} is there, though it counts as treatment.")
    roles = kg.roles if kg.roles.gene in types else replace(kg.roles, gene=None)
    return replace(kg, roles=roles, report=replace(kg.report, notes=(*kg.report.notes, *notes)))
