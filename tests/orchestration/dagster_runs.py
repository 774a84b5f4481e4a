"""Running the Dagster project, or a part of it, in this process; shared by the tests beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dagster as dg

from rxweave.orchestration.definitions import defs

TINY: dict[str, Any] = {
    "load": {"kg": "demo:400"},
    "embed": {
        "num_epochs": 2,
        "embedding_dim": 32,
        "hidden_dim": 32,
        "feature_dim": 32,
        "accumulation_steps": 1,
        "device": "cpu",
    },
    "rank": {"num_trees": 10, "num_draws": 2},
}
"""Settings with which every step takes a second."""


def project() -> dg.Definitions:
    """Give the definitions, as Dagster gets them."""
    return defs()


def run(
    out: Path, settings: dict[str, Any] | None = None, *, selection: dg.AssetSelection | None = None, **named: Any
) -> dg.ExecuteInProcessResult:
    """Materialize all assets, or what is selected, with their checks; a failed run is given, not raised."""
    config = {"resources": {"project": {"config": {"out": str(out), **(TINY if settings is None else settings)}}}}
    whole = project()
    selected = dg.AssetSelection.all() if selection is None else selection
    job = dg.define_asset_job("part", selected)
    together = dg.Definitions.merge(whole, dg.Definitions(jobs=[job])).resolve_job_def("part")
    return together.execute_in_process(run_config=config, raise_on_error=False, **named)


def made(result: dg.ExecuteInProcessResult) -> set[str]:
    """Give the names of the assets that a run has materialized."""
    return {event.asset_key.to_user_string() for event in result.get_asset_materialization_events() if event.asset_key}


def metadata(result: dg.ExecuteInProcessResult, asset: str) -> dict[str, Any]:
    """Give the metadata of an asset that a run has materialized."""
    found = [each for each in result.get_asset_materialization_events() if each.asset_key == dg.AssetKey(asset)]
    return {name: value.value for name, value in found[-1].materialization.metadata.items()}


def checks(result: dg.ExecuteInProcessResult) -> dict[str, bool]:
    """Give which checks have passed, by name."""
    return {each.check_name: each.passed for each in result.get_asset_check_evaluations()}
