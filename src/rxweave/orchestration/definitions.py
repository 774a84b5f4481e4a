"""What Dagster loads: the assets and checks of `defs/`, run in one process, with the command line's settings."""

from __future__ import annotations

import dagster as dg

from rxweave.orchestration.automation import automation
from rxweave.orchestration.graphs import partitions_of_graphs
from rxweave.orchestration.project import project_resource
from rxweave.process import prepare_process


@dg.definitions
def defs() -> dg.Definitions:
    """Give the whole project; assets have a partition for each graph once there is more than the demo."""
    prepare_process()
    from rxweave.orchestration import defs as package  # only now, since it brings torch

    partitions = partitions_of_graphs()
    found = dg.load_assets_from_package_module(package)
    assets = [each for each in found if isinstance(each, dg.AssetsDefinition)]
    if partitions is not None:
        assets = [
            each.map_asset_specs(lambda spec: spec.replace_attributes(partitions_def=partitions)) for each in assets
        ]
    whole = dg.Definitions(
        assets=assets,
        asset_checks=dg.load_asset_checks_from_package_module(package),
        resources={"project": project_resource()},
        # One process for all steps: torch is imported once, and two steps never share the machine.
        executor=dg.in_process_executor,
    )
    return dg.Definitions.merge(whole, automation(partitions))
