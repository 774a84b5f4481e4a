"""Files from the network: resumed where they stopped, checked, and never half there under their own name.

What has come so far lies beside the file as `.NAME.part`, with what the server called that version in
`.NAME.part.json`; the next attempt asks for the rest of the same version (`Range`, `If-Range`, RFC 9110).
"""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import shutil
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rxweave import __version__
from rxweave.artifacts import write_text
from rxweave.errors import InputError

ATTEMPTS = 5
"""Attempts in a row that bring nothing new before it is given up."""
STALL = 60.0
"""Seconds without a byte after which a connection counts as dead."""
_CHUNK = 1 << 20
_PASSING = {408, 425, 429, 500, 502, 503, 504}
"""Answers that may be others a moment later."""


class DownloadError(InputError):
    """A file cannot be had from its address now, or is not what it should be."""


@dataclass(frozen=True)
class Expected:
    """What a file must turn out to be; None for what is not known."""

    size: int | None = None
    digest: str | None = None
    algorithm: str = "sha256"


def fetch(
    url: str,
    target: Path,
    expected: Expected | None = None,
    *,
    progress: Callable[[int, int | None], None] = lambda done, total: None,
    pause: float = 1.0,
    stall: float = STALL,
) -> str:
    """Download a file to `target`, going on from what an earlier attempt left, and give its SHA-256.

    `progress` is told the bytes there and the total, if known. `pause` is the wait in seconds before another attempt;
    it doubles while nothing new comes. Raises DownloadError for an address that refuses, gives a web page, or stays
    silent or breaks off ATTEMPTS times in a row without a new byte, and for a file other than expected, which goes.
    """
    expected = expected or Expected()
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{target.name}.part")
    fruitless, wait = 0, pause
    while True:
        before = _size(part)
        try:
            _attempt(url, part, expected, progress, stall)
            break
        except (TimeoutError, ConnectionError, ssl.SSLError, http.client.HTTPException, urllib.error.URLError) as error:
            reason = _reason(error, stall)
            if isinstance(error, urllib.error.HTTPError) and error.code not in _PASSING:
                raise DownloadError(f"{url} answered {reason}.") from None
            fruitless = 0 if _size(part) > before else fruitless + 1
            if fruitless >= ATTEMPTS:
                kept = f" {_size(part):,} bytes are kept for the next attempt." if _size(part) else ""
                raise DownloadError(f"{url}: {reason}, {ATTEMPTS} times in a row.{kept}") from None
        time.sleep(wait)
        wait = min(2 * wait, 60.0) if fruitless else pause
    found = _checked(url, part, expected)
    with part.open("rb+") as file:
        os.fsync(file.fileno())
    part.replace(target)
    _version_file(part).unlink(missing_ok=True)
    return found


def fetch_json(url: str, *, stall: float = STALL) -> Any:
    """Give what an address answers in JSON; raises DownloadError where it does not."""
    try:
        with urllib.request.urlopen(_request(url), timeout=stall) as answer:
            return json.loads(answer.read())
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise DownloadError(f"{url}: {_reason(error, stall)}.") from None


def _attempt(
    url: str, part: Path, expected: Expected, progress: Callable[[int, int | None], None], stall: float
) -> None:
    """Bring the part file as near to its end as one connection does; raises where the connection breaks off."""
    have, version = _size(part), _version(part, url)
    if expected.size is not None and have == expected.size:
        return
    if have and not (version or expected.digest):
        part.unlink()  # nothing could tell whether the rest belongs to it
        have = 0
    request = _request(url)
    if have:
        request.add_header("Range", f"bytes={have}-")
        if version:
            request.add_header("If-Range", version)
    try:
        answer = urllib.request.urlopen(request, timeout=stall)
    except urllib.error.HTTPError as error:
        if error.code != 416 or not have:
            raise
        error.close()
        if error.headers.get("Content-Range") == f"bytes */{have}":
            return  # all of it was there
        _forget(part)
        raise ConnectionError("the server has another version than before") from None
    with answer:
        if answer.status == 206 and not str(answer.headers.get("Content-Range")).startswith(f"bytes {have}-"):
            _forget(part)
            raise ConnectionError("the server sent another part than the one asked for")
        if answer.headers.get_content_type() == "text/html":
            raise DownloadError(f"{url} answered with a web page instead of the file.")
        if answer.status != 206:
            have = 0
        length = answer.headers.get("Content-Length")
        total = have + int(length) if length and length.isdigit() else expected.size
        _check_room(part, (total or 0) - have)
        _note_version(part, url, answer.headers)
        with part.open("ab" if have else "wb") as file:
            while chunk := answer.read1(_CHUNK):  # what has come, not what may never come
                file.write(chunk)
                have += len(chunk)
                progress(have, total)
    if total is not None and have < total:
        raise ConnectionError(f"the connection broke off after {have:,} of {total:,} bytes")


def _request(url: str) -> urllib.request.Request:
    if not url.startswith(("http://", "https://")):
        raise DownloadError(f"{url} is no address of a web server.")
    # Compressed on the way, bytes could not be counted; nameless clients are refused by some servers.
    headers = {"User-Agent": f"rxweave/{__version__}", "Accept-Encoding": "identity"}
    return urllib.request.Request(url, headers=headers)


def _reason(error: Exception, stall: float) -> str:
    if isinstance(error, urllib.error.HTTPError):
        error.close()  # it holds the connection
        return f"{error.code} {error.reason}".replace("\n", " ").rstrip(" .")
    cause = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(cause, TimeoutError):
        return f"nothing came for {stall:g} s"
    return (str(cause) or type(cause).__name__).rstrip(".")


def _checked(url: str, part: Path, expected: Expected) -> str:
    """Give the SHA-256 of a complete file; removes it and raises DownloadError if it is not the expected one."""
    with part.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    same = found
    if expected.digest and expected.algorithm != "sha256":
        with part.open("rb") as file:
            same = hashlib.file_digest(file, lambda: hashlib.new(expected.algorithm, usedforsecurity=False)).hexdigest()
    wrong = None
    if expected.size is not None and _size(part) != expected.size:
        wrong = f"{_size(part):,} bytes came, {expected.size:,} were published"
    elif expected.digest and same != expected.digest:
        wrong = f"its {expected.algorithm.upper()} is {same}, published is {expected.digest}"
    if wrong:
        _forget(part)
        raise DownloadError(
            f"{url} did not give the published file: {wrong}. It was removed. Try again; if it stays so, the file was "
            "changed at its source."
        )
    return found


def _check_room(part: Path, needed: int) -> None:
    free = shutil.disk_usage(part.parent).free
    if needed > free:
        raise DownloadError(f"{part.parent} has {free:,} bytes free, and {needed:,} are still to come. Make room.")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _version_file(part: Path) -> Path:
    return part.with_name(f"{part.name}.json")


def _version(part: Path, url: str) -> str | None:
    """Give what the server called the version that the part file is of, if that is known and of this address."""
    try:
        noted = json.loads(_version_file(part).read_text(encoding="utf-8"))
        return str(noted["version"]) if noted["url"] == url and noted["version"] else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _note_version(part: Path, url: str, headers: http.client.HTTPMessage) -> None:
    # A weak ETag ("W/…") does not promise the same bytes, and If-Range may not carry one.
    tag = headers.get("ETag", "")
    version = tag if tag and not tag.startswith("W/") else headers.get("Last-Modified")
    write_text(_version_file(part), json.dumps({"url": url, "version": version}))


def _forget(part: Path) -> None:
    part.unlink(missing_ok=True)
    _version_file(part).unlink(missing_ok=True)
