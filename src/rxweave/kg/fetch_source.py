"""A source of the catalogue brought to disk: every file checked, archives unpacked."""

from __future__ import annotations

import hashlib
import shutil
import tarfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from rxweave.artifacts import atomic_path
from rxweave.kg.catalogue.source import RemoteFile, Source
from rxweave.kg.download import DownloadError, Expected, fetch, fetch_json

DATAVERSE = "https://dataverse.harvard.edu"


@dataclass(frozen=True)
class Fetched:
    """A file that is there now: what it is, and whether anything published vouches for it."""

    path: Path
    sha256: str
    checked: str
    """What it was held against: a published checksum or size, or nothing."""
    already_there: bool = False


def fetch_source(
    source: Source,
    folder: Path,
    *,
    force: bool = False,
    progress: Callable[[str, int, int | None], None] = lambda name, done, total: None,
    note: Callable[[str], None] = lambda text: None,
    pause: float = 1.0,
) -> list[Fetched]:
    """Download all files of a source into a folder; what is there already stays, unless `force` or a checksum differs.

    Raises DownloadError, which ends with how to get the files by hand.
    """
    try:
        return [
            each
            for file in source.files
            for each in _fetch_file(file, folder, progress, note, force=force, pause=pause)
        ]
    except DownloadError as error:
        raise DownloadError(f"{source.name}: {error} {source.by_hand(folder)}") from None


def _fetch_file(
    file: RemoteFile,
    folder: Path,
    progress: Callable[[str, int, int | None], None],
    note: Callable[[str], None],
    *,
    force: bool,
    pause: float,
) -> list[Fetched]:
    there = [folder / name for name in file.products]
    if not force and all(path.is_file() for path in there):
        found = {path: _sha256(path) for path in there}
        if file.members or file.sha256 in (None, *found.values()):
            checked = f"SHA-256 {file.sha256}" if file.sha256 and not file.members else "nothing"
            return [Fetched(path, digest, checked, already_there=True) for path, digest in found.items()]
        note(f"{there[0]} is not the published file (SHA-256 {found[there[0]]}): downloading it again.")
    url, expected = _resolved(file, note)
    target = folder / file.name
    digest = fetch(url, target, expected, progress=lambda done, total: progress(file.name, done, total), pause=pause)
    known = f"{expected.algorithm.upper().replace('SHA256', 'SHA-256')} {expected.digest}" if expected.digest else None
    checked = known or (f"size {expected.size:,}" if expected.size else "nothing")
    if not file.members:
        return [Fetched(target, digest, checked)]
    for name in file.members:
        _unpack(target, name, folder / name)
    target.unlink()
    return [Fetched(path, _sha256(path), checked) for path in there]


def _resolved(file: RemoteFile, note: Callable[[str], None]) -> tuple[str, Expected]:
    """Give the address of a file and what it must be, asking its Dataverse where there is one."""
    expected = Expected(file.size, file.sha256)
    if file.dataverse is None:
        assert file.url is not None
        return file.url, expected
    listing = f"{DATAVERSE}/api/datasets/:persistentId/versions/:latest/files?persistentId=doi:{file.dataverse}"
    try:
        entries = [
            (str(entry.get("directoryLabel") or ""), str(entry["dataFile"]["filename"]), entry["dataFile"])
            for entry in fetch_json(listing)["data"]
        ]
        of_url = [data for _, _, data in entries if file.url and file.url.endswith(f"/{data['id']}")]
        named = [data for folder, name, data in sorted(entries, key=lambda entry: entry[0]) if name == file.name]
        data = (of_url or named)[0]
        url = file.url or f"{DATAVERSE}/api/access/datafile/{data['id']}"
        return url, Expected(int(data["filesize"]), str(data["md5"]), "md5")
    except (DownloadError, KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        if file.url is None:
            raise DownloadError(f"{listing} does not tell where {file.name} is ({error}).") from None
        note(f"Size and checksum of {file.name} are unknown: its Dataverse did not tell them.")
        return file.url, expected


def _unpack(archive: Path, member: str, target: Path) -> None:
    """Take one file out of a tar archive, whole or not at all; the archive's own paths are never used for writing."""
    try:
        with tarfile.open(archive) as packed:
            for entry in packed:
                if entry.isfile() and PurePosixPath(entry.name).name == member:
                    content = packed.extractfile(entry)
                    assert content is not None
                    with atomic_path(target) as temporary, temporary.open("wb") as file:
                        shutil.copyfileobj(content, file, 1 << 20)
                    return
    except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
        if isinstance(error, OSError) and error.errno:
            raise
        archive.unlink(missing_ok=True)
        raise DownloadError(f"{archive.name} is a damaged archive ({error}); it was removed. Try again.") from None
    raise DownloadError(f"{archive.name} holds no {member}: its makers have changed it.")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
