"""What Dagster loads: the assets and checks of `defs/`, run in one process, with the command line's settings."""

from __future__ import annotations

import dagster as dg

from rxweave.orchestration import defs as package
from rxweave.orchestration.graphs import partitions_of_graphs
from rxweave.orchestration.project import project_resource


@dg.definitions
def defs() -> dg.Definitions:
    """Give the whole project; assets have a partition for each graph once there is more than the demo."""
    found = dg.Definitions(
        assets=dg.load_assets_from_package_module(package),
        asset_checks=dg.load_asset_checks_from_package_module(package),
        resources={"project": project_resource()},
        # One process for all steps: torch is imported once, and two steps never share the machine.
        executor=dg.in_process_executor,
    )
    partitions = partitions_of_graphs()
    if partitions is None:
        return found
    return found.map_asset_specs(func=lambda spec: spec.replace_attributes(partitions_def=partitions))
