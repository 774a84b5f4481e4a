"""What `rxweave embed --add` says: where the new nodes' embeddings lie, and what the run predicts for them."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import typer

from rxweave.added_nodes import Added, add_nodes
from rxweave.artifacts import atomic_path
from rxweave.rank_command import show_leads


def add_and_show(run: Path, file: Path, *, top: int, csv: Path | None, as_json: bool) -> None:
    """Add the nodes of a table to a run and print their best pairs, or one JSON object."""
    added = add_nodes(run, file)
    if csv is not None and added.predictions is not None:
        with atomic_path(csv) as temporary:
            added.predictions.write_csv(temporary)
    if as_json:
        typer.echo(json.dumps(_plain(added, top), indent=2))
        return
    nodes = f"{len(added.nodes):,} new node{'s' * (len(added.nodes) > 1)}"
    place = f"embedded in {added.embeddings.dim} dimensions: {added.embeddings_file}"
    typer.echo(f"{nodes}, {added.num_facts:,} facts, {place}")
    for note in added.notes:
        typer.echo(f"Note: {note}", err=True)
    for end, pairs in _pairs_by_node(added):
        show_leads(pairs.head(top), of_disease=end == "disease")
    if added.predictions_file is not None and added.predictions is not None:
        typer.echo(f"All {len(added.predictions):,} pairs: {csv or added.predictions_file}")


def _pairs_by_node(added: Added) -> list[tuple[str, pl.DataFrame]]:
    """Give, for each new drug or disease, which it is and its pairs, best first, with their `place`."""
    if added.predictions is None:
        return []
    found = []
    for key in added.nodes["node_key"]:
        for end in ("disease", "drug"):
            pairs = added.predictions.filter(pl.col(f"{end}_key") == key)
            if len(pairs):
                found.append((end, pairs.with_row_index("place", offset=1)))
    return found


def _plain(added: Added, top: int) -> dict[str, object]:
    return {
        "nodes": added.nodes.to_dicts(),
        "facts": added.num_facts,
        "embeddings_file": str(added.embeddings_file),
        "predictions_file": None if added.predictions_file is None else str(added.predictions_file),
        "notes": list(added.notes),
        "best": [
            {"node_key": pairs[f"{end}_key"][0], "pairs": pairs.head(top).to_dicts()}
            for end, pairs in _pairs_by_node(added)
        ],
        "warning": "Predictions are research leads, not medical advice.",
    }
