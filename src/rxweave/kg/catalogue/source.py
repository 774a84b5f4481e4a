"""What is known of a graph before it is downloaded, and where it then lies."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path

WORKSPACE = Path("data/01_raw")
"""Where a graph put there by hand is found too."""


@dataclass(frozen=True)
class RemoteFile:
    """One file to download: its address, and what it must turn out to be, as far as that was published."""

    name: str
    """Its name on disk; of an archive, that of the archive, which goes when its `members` are out."""
    url: str | None
    """None where only a Dataverse knows the address (`dataverse`)."""
    size: int | None = None
    sha256: str | None = None
    dataverse: str | None = None
    """DOI of the dataset at Harvard Dataverse, whose listing tells size and MD5 at the time of the download."""
    members: tuple[str, ...] = ()
    """Files to take out of a tar archive."""

    @property
    def products(self) -> tuple[str, ...]:
        """Names of the files that are there in the end."""
        return self.members or (self.name,)


@dataclass(frozen=True)
class Source:
    """A graph of others: what it holds, what may be done with it, whom to cite, and where it comes from."""

    name: str
    title: str
    homepage: str
    licence: str
    citation: str
    files: tuple[RemoteFile, ...]
    nodes: int | None = None
    edges: int | None = None
    """Facts as published, each once; None for a source that grows with every release."""

    @property
    def size_told(self) -> str:
        """Bytes to download, in words where they are not known of every file."""
        known = [file.size for file in self.files if file.size is not None]
        if not known:
            return "unknown"
        return f"{sum(known):,}" if len(known) == len(self.files) else f"over {sum(known):,}"

    @property
    def products(self) -> tuple[str, ...]:
        return tuple(name for file in self.files for name in file.products)

    def missing_from(self, folder: Path) -> list[str]:
        """Give the names of the files that a folder lacks."""
        return [name for name in self.products if not (folder / name).is_file()]

    def found(self) -> Path | None:
        """Give the folder that holds all files: in the cache, else below data/01_raw, else None."""
        for folder in (cache_folder() / self.name, WORKSPACE / self.name):
            if not self.missing_from(folder):
                return folder
        return None

    def by_hand(self, folder: Path) -> str:
        """Say how to get the files without this program."""
        told = []
        for file in self.files:
            address = file.url or f"https://doi.org/{file.dataverse} ({file.name})"
            taken = f", and take {', '.join(file.members)} out of it" if file.members else ""
            told.append(f"{address}{taken}")
        return (
            f"By hand: get {'; '.join(told)}. Put {', '.join(self.products)} into {folder.absolute()}; "
            f"--kg {self.name} then finds it."
        )


def cache_folder() -> Path:
    """Give the folder for downloads: RXWEAVE_CACHE, else the usual place of the operating system for caches."""
    if chosen := os.environ.get("RXWEAVE_CACHE"):
        return Path(chosen).expanduser()
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "rxweave"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache").expanduser() / "rxweave"
