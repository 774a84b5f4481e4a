"""A run in the formats of other tools, each in a folder of its own; all of them appear, or none."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rxweave.artifacts import write_text
from rxweave.errors import ConfigError, did_you_mean
from rxweave.export.card import card
from rxweave.export.content import Content, Progress, read_content
from rxweave.export.kgx import write_kgx
from rxweave.export.neo4j import write_neo4j
from rxweave.export.tables import write_csv, write_parquet
from rxweave.export.vectors import write_h5ad, write_npy, write_projector, write_word2vec

FORMATS: dict[str, Callable[[Content, Path, Progress], None]] = {
    "parquet": write_parquet,
    "csv": write_csv,
    "npy": write_npy,
    "h5ad": write_h5ad,
    "word2vec": write_word2vec,
    "projector": write_projector,
    "kgx": write_kgx,
    "neo4j": write_neo4j,
}


@dataclass(frozen=True)
class Exported:
    """What was written, by format, and the text that explains it."""

    files: dict[str, tuple[Path, ...]]
    card: Path
    nodes: int
    dim: int


def export_run(
    run: Path,
    formats: Sequence[str],
    out: Path,
    *,
    top: int = 100,
    force: bool = False,
    progress: Progress | None = None,
) -> Exported:
    """Write the embeddings and predictions of a finished run to `out/FORMAT/`, and `out/README.md`.

    `formats` are names of FORMATS; `top` (1 or more) is how many new pairs of each disease go where not all do. Nothing
    appears before all is written. Raises ConfigError for an unknown format or one that is there already without
    `force`, InputError for a folder that holds no run.
    """
    wanted = _known(formats)
    for name in wanted:
        if (out / name).exists() and not force:
            raise ConfigError(f"{out / name} is there already. Choose another --out, or replace it with --force.")
    content = read_content(run, top=top)
    tell = progress or (lambda what, share: None)
    out.mkdir(parents=True, exist_ok=True)
    unfinished = out / f".unfinished.{uuid.uuid4().hex[:8]}"
    try:
        for number, name in enumerate(wanted):
            (unfinished / name).mkdir(parents=True)
            FORMATS[name](content, unfinished / name, _part(tell, number, len(wanted)))
        for name in wanted:
            if (out / name).is_dir():
                shutil.rmtree(out / name)
            (unfinished / name).rename(out / name)
        write_text(out / "README.md", card(content, [name for name in FORMATS if (out / name).is_dir()]))
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    files = {name: tuple(sorted((out / name).iterdir())) for name in wanted}
    return Exported(files, out / "README.md", content.embeddings.num_nodes, content.embeddings.dim)


def _known(formats: Sequence[str]) -> list[str]:
    if not formats:
        raise ConfigError(f"Name a format: {', '.join(FORMATS)}.")
    for name in formats:
        if name not in FORMATS:
            raise ConfigError(
                f"There is no format {name!r}; choose from {', '.join(FORMATS)}.{did_you_mean(name, FORMATS)}"
            )
    return list(dict.fromkeys(formats))


def _part(tell: Progress, number: int, total: int) -> Progress:
    return lambda what, share: tell(what, (number + share) / total)
