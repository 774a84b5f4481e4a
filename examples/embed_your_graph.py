"""Embed every node of your own graph, look at the nearest neighbours of one, and check for collapse.

Run it with `python examples/embed_your_graph.py`: it writes a small made-up graph of three columns first.
"""

from __future__ import annotations

import random
import sys
import tempfile
from pathlib import Path

import numpy as np

from rxweave import generate_hgt_embeddings, read_embeddings


def write_graph(path: Path) -> None:
    """Three columns, typed ids: any graph of this shape will do."""
    rng = random.Random(0)
    with path.open("w") as file:
        for drug in range(60):
            for _ in range(8):
                file.write(f"Compound::{drug}\tbinds\tGene::{rng.randrange(drug % 6 * 20, drug % 6 * 20 + 30)}\n")
        for disease in range(40):
            for _ in range(8):
                file.write(
                    f"Disease::{disease}\tinvolves\tGene::{rng.randrange(disease % 6 * 20, disease % 6 * 20 + 30)}\n"
                )


def main(folder: Path, num_epochs: int = 30) -> list[str]:
    """Give the five diseases nearest to Disease::0."""
    write_graph(folder / "graph.tsv")
    facts = generate_hgt_embeddings(
        folder / "graph.tsv",
        folder / "embeddings.csv",
        embedding_dim=64,
        hidden_dim=64,
        num_epochs=num_epochs,
        learning_rate=0.003,
    )
    sys.stdout.write(f"{facts['total_nodes']} nodes × {facts['embedding_dim']}, verdict: {facts['verdict']}\n")

    embeddings = read_embeddings(folder / "embeddings.parquet")
    rows = embeddings.of_type("Disease")
    unit = embeddings.vectors[rows] / np.linalg.norm(embeddings.vectors[rows], axis=1, keepdims=True)
    names = embeddings.nodes["node_id"].to_list()
    order = np.argsort(-(unit @ unit[0]))[1:6]
    nearest = [names[rows[i]] for i in order]
    sys.stdout.write(f"Nearest to {names[rows[0]]}: {', '.join(nearest)}\n")
    return nearest


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        main(Path(temporary))
