"""The cleaning ledger: what was folded, left out or is odd about a graph's rows, counted, with examples and lines."""

from __future__ import annotations

import polars as pl

from rxweave.errors import InputError
from rxweave.kg.tables import LoadReport

COLUMNS = {"kind": pl.String, "count": pl.Int64, "file": pl.String, "line": pl.Int64, "example": pl.String}

TOLERATED = ("swapped duplicate", "self-loop", "node without facts")
"""What is in many sound graphs; `check_strict` refuses the rest."""


def ledger_of(report: LoadReport) -> pl.DataFrame:
    """Give a row of COLUMNS for each example of each kind that occurs; a kind without examples has one row.

    `count` is that of the kind in the whole source; `file` and `line` are null where an example is not of one row.
    """
    counts = {
        "exact duplicate": report.exact_duplicates,
        "swapped duplicate": report.swapped_duplicates,
        "self-loop": report.self_loops,
        "rejected row": report.rejected_rows,
        "node without facts": report.isolated_nodes,
        "node without a name": report.empty_names,
        "node with several names": report.renamed_ids,
    }
    examples: dict[str, list[tuple[str | None, int | None, str]]] = {kind: [] for kind in counts}
    for row in report.folded_examples:
        examples[row.kind].append((row.file, row.line, row.fact))
    # Rejected rows of a node table are no facts: they are examples without being in the count.
    examples["rejected row"] = [(row.file, row.line, row.reason) for row in report.rejected_examples]
    examples["node with several names"] = [(None, None, told) for told in report.renamed_examples]
    rows: list[tuple[object, ...]] = []
    for kind, count in counts.items():
        rows += [(kind, count, *example) for example in examples[kind]]
        if count and not examples[kind]:
            rows.append((kind, count, None, None, None))
    return pl.DataFrame(rows, schema=COLUMNS, orient="row")


def check_strict(report: LoadReport) -> None:
    """Raise InputError, with counts and first examples, if anything but the TOLERATED is in the ledger."""
    ledger = (
        ledger_of(report).filter(~pl.col("kind").is_in(TOLERATED)).unique("kind", keep="first", maintain_order=True)
    )
    if not ledger.height:
        return
    told = []
    for row in ledger.iter_rows(named=True):
        line = f", line {row['line']}" if row["line"] is not None else ""
        example = f" (first{line}: {row['example']})" if row["example"] else ""
        told.append(f"{row['kind']}: {row['count']:,}{example}")
    raise InputError(
        f"{report.source} is not clean, and load.strict is on: {'; '.join(told)}. Mend the file, or load it without "
        "--strict, which folds and counts them."
    )
