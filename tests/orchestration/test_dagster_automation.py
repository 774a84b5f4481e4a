"""Graphs as partitions, and what runs by itself."""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path

import dagster as dg
import pytest
from dagster_runs import TINY, checks, made, project, run

from rxweave.kg.demo import demo_kg
from rxweave.kg.store import write_kg
from rxweave.orchestration import download
from rxweave.orchestration.automation import settled
from rxweave.orchestration.graphs import PARTITIONS, folder_name, graph_files, source_of


@pytest.fixture
def graphs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of graphs with one in it."""
    folder = tmp_path / "graphs"
    write_kg(demo_kg(num_nodes=400, num_edges=4000, seed=3), folder / "mine")
    (folder / "README.md").write_text("not a graph")
    monkeypatch.setenv("RXWEAVE_GRAPHS", str(folder))
    return folder


def test_without_a_folder_of_graphs_nothing_is_partitioned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RXWEAVE_GRAPHS", str(tmp_path / "absent"))
    found = project()
    graph = found.resolve_asset_graph()
    assert {graph.get(key).partitions_def for key in graph.materializable_asset_keys} == {None}
    assert not found.sensors
    (schedule,) = found.schedules or []
    with dg.instance_for_test() as instance:
        asked = schedule.evaluate_tick(dg.build_schedule_context(instance)).run_requests
    assert [each.partition_key for each in asked] == [None]


def test_every_graph_is_a_partition_with_a_folder_of_its_own(graphs: Path, tmp_path: Path) -> None:
    with dg.instance_for_test() as instance:
        instance.add_dynamic_partitions(PARTITIONS, ["mine"])
        given = {name: TINY[name] for name in ("embed", "rank")}
        few = dg.AssetSelection.assets("knowledge_graph", "xgboost_train_test_split")
        result = run(tmp_path / "out", given, selection=few, partition_key="mine", instance=instance)
        assert result.success
        assert made(result) == {"knowledge_graph", "xgboost_train_test_split"}
        assert checks(result)["no_held_out_pair_leaks"], "a check looks at the partition of its run"
        assert instance.get_materialized_partitions(dg.AssetKey("knowledge_graph")) == {"mine"}
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["mine"]


def test_a_partitioned_project_runs_the_demo_when_no_partition_is_named(graphs: Path, tmp_path: Path) -> None:
    few = dg.AssetSelection.assets("knowledge_graph")
    with dg.instance_for_test() as instance:
        assert run(tmp_path / "out", selection=few, instance=instance).success
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["demo-400"]


def test_a_graph_file_is_run_when_it_no_longer_grows(graphs: Path) -> None:
    (sensor,) = project().sensors or []
    whole = project().get_repository_def()
    with dg.instance_for_test() as instance:

        def tick(cursor: str | None) -> dg.SensorResult:
            context = dg.build_sensor_context(instance, cursor=cursor, repository_def=whole)
            found = sensor(context)
            assert isinstance(found, dg.SensorResult)
            for request in found.dynamic_partitions_requests or []:
                instance.add_dynamic_partitions(PARTITIONS, list(request.partition_keys))
            return found

        first = tick(None)
        assert not first.run_requests
        assert set(instance.get_dynamic_partitions(PARTITIONS)) == {"demo", "mine"}
        second = tick(first.cursor)
        assert [each.partition_key for each in second.run_requests or []] == ["mine"]
        third = tick(second.cursor)
        assert not third.run_requests, "asked for once"
        os.utime(graphs / "mine" / "nodes.parquet", (1, 2_000_000_000))
        fourth = tick(third.cursor)
        assert not fourth.run_requests, "it may still be written to"
        assert [each.partition_key for each in tick(fourth.cursor).run_requests or []] == ["mine"]


def test_the_schedule_asks_for_every_partition(graphs: Path) -> None:
    (schedule,) = project().schedules or []
    with dg.instance_for_test() as instance:
        instance.add_dynamic_partitions(PARTITIONS, ["demo", "mine"])
        context = dg.build_schedule_context(
            instance, repository_def=project().get_repository_def(), scheduled_execution_time=datetime(2026, 11, 29, 3)
        )
        asked = schedule.evaluate_tick(context).run_requests
    assert {each.partition_key for each in asked or []} == {"demo", "mine"}


def test_settled_forgets_what_is_gone() -> None:
    seen, ready = settled({"a": "1"}, {"a": ("1", False), "b": ("2", True)})
    assert (seen, ready) == ({"a": ("1", True)}, ["a"])


def test_graphs_are_files_and_folders_but_not_notes(graphs: Path) -> None:
    assert [path.name for path in graph_files(graphs)] == ["mine"]
    assert source_of("mine") == str(graphs / "mine")
    assert source_of("hetionet") == "hetionet"


@pytest.mark.parametrize(
    ("kg", "name"), [("demo", "demo"), ("demo:600", "demo-600"), ("a/b/kg.csv", "kg.csv"), ("../x/het/", "het")]
)
def test_folders_are_named_after_their_graphs(kg: str, name: str) -> None:
    assert folder_name(kg) == name


def test_only_what_the_network_does_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tried = []

    def unreachable(*_: object, **__: object) -> list[object]:
        tried.append(1)
        raise download.DownloadError("the server cannot be had.")

    monkeypatch.setenv("RXWEAVE_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(download, "fetch_source", unreachable)
    monkeypatch.setattr(download, "WAIT_SECONDS", 0)
    few = dg.AssetSelection.assets("knowledge_graph").without_checks()
    assert not run(tmp_path, {"load": {"kg": "hetionet"}}, selection=few).success
    assert len(tried) == 1 + download.RETRIES
    bad = run(tmp_path, {"load": {"kg": "no_such_graph"}}, selection=few)
    assert not bad.success
    assert not [event for event in bad.all_events if event.is_step_restarted]
