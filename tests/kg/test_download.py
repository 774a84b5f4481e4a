"""Downloads from a server on this machine that truncates, stalls, redirects, changes its mind and refuses."""

from __future__ import annotations

import hashlib
import http.server
import io
import json
import tarfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from rxweave.cli import app
from rxweave.errors import ConfigError, InputError
from rxweave.kg import fetch_source as fetching
from rxweave.kg.catalogue import source_named, source_names
from rxweave.kg.catalogue.source import RemoteFile, Source
from rxweave.kg.download import ATTEMPTS, DownloadError, Expected, fetch
from rxweave.kg.fetch_source import fetch_source
from rxweave.kg.sources import load_kg

DATA = Path(__file__).parents[1] / "data"
CONTENT = bytes(range(256)) * 40
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Server(http.server.ThreadingHTTPServer):
    """Serves `content` at every path; the path says what goes wrong on the way."""

    daemon_threads = True
    content = CONTENT
    tag: str | None = '"one"'
    ranges = True
    shift = 0
    """How far beyond what was asked for a part begins: servers that err."""
    trouble: list[str]
    """What goes wrong with the next requests, one each: cut:N, stall:N, a status, page; then nothing."""
    asked: list[str | None]
    """The Range of each request."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.trouble, self.asked, self.released = [], [], threading.Event()

    def url(self, path: str = "file") -> str:
        return f"http://127.0.0.1:{self.server_port}/{path}"


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        server, wanted = self.server, self.headers.get("Range")
        if self.path.startswith("/redirect"):
            self.send_response(302)
            self.send_header("Location", server.url("redirect/loop" if self.path == "/redirect/loop" else "file"))
            self.end_headers()
            return
        server.asked.append(wanted)
        what, _, number = (server.trouble.pop(0) if server.trouble else "").partition(":")
        if what.isdigit():
            self.send_error(int(what))
            return
        start, content = 0, server.content
        may_go_on = self.headers.get("If-Range") in (None, server.tag)
        if wanted and server.ranges and may_go_on:
            start = int(wanted.removeprefix("bytes=").removesuffix("-")) + server.shift
            server.shift = 0
            if start >= len(content):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(content)}")
                self.end_headers()
                return
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        else:
            self.send_response(200)
        self.send_header("Content-Type", "text/html" if what == "page" else "application/octet-stream")
        self.send_header("Content-Length", str(len(content) - start))
        if server.tag:
            self.send_header("ETag", server.tag)
        self.end_headers()
        end = start + int(number) if number else len(content)
        self.wfile.write(content[start:end])
        self.wfile.flush()
        if what == "stall":
            server.released.wait(10)

    def log_message(self, format: str, *arguments: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.released.set()
    server.shutdown()
    thread.join()
    server.server_close()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("path", ["file", "redirect"])
def test_a_file_comes_whole_and_nothing_else_stays(server: Server, tmp_path: Path, path: str) -> None:
    seen: list[tuple[int, int | None]] = []
    found = fetch(server.url(path), tmp_path / "new" / "a", progress=lambda *told: seen.append(told))
    assert found == SHA256
    assert (tmp_path / "new" / "a").read_bytes() == CONTENT
    assert names(tmp_path / "new") == ["a"]
    assert seen[-1] == (len(CONTENT), len(CONTENT))


def test_what_is_cut_short_goes_on_where_it_stopped(server: Server, tmp_path: Path) -> None:
    server.trouble = ["cut:1000", "500", "cut:2000"]
    assert fetch(server.url(), tmp_path / "a", Expected(len(CONTENT), SHA256), pause=0.0) == SHA256
    assert server.asked == [None, "bytes=1000-", "bytes=1000-", "bytes=3000-"]


def test_a_later_call_goes_on_where_an_earlier_one_gave_up(server: Server, tmp_path: Path) -> None:
    server.trouble = ["cut:1000", *["503"] * ATTEMPTS]
    with pytest.raises(DownloadError, match=r"503 Service Unavailable, 5 times in a row\. 1,000 bytes are kept"):
        fetch(server.url(), tmp_path / "a", pause=0.0)
    assert not (tmp_path / "a").exists()
    assert fetch(server.url(), tmp_path / "a", pause=0.0) == SHA256
    assert server.asked[-1] == "bytes=1000-"
    assert names(tmp_path) == ["a"]


def test_silence_counts_as_a_broken_connection(server: Server, tmp_path: Path) -> None:
    server.trouble = ["stall:1000"]
    assert fetch(server.url(), tmp_path / "a", pause=0.0, stall=0.3) == SHA256
    assert server.asked == [None, "bytes=1000-"]


def test_lasting_silence_is_given_up(server: Server, tmp_path: Path) -> None:
    server.trouble = ["stall:0"] * ATTEMPTS
    with pytest.raises(DownloadError, match=r"nothing came for 0\.1 s, 5 times in a row"):
        fetch(server.url(), tmp_path / "a", pause=0.0, stall=0.1)


def test_a_server_that_knows_no_ranges_starts_anew(server: Server, tmp_path: Path) -> None:
    server.ranges = False
    server.trouble = ["cut:1000"]
    assert fetch(server.url(), tmp_path / "a", pause=0.0) == SHA256
    assert (tmp_path / "a").read_bytes() == CONTENT


def test_a_file_that_changed_in_between_is_never_mixed(server: Server, tmp_path: Path) -> None:
    server.trouble = ["cut:1000", *["500"] * ATTEMPTS]
    with pytest.raises(DownloadError):
        fetch(server.url(), tmp_path / "a", pause=0.0)
    server.content, server.tag = CONTENT[::-1], '"two"'
    fetch(server.url(), tmp_path / "a", pause=0.0)
    assert (tmp_path / "a").read_bytes() == CONTENT[::-1]


def test_another_part_than_the_one_asked_for_is_not_appended(server: Server, tmp_path: Path) -> None:
    server.trouble, server.shift = ["cut:1000"], 7
    fetch(server.url(), tmp_path / "a", pause=0.0)
    assert (tmp_path / "a").read_bytes() == CONTENT
    assert server.asked == [None, "bytes=1000-", None]


def test_a_disk_without_room_is_told_before_anything_comes(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(total=1, used=1, free=10_000))
    with pytest.raises(DownloadError, match=r"has 10,000 bytes free, and 10,240 are still to come. Make room"):
        fetch(server.url(), tmp_path / "a", pause=0.0)
    assert names(tmp_path) == []


def test_without_a_version_or_checksum_nothing_is_appended(server: Server, tmp_path: Path) -> None:
    server.tag = None
    server.trouble = ["cut:1000"]
    fetch(server.url(), tmp_path / "a", pause=0.0)
    assert server.asked == [None, None]
    server.trouble, server.asked = ["cut:1000"], []
    fetch(server.url(), tmp_path / "b", Expected(digest=SHA256), pause=0.0)  # the checksum would tell
    assert server.asked == [None, "bytes=1000-"]


def test_a_part_that_is_already_whole_needs_no_byte(server: Server, tmp_path: Path) -> None:
    (tmp_path / ".a.part").write_bytes(CONTENT)
    assert fetch(server.url(), tmp_path / "a", Expected(digest=SHA256), pause=0.0) == SHA256
    assert server.asked == [f"bytes={len(CONTENT)}-"]
    (tmp_path / ".a.part").write_bytes(CONTENT + b"more")
    assert fetch(server.url(), tmp_path / "a", Expected(digest=SHA256), pause=0.0) == SHA256


@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_a_refusal_is_not_asked_again(server: Server, tmp_path: Path, status: int) -> None:
    server.trouble = [str(status)]
    with pytest.raises(DownloadError, match=f"answered {status} "):
        fetch(server.url(), tmp_path / "a", pause=0.0)
    assert len(server.asked) == 1
    assert names(tmp_path) == []


def test_a_web_page_is_no_file(server: Server, tmp_path: Path) -> None:
    server.trouble = ["page"]
    with pytest.raises(DownloadError, match="a web page instead of the file"):
        fetch(server.url(), tmp_path / "a", pause=0.0)
    assert names(tmp_path) == []


def test_redirects_in_a_circle_and_to_this_disk_are_refused(server: Server, tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match="302"):
        fetch(server.url("redirect/loop"), tmp_path / "a", pause=0.0)
    with pytest.raises(DownloadError, match="no address of a web server"):
        fetch(Path(__file__).as_uri(), tmp_path / "a")


@pytest.mark.parametrize(
    ("expected", "message"),
    [
        (Expected(digest="0" * 64), f"its SHA256 is {SHA256}, published is 0000"),
        (Expected(digest="0" * 32, algorithm="md5"), "its MD5 is "),
        (Expected(size=9), "10,240 bytes came, 9 were published"),
    ],
)
def test_another_file_than_the_published_one_is_removed(
    server: Server, tmp_path: Path, expected: Expected, message: str
) -> None:
    with pytest.raises(DownloadError, match=message):
        fetch(server.url(), tmp_path / "a", expected, pause=0.0)
    assert names(tmp_path) == []


def test_an_md5_that_fits_is_accepted(server: Server, tmp_path: Path) -> None:
    digest = hashlib.md5(CONTENT, usedforsecurity=False).hexdigest()
    assert fetch(server.url(), tmp_path / "a", Expected(len(CONTENT), digest, "md5")) == SHA256


def test_nobody_at_the_address(server: Server, tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match="refused, 5 times in a row"):
        fetch("http://127.0.0.1:1/file", tmp_path / "a", pause=0.0)


def one_file(url: str | None, **known: object) -> Source:
    file = RemoteFile(**{"name": "kg.csv", "url": url, **known})
    return Source("primekg", "t", "h", "l", "c", (file,))


def test_a_source_says_how_to_get_it_by_hand(server: Server, tmp_path: Path) -> None:
    server.trouble = ["404"]
    with pytest.raises(DownloadError) as caught:
        fetch_source(one_file(server.url()), tmp_path / "here", pause=0.0)
    assert f"By hand: get {server.url()}. Put kg.csv into {tmp_path / 'here'}; --kg primekg" in str(caught.value)


def test_what_is_there_is_kept_unless_it_is_not_the_published_file(server: Server, tmp_path: Path) -> None:
    source = one_file(server.url(), sha256=SHA256)
    assert fetch_source(source, tmp_path)[0].checked == f"SHA-256 {SHA256}"
    assert fetch_source(source, tmp_path)[0].already_there
    assert len(server.asked) == 1
    (tmp_path / "kg.csv").write_bytes(b"something else")
    notes: list[str] = []
    assert fetch_source(source, tmp_path, note=notes.append)[0].sha256 == SHA256
    assert "is not the published file" in notes[0]
    assert fetch_source(one_file(server.url()), tmp_path)[0].checked == "nothing"
    assert not fetch_source(source, tmp_path, force=True)[0].already_there


def archive(**files: bytes) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return packed.getvalue()


def test_an_archive_gives_its_members_and_goes(server: Server, tmp_path: Path) -> None:
    server.content = archive(**{"./embed/a.npy": b"x", "../../drkg.tsv": b"triples"})
    source = one_file(server.url(), name="drkg.tar.gz", members=("drkg.tsv",))
    (fetched,) = fetch_source(source, tmp_path / "drkg")
    assert fetched.sha256 == hashlib.sha256(b"triples").hexdigest()
    assert names(tmp_path) == ["drkg"]  # an archive's own paths lead nowhere
    assert names(tmp_path / "drkg") == ["drkg.tsv"]
    assert fetch_source(source, tmp_path / "drkg")[0].already_there


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (archive(other=b"x"), "holds no drkg.tsv"),
        (archive(**{"drkg.tsv": CONTENT})[:-60], "damaged archive"),
        (b"x", "damaged"),
    ],
)
def test_an_archive_that_is_not_right_leaves_nothing_that_looks_whole(
    server: Server, tmp_path: Path, content: bytes, message: str
) -> None:
    server.content = content
    with pytest.raises(DownloadError, match=message):
        fetch_source(one_file(server.url(), name="drkg.tar.gz", members=("drkg.tsv",)), tmp_path)
    assert not (tmp_path / "drkg.tsv").exists()


def listing(*entries: tuple[str, int, str]) -> Callable[[str], object]:
    files = [
        {"label": name, "dataFile": {"id": number, "filename": name, "filesize": len(CONTENT), "md5": md5}}
        for name, number, md5 in entries
    ]
    return lambda url: json.loads(json.dumps({"status": "OK", "data": files}))


def test_a_dataverse_tells_address_size_and_checksum(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    md5 = hashlib.md5(CONTENT, usedforsecurity=False).hexdigest()
    monkeypatch.setattr(fetching, "DATAVERSE", server.url("").rstrip("/"))
    monkeypatch.setattr(fetching, "fetch_json", listing(("other.csv", 1, "0"), ("kg.csv", 7, md5)))
    for url in (None, server.url("datafile/7")):
        (fetched,) = fetch_source(one_file(url, dataverse="10.1/X"), tmp_path / str(url is None))
        assert fetched.checked == f"MD5 {md5}"
    monkeypatch.setattr(fetching, "fetch_json", listing(("kg.csv", 7, "0" * 32)))
    with pytest.raises(DownloadError, match="its MD5 is"):
        fetch_source(one_file(server.url("datafile/7"), dataverse="10.1/X"), tmp_path / "c")


def test_a_silent_dataverse_costs_the_checksum_or_the_file(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetching, "DATAVERSE", "http://127.0.0.1:1")
    notes: list[str] = []
    (fetched,) = fetch_source(one_file(server.url(), dataverse="10.1/X"), tmp_path, note=notes.append)
    assert fetched.checked == "nothing"
    assert notes == ["Size and checksum of kg.csv are unknown: its Dataverse did not tell them."]
    with pytest.raises(DownloadError, match=r"does not tell where kg.csv is .*get https://doi.org/10.1/X \(kg.csv\)"):
        fetch_source(one_file(None, dataverse="10.1/X"), tmp_path / "b", pause=0.0)


def test_every_source_of_the_catalogue_is_complete() -> None:
    assert source_names() == ["drkg", "hetionet", "monarch", "optimuskg", "primekg"]
    for source in map(source_named, source_names()):
        assert source.name in source_names()
        assert all((source.title, source.licence, source.citation, source.files, source.homepage))
        for file in source.files:
            assert (file.url or "").startswith("https://") or file.dataverse
            assert file.sha256 is None or len(bytes.fromhex(file.sha256)) == 32
    with pytest.raises(ConfigError, match=r"no source 'primkg'.*Closest: 'primekg'"):
        source_named("primkg")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RXWEAVE_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "cache"


def test_a_downloaded_source_is_loaded_by_its_name(cache: Path) -> None:
    with pytest.raises(InputError, match=r"primekg is not downloaded yet: `rxweave download primekg` does it. By hand"):
        load_kg("primekg")
    (cache / "primekg").mkdir(parents=True)
    (cache / "primekg" / "kg.csv").write_bytes((DATA / "primekg" / "kg.csv").read_bytes())
    assert load_kg("primekg").report.facts == 11


def test_a_file_put_below_the_workspace_by_hand_is_found_and_a_path_wins(cache: Path, tmp_path: Path) -> None:
    place = tmp_path / "data" / "01_raw" / "primekg"
    place.mkdir(parents=True)
    (place / "kg.csv").write_bytes((DATA / "primekg" / "kg.csv").read_bytes())
    assert load_kg("primekg").report.source == "data/01_raw/primekg/kg.csv"
    (tmp_path / "primekg").write_bytes((DATA / "triples" / "drkg.tsv").read_bytes())
    assert load_kg("primekg").report.facts == 8


def call(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, arguments, env={"COLUMNS": "200"})
    return result.exit_code, result.output + str(result.exception or "")


def test_the_list_says_what_is_known_and_what_is_here(cache: Path) -> None:
    (cache / "primekg").mkdir(parents=True)
    (cache / "primekg" / "kg.csv").touch()
    code, output = call("download", "--list")
    assert code == 0
    assert "over 12,401,407" in output
    assert "4,050,249" in output
    assert "unknown" in output
    assert str(cache)[:20] in output
    assert output.count("Licence: ") == output.count("Please cite: ") == 5


def test_the_command_downloads_and_says_what_it_was_held_against(
    server: Server, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.content = (DATA / "triples" / "drkg.tsv").read_bytes()
    digest = hashlib.sha256(server.content).hexdigest()
    source = replace(one_file(server.url(), name="drkg.tsv", sha256=digest), name="drkg")
    monkeypatch.setattr("rxweave.kg.catalogue.drkg.SOURCE", source)
    code, output = call("download", "drkg")
    assert code == 0, output
    assert f"drkg.tsv: downloaded, SHA-256 {digest}; held against: SHA-256 {digest}" in output
    assert "Please cite: c" in output
    assert load_kg("drkg").report.facts == 8
    assert "was already there" in call("download", "drkg")[1]
    assert call("download")[0] == 1  # no name: an error, which the program's entry turns into exit code 2
