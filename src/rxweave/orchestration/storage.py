"""Where Dagster keeps its runs and events: SQLite below the project, or the PostgreSQL that the environment names."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from dagster._core.storage.base_storage import DagsterStorage
from dagster._core.storage.sqlite_storage import DagsterSqliteStorage
from dagster._serdes import ConfigurableClass, ConfigurableClassData

from rxweave.errors import ConfigError

URL = "RXWEAVE_POSTGRES_URL"
STATE = ".dagster"
"""Folder beside dagster.yaml, for SQLite."""


class ProjectStorage(DagsterStorage, ConfigurableClass):
    """Named in dagster.yaml, which cannot choose: it becomes one of Dagster's own storages, and is never one itself."""

    @classmethod
    def config_type(cls) -> dict[str, Any]:
        return {}

    @classmethod
    def from_config_value(  # type: ignore[override]
        cls, inst_data: ConfigurableClassData | None, config_value: Any
    ) -> DagsterStorage:
        """Give PostgreSQL where RXWEAVE_POSTGRES_URL is set (postgresql://user:password@host/database), else SQLite.

        Raises ConfigError for an address of something else, and without the extra `postgres`.
        """
        url = os.environ.get(URL)
        if not url:
            home = Path(os.environ.get("DAGSTER_HOME") or ".").absolute()
            return DagsterSqliteStorage.from_local(str(home / STATE), inst_data=inst_data)
        if not url.startswith(("postgresql://", "postgres://")):
            raise ConfigError(
                f"{URL} does not begin with postgresql://; expected postgresql://user:password@host/name."
            )
        try:
            from dagster_postgres import DagsterPostgresStorage
        except ImportError as error:
            raise ConfigError(
                f"{URL} is set, and dagster-postgres is missing: pip install 'rxweave[postgres]'."
            ) from error
        # The driver is named: SQLAlchemy 2.1 takes another by default than dagster-postgres brings.
        named = "postgresql+psycopg2://" + url.partition("://")[2]
        storage: DagsterStorage = DagsterPostgresStorage.from_config_value(inst_data, {"postgres_url": named})
        return storage
