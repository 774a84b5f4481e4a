"""Embeddings and predictions as Parquet and CSV."""

from __future__ import annotations

import shutil
from pathlib import Path

from rxweave.embed.store import write_embeddings
from rxweave.export.content import Content, Progress
from rxweave.export.vectors import write_wide_csv


def write_parquet(content: Content, folder: Path, progress: Progress) -> None:
    """Write `embeddings.parquet` (`embedding`: a fixed-size list of float32) and all predictions."""
    progress("embeddings.parquet", 0.0)
    write_embeddings(content.embeddings, folder / "embeddings.parquet")
    if content.predictions_file is not None:
        progress("predictions.parquet", 0.5)
        shutil.copyfile(content.predictions_file, folder / "predictions.parquet")


def write_csv(content: Content, folder: Path, progress: Progress) -> None:
    """Write `embeddings.csv`, a column for each dimension, and the best new pairs of each disease."""
    write_wide_csv(content, folder / "embeddings.csv", progress)
    if content.predictions_file is not None:
        content.leads.write_csv(folder / "predictions.csv")
