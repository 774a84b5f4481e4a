"""A split on disk: two Parquet files, one of the pairs and one of the facts that left the graph, with reasons."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import polars as pl
from jaxtyping import Int

from rxweave.artifacts import atomic_path
from rxweave.errors import InputError, did_you_mean
from rxweave.graph.build import Graph
from rxweave.graph.pairs import pair_codes, pair_keys
from rxweave.graph.split import PARTS, REMOVED_COLUMNS, UNITS, Split, Unit, treatment_pairs


def write_split(split: Split, graph: Graph, path: Path) -> None:
    """Write a split as two Parquet files: the pairs at `path`, the removed facts at `removed_path(path)`.

    The pairs are `drug_key, disease_key, part`, the facts `source_key, relation, target_key, part, reason`.
    The pairs are written last and carry the checksum of the facts, so that a run killed half-way cannot leave
    two files of different splits unnoticed. Their metadata also hold `unit`, `kept` and `notes` (see `Split`).
    """
    pairs = pl.concat(pair_keys(graph, getattr(split, part)).with_columns(pl.lit(part).alias("part")) for part in PARTS)
    with atomic_path(removed_path(path)) as temporary:
        split.removed.write_parquet(temporary)
    checksum = _sha256(removed_path(path))
    about = {"unit": split.unit, "kept": json.dumps(split.kept), "notes": json.dumps(split.notes)}
    with atomic_path(path) as temporary:
        pairs.write_parquet(temporary, metadata={"graph": graph.name, "removed_sha256": checksum, **about})


def read_split(path: Path, graph: Graph) -> Split:
    """Give the split that `write_split` wrote, numbered as in `graph`: the whole one, not the training graph.

    Raises InputError when a file is missing, is no such table or belongs to another split, and when the pairs
    are not the treatments of the graph.
    """
    facts = removed_path(path)
    pairs = _read_table(path, ("drug_key", "disease_key", "part"))
    removed = _read_table(facts, REMOVED_COLUMNS)
    about = pl.read_parquet_metadata(path)
    if about.get("removed_sha256") != _sha256(facts):
        raise InputError(
            f"{path} and {facts} do not belong together: the checksum that the first keeps of the second is "
            "another. Make the split again."
        )
    unknown = pairs.filter(~pl.col("part").fill_null("").is_in(PARTS))
    if len(unknown):
        raise InputError(
            f"{path}: {len(unknown)} rows have a part other than {', '.join(PARTS)}, first "
            f"{unknown['part'][0]!r} for {unknown['drug_key'][0]} and {unknown['disease_key'][0]}."
        )
    numbered = np.stack(
        [
            _numbers_of(pairs["drug_key"], graph, graph.roles.drug, path),
            _numbers_of(pairs["disease_key"], graph, graph.roles.disease, path),
        ],
        axis=1,
    )
    num_diseases = graph.num_of(graph.roles.disease)
    listed, there = (pair_codes(found, num_diseases) for found in (numbered, treatment_pairs(graph)))
    missing, extra = np.setdiff1d(there, listed), np.setdiff1d(listed, there)
    if len(missing) or len(extra):
        raise InputError(
            f"{path} is not a split of {graph.name}: {len(missing)} treatments of the graph are not in it, "
            f"and {len(extra)} of its pairs are no treatments of the graph. Pass the whole graph that the "
            "split was made from (not its training graph), or make the split again."
        )
    train, valid, test = (np.unique(numbered[(pairs["part"] == part).to_numpy()], axis=0) for part in PARTS)
    unit: Unit = next((unit for unit in UNITS if unit == about.get("unit")), "pair")  # an older version wrote none
    kept, notes = (tuple(json.loads(about.get(name, "[]"))) for name in ("kept", "notes"))
    return Split(train, valid, test, removed, unit, kept, notes)


def removed_path(path: Path) -> Path:
    """Give the place of the removed facts of a split: `split.parquet` has them in `split.removed.parquet`."""
    return path.with_name(f"{path.stem}.removed{path.suffix}")


def _read_table(path: Path, columns: tuple[str, ...]) -> pl.DataFrame:
    if not path.is_file():
        raise InputError(f"There is no {path}, one of the two files of a split. Make the split first.")
    try:
        table = pl.read_parquet(path)
    except pl.exceptions.PolarsError as error:
        raise InputError(f"{path} is not a Parquet file: {error}. Make the split again.") from error
    absent = [column for column in columns if column not in table.columns]
    if absent:
        raise InputError(
            f"{path} has no column {', '.join(absent)}; it has {', '.join(table.columns)}. "
            f"A split has {', '.join(columns)}: make it again."
        )
    return table.select(pl.col(columns).cast(pl.String))


def _numbers_of(keys: pl.Series, graph: Graph, node_type: str, path: Path) -> Int[np.ndarray, " keys"]:
    known = graph.nodes["node_key"][graph.rows_of(node_type)]
    numbers = pl.DataFrame({"key": keys}).join(
        pl.DataFrame({"key": known}).with_row_index("number"), on="key", how="left", maintain_order="left"
    )["number"]
    lost = keys.filter(numbers.is_null())
    if len(lost):
        raise InputError(
            f"{path}: {len(lost)} rows name a {node_type} that is not among the {len(known)} of {graph.name}"
            f", first {lost[0]!r}.{did_you_mean(str(lost[0]), known)} Make the split again from this graph."
        )
    return numbers.to_numpy().astype(np.int64)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
