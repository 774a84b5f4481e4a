"""A user's own split: files of drug–disease pairs, checked against the treatments of the graph."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Int

from rxweave.errors import InputError, LeakError
from rxweave.graph.build import Graph
from rxweave.graph.lookup import (
    PACKED_ENDINGS,
    Written,
    find_things,
    is_table,
    read_columns,
    refuse_unfound,
    spellings,
)
from rxweave.graph.pairs import identities, pair_codes
from rxweave.graph.split import PARTS, Split, Unit, split_of_pairs, treatment_pairs, unit_things
from rxweave.kg.files import listed

PART_NAMES = {
    "train": ("train", "training"),
    "valid": ("valid", "validation", "val", "dev"),
    "test": ("test", "testing"),
}
PART_COLUMN = ("part", "split")


def file_split(graph: Graph, path: Path, *, keep: Sequence[str] = ()) -> Split:
    """Give the split that a folder with files train, valid and test, or one file with a column part, lays down.

    A file is CSV or TSV, packed or not, or Parquet, with a column for the drug and one for the disease, by key, id or
    name (see `lookup.find_things`). Each pair must be a treatment of the graph, and stands for every pair of nodes
    that is the same drug and disease. Without pairs for training, all treatments that are not named are for training;
    with them, one that is not named is an error, since it would be learnt from although the files leave it out.

    Raises InputError for files that cannot be read, unknown or ambiguous names, pairs that are no treatments, parts
    that are missing and treatments that are not named; LeakError for a pair in two parts, however it is written.
    """
    pairs = treatment_pairs(graph)
    wanted = unit_things(graph, pairs, "pair")
    part_of = np.full(len(pairs), -1)
    said: dict[int, str] = {}
    given = _read(path, graph)
    for i, part in enumerate(PARTS):
        for written, rows in given[part]:
            things = _pair_things(graph, written, rows)
            _refuse_other_facts(graph, written, rows, things, wanted)
            _refuse_second_part(written, rows, things, part, said, path)
            said |= {int(thing): part for thing in things}
            part_of[np.isin(wanted, things)] = i
    unnamed = np.flatnonzero(part_of < 0)
    if len(unnamed) and given["train"]:
        drug, disease = (
            graph.nodes["node_name"][graph.rows_of(role)][int(pairs[unnamed[0], end])]
            for end, role in enumerate((graph.roles.drug, graph.roles.disease))
        )
        raise InputError(
            f"{path} names no part for {len(unnamed)} of the {len(pairs):,} treatments of {graph.name}, first {drug!r} "
            f"for {disease!r}. Put them into a part; or give no pairs for training, and all others are for training."
        )
    part_of[unnamed] = 0
    train, valid, test = (pairs[part_of == i] for i in range(3))
    if not len(train):
        raise InputError(f"{path} holds out all {len(pairs):,} treatments of {graph.name}. Leave some for training.")
    unit, question = _kind(graph, train, valid, test)
    sources = {written.path.name: written.sha256[:12] for part in PARTS for written, _ in given[part]}
    told = ", ".join(f"{name} (SHA-256 {sha256}…)" for name, sha256 in sources.items())
    rest = f" {len(unnamed)} treatments that they do not name are for training." if len(unnamed) else ""
    note = f"A split of the user's: {told}.{rest} {question}"
    return split_of_pairs(graph, train=train, valid=valid, test=test, unit=unit, keep=keep, notes=(note,))


Rows = Int[np.ndarray, " rows"]


def _read(path: Path, graph: Graph) -> dict[str, list[tuple[Written, Rows]]]:
    """For each part, the files that tell of it and their rows that do."""
    wanted = {end: spellings(end, getattr(graph.roles, end)) for end in ("drug", "disease")}
    given: dict[str, list[tuple[Written, Rows]]] = {part: [] for part in PARTS}
    if path.is_dir():
        files = [file for file in sorted(path.iterdir()) if file.is_file() and is_table(file.name)]
        for part, names in PART_NAMES.items():
            own = [file for file in files if file.name.split(".")[0].lower() in names]
            if len(own) > 1:
                raise InputError(
                    f"{path} holds {len(own)} files for {part}: {listed([f.name for f in own])}. Keep one."
                )
            for file in own:
                written = read_columns(file, wanted)
                given[part].append((written, np.arange(len(written.lines))))
    elif not path.exists():
        raise InputError(f"split.file is {path}, which does not exist. Give a folder with {_EXPECTED}.")
    else:
        written = read_columns(path, {**wanted, "part": PART_COLUMN})
        parts = written.columns["part"].str.strip_chars().str.to_lowercase()
        for part, names in PART_NAMES.items():
            rows = np.flatnonzero(parts.is_in(names).to_numpy())
            if len(rows):
                given[part].append((written, rows))
        known = {name for names in PART_NAMES.values() for name in names}
        other = np.flatnonzero(~parts.is_in(known).to_numpy())
        if len(other):
            raise InputError(
                f"{path}, line {written.lines[int(other[0])]}: part {written.columns['part'][int(other[0])]!r} is not "
                f"one of {', '.join(PARTS)} ({len(other)} such rows)."
            )
    for part in ("valid", "test"):
        if not given[part]:
            raise InputError(
                f"{path} has no pairs for {part}. {_NEED[part]} Give a folder with {_EXPECTED}, or one file with "
                "columns drug, disease and part."
            )
    return given


_EXPECTED = f"valid.csv, test.csv and, if you like, train.csv (or .tsv, .parquet, {', '.join(PACKED_ENDINGS)})"
_NEED = {
    "valid": "Verdict, early stopping and calibration are decided by validation pairs, since test pairs must decide "
    "nothing: take some of those for training.",
    "test": "There is nothing to measure by.",
}


def _pair_things(graph: Graph, written: Written, rows: Rows) -> Int[np.ndarray, " rows"]:
    """Give each row as one number (`pairs.pair_identities`); where its ends are swapped, they are put right."""
    place = [f"{written.path}, line {written.lines[int(row)]}" for row in rows]
    ends = {end: written.columns[end].gather(rows) for end in ("drug", "disease")}
    found = {end: find_things(graph, getattr(graph.roles, end), ends[end]) for end in ends}
    swapped = (found["drug"] < 0) & (found["disease"] < 0)
    if swapped.any():
        across = {
            end: find_things(graph, getattr(graph.roles, end), ends[other])
            for end, other in (("drug", "disease"), ("disease", "drug"))
        }
        swapped &= (across["drug"] >= 0) & (across["disease"] >= 0)
        found = {end: np.where(swapped, across[end], found[end]) for end in found}
    for end in ends:
        refuse_unfound(graph, getattr(graph.roles, end), ends[end], found[end], place)
    num_diseases = int(identities(graph, graph.roles.disease).max(initial=0)) + 1
    return pair_codes(np.stack([found["drug"], found["disease"]], axis=1), num_diseases)


def _refuse_other_facts(
    graph: Graph, written: Written, rows: Rows, things: Int[np.ndarray, " rows"], wanted: Int[np.ndarray, " treatments"]
) -> None:
    other = np.flatnonzero(~np.isin(things, wanted))
    if not len(other):
        return
    first = int(rows[other[0]])
    joining = [
        rel.name
        for rel in (graph.relations[r] for r in graph.drug_disease_relations())
        if np.isin(things[other[0]], unit_things(graph, graph.pairs((rel.name,)), "pair"))
    ]
    raise InputError(
        f"{written.path}, line {written.lines[first]}: {_said(written, first)} is no treatment of {graph.name}, which "
        f"joins the two by {', '.join(joining) or 'nothing'}; so are {len(other)} of the {len(rows)} pairs. Take them "
        f"out, add them to the graph as {' or '.join(graph.roles.treats)}, or set load.treats."
    )


def _refuse_second_part(
    written: Written, rows: Rows, things: Int[np.ndarray, " rows"], part: str, said: dict[int, str], path: Path
) -> None:
    twice = [i for i, thing in enumerate(things.tolist()) if said.get(thing, part) != part]
    if twice:
        first = int(rows[twice[0]])
        raise LeakError(
            f"{written.path}, line {written.lines[first]}: {_said(written, first)} is for {part} here and for "
            f"{said[int(things[twice[0]])]} elsewhere in {path}, under whatever names; so are {len(twice)} pairs of "
            "this part. Put every pair into one part."
        )


def _said(written: Written, row: int) -> str:
    return f"{written.columns['drug'][row]!r} for {written.columns['disease'][row]!r}"


def _kind(graph: Graph, train: np.ndarray, valid: np.ndarray, test: np.ndarray) -> tuple[Unit, str]:
    """What the split holds out whole, and what it asks: a question that the validation pairs may not ask."""
    found: dict[str, tuple[int, int]] = {}
    units: tuple[Unit, ...] = ("disease", "drug")
    for unit in units:
        learnt = unit_things(graph, train, unit)
        seen = [np.isin(unit_things(graph, part, unit), learnt) for part in (valid, test)]
        if not any(part.any() for part in seen):
            return unit, f"No held-out {unit} has a treatment in training."
        if not seen[1].any():
            found[unit] = int(seen[0].sum()), len(valid)
    told = [
        f"No {unit} of the test pairs has a treatment in training, and those of {known} of the {total} validation "
        "pairs have: verdict, early stopping and calibration are decided by an easier question than the test asks."
        for unit, (known, total) in found.items()
    ]
    return "pair", told[0] if told else "Held-out drugs and diseases may have other treatments in training."
