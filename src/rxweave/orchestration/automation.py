"""What runs by itself: everything again each week, when switched on; and a graph as soon as its file is there."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import dagster as dg

from rxweave.orchestration.graphs import DEMO, PARTITIONS, graph_files, graphs_folder

SUNDAY_NIGHT = "0 3 * * 0"
EVERY_SECONDS = 30


def automation(partitions: dg.DynamicPartitionsDefinition | None) -> dg.Definitions:
    """Give the job of everything and its schedule; with partitions, the sensor of graph files too."""
    job = dg.define_asset_job(
        "everything", selection=dg.AssetSelection.all(), description="All assets of a graph, with their checks."
    )

    @dg.schedule(
        name="weekly_refresh",
        job=job,
        cron_schedule=SUNDAY_NIGHT,
        description="Everything made again from its files, of every graph. Switch it on under Automation.",
    )
    def weekly_refresh(context: dg.ScheduleEvaluationContext):  # type: ignore[no-untyped-def]
        if partitions is None:
            return dg.RunRequest()
        due = context.scheduled_execution_time.isoformat()
        keys = context.instance.get_dynamic_partitions(PARTITIONS)
        return [dg.RunRequest(partition_key=key, run_key=f"{key} {due}") for key in keys]

    if partitions is None:
        return dg.Definitions(jobs=[job], schedules=[weekly_refresh])

    @dg.sensor(
        name="new_graph_files",
        job=job,
        minimum_interval_seconds=EVERY_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="A graph that appears or changes in the folder of graphs becomes a partition, and is run once no "
        "more is written to it.",
    )
    def new_graph_files(context: dg.SensorEvaluationContext):  # type: ignore[no-untyped-def]
        there = {path.name: stamp(path) for path in graph_files(graphs_folder())}
        seen, ready = settled(there, _read(context.cursor))
        known = set(context.instance.get_dynamic_partitions(PARTITIONS))
        missing = [name for name in (DEMO, *there) if name not in known]
        return dg.SensorResult(
            run_requests=[dg.RunRequest(partition_key=name, run_key=f"{name} {there[name]}") for name in ready],
            dynamic_partitions_requests=[partitions.build_add_request(missing)] if missing else [],
            cursor=json.dumps(seen),
        )

    return dg.Definitions(jobs=[job], schedules=[weekly_refresh], sensors=[new_graph_files])


def settled(
    there: Mapping[str, str], seen: Mapping[str, tuple[str, bool]]
) -> tuple[dict[str, tuple[str, bool]], list[str]]:
    """Give what has now been seen (stamp, and whether a run was asked for), and the names to run.

    A file is run when it is as it was the last time: it is then no longer being copied.
    """
    now, ready = {}, []
    for name, mark in there.items():
        before, asked = seen.get(name, ("", False))
        same = before == mark
        if same and not asked:
            ready.append(name)
        now[name] = (mark, same)
    return now, ready


def _read(cursor: str | None) -> dict[str, tuple[str, bool]]:
    return {name: (str(mark), bool(asked)) for name, (mark, asked) in json.loads(cursor or "{}").items()}


def stamp(path: Path) -> str:
    """Give size and time of the last change of a file, or of all files of a folder."""
    files = [path] if path.is_file() else [each for each in sorted(path.rglob("*")) if each.is_file()]
    found = [each.stat() for each in files]
    return f"{len(found)} {sum(each.st_size for each in found)} {max((each.st_mtime_ns for each in found), default=0)}"
