"""Where Dagster keeps its state: SQLite below the project, or a PostgreSQL server that the environment names."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from rxweave.errors import ConfigError
from rxweave.orchestration.storage import URL, ProjectStorage

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project folder with the dagster.yaml that is shipped, and DAGSTER_HOME as `make dagster` sets it."""
    shutil.copy(ROOT / "dagster.yaml", tmp_path)
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    monkeypatch.delenv(URL, raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def keep_a_run() -> str:
    """Materialize something, and give the id of its run."""

    @dg.asset
    def something() -> None:
        pass

    with dg.DagsterInstance.get() as instance:
        return dg.materialize([something], instance=instance).run_id


def is_known(run_id: str) -> bool:
    with dg.DagsterInstance.get() as instance:
        return instance.get_run_by_id(run_id) is not None


def test_state_is_kept_in_sqlite_below_the_project(home: Path) -> None:
    run_id = keep_a_run()
    assert is_known(run_id)
    assert (home / ".dagster" / "history" / "runs").is_dir()
    assert {path.name for path in home.iterdir()} <= {"dagster.yaml", ".dagster", ".logs_queue"}


def test_nothing_is_sent_anywhere_and_one_training_runs_at_a_time(home: Path) -> None:
    with dg.DagsterInstance.get() as instance:
        assert not instance.telemetry_enabled
        assert not instance.nux_enabled
        assert instance.get_concurrency_config().pool_config.default_pool_limit == 1
        assert str(instance.get_concurrency_config().pool_config.pool_granularity).endswith("RUN")


def test_the_settings_are_read_without_dagster_home(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As `dg dev` does it in the project's root."""
    from dagster._cli.utils import get_possibly_temporary_instance_for_cli

    monkeypatch.delenv("DAGSTER_HOME")
    with get_possibly_temporary_instance_for_cli() as instance:
        assert not instance.telemetry_enabled
    assert (home / ".dagster" / "history").is_dir()


def test_an_address_of_something_else_is_refused(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(URL, "mysql://localhost/dagster")
    with pytest.raises(ConfigError, match=r"does not begin with postgresql://; expected postgresql://user"):
        ProjectStorage.from_config_value(None, {})


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A PostgreSQL server of its own, on a free port of this machine; its address."""
    initdb, pg_ctl = shutil.which("initdb"), shutil.which("pg_ctl")
    if initdb is None or pg_ctl is None:
        pytest.skip("initdb and pg_ctl of PostgreSQL are not on the PATH")
    pytest.importorskip("dagster_postgres", reason="the extra postgres is not installed")
    folder = tmp_path_factory.mktemp("postgres")
    data, log = folder / "data", folder / "log"
    # PostgreSQL refuses to run as root.
    user = {"user": "postgres", "group": "postgres"} if os.geteuid() == 0 else {}
    if user:
        for path in (folder, *folder.parents[:2]):
            path.chmod(0o755)
        shutil.chown(folder, "postgres", "postgres")
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={folder} -c fsync=off"
    subprocess.run([initdb, "-A", "trust", "-U", "rxweave", "-D", data], check=True, capture_output=True, **user)
    start = [pg_ctl, "-D", data, "-l", log, "-w", "-o", options, "start"]
    subprocess.run(start, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **user)
    yield f"postgresql://rxweave@127.0.0.1:{port}/postgres"
    subprocess.run([pg_ctl, "-D", data, "-m", "immediate", "stop"], check=True, capture_output=True, **user)


def test_state_is_kept_in_postgresql_when_the_environment_names_it(
    home: Path, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(URL, server)
    run_id = keep_a_run()
    assert is_known(run_id)
    assert not (home / ".dagster" / "history").exists()
    monkeypatch.delenv(URL)
    assert not is_known(run_id), "SQLite knows nothing of it"
