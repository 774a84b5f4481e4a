"""The page: a webserver on this machine answers, and lists what the project has."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import tomllib
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from test_dagster_project import ASSETS, CHECKS

ROOT = Path(__file__).resolve().parents[2]
MOST_SECONDS = 180


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a webserver with the settings that are shipped, opened as `dagster dev` opens the project."""
    home = tmp_path_factory.mktemp("home")
    for name in ("dagster.yaml", "pyproject.toml"):
        shutil.copy(ROOT / name, home)
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    log = home / "log"
    with log.open("w") as out:
        server = subprocess.Popen(
            [sys.executable, "-m", "dagster_webserver", "-h", "127.0.0.1", "-p", str(port)],
            cwd=home,
            env={**os.environ, "DAGSTER_HOME": str(home)},
            stdout=out,
            stderr=out,
        )
    address, started = f"http://127.0.0.1:{port}", time.monotonic()
    try:
        while time.monotonic() - started < MOST_SECONDS:
            assert server.poll() is None, log.read_text()
            try:
                urllib.request.urlopen(f"{address}/server_info", timeout=5).close()
                break
            except (urllib.error.URLError, TimeoutError):
                time.sleep(0.5)
        yield address
    finally:
        server.terminate()
        server.wait(60)


def asked(page: str, query: str) -> dict[str, object]:
    request = urllib.request.Request(
        f"{page}/graphql", json.dumps({"query": query}).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        found = json.load(answer)
    assert "errors" not in found
    return dict(found["data"])


def test_the_page_answers_and_lists_the_assets_and_their_checks(page: str) -> None:
    with urllib.request.urlopen(page, timeout=60) as answer:
        assert 'id="__next"' in answer.read().decode()
    found = asked(page, "{assetNodes{assetKey{path} groupName isPartitioned}}")["assetNodes"]
    assert {node["assetKey"]["path"][0]: node["groupName"] for node in found} == {
        name: group for name, (group, _) in ASSETS.items()
    }
    assert not any(node["isPartitioned"] for node in found), "materialize all asks for nothing"
    checks = asked(page, "{assetNodes{assetKey{path} assetChecksOrError{... on AssetChecks{checks{name blocking}}}}}")
    listed = {
        (node["assetKey"]["path"][0], check["name"], check["blocking"])
        for node in checks["assetNodes"]
        for check in node["assetChecksOrError"]["checks"]
    }
    assert listed == CHECKS


def test_dg_and_dagster_are_pointed_at_the_same_definitions() -> None:
    tool = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]
    assert tool["dg"]["project"]["code_location_target_module"] == tool["dagster"]["module_name"]
