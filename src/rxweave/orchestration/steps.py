"""What every asset and check begins with: the settings of its run, and the folder of its graph."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dagster as dg

from rxweave.config import RunSettings
from rxweave.orchestration.folder import GraphFolder
from rxweave.orchestration.project import Project

if TYPE_CHECKING:
    Made = dg.MaterializeResult[Any]
else:  # Dagster knows the bare class only
    Made = dg.MaterializeResult
Context = dg.AssetExecutionContext | dg.AssetCheckExecutionContext


def settings_of(context: Context, project: Project) -> RunSettings:
    """Give the settings of this run; a partition decides which graph is loaded."""
    return project.settings(_partition(context))


def folder_of(context: Context, project: Project) -> GraphFolder:
    """Give the folder of this run's graph."""
    return GraphFolder(project.folder(_partition(context)))


def _partition(context: Context) -> str | None:
    return context.partition_key if context.has_partition_key else None
