"""The scaling study: what it varies, and the exponent it fits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from rxweave.benchmark import scaling
from rxweave.benchmark.machine import cores
from rxweave.benchmark.measure import Row
from rxweave.benchmark.scaling import Point, Study, study_scaling, varied_from
from rxweave.benchmark.tables import markdown, scaling_sheets, write_report
from rxweave.benchmark.watched import Limits
from rxweave.benchmark.worker import Task
from rxweave.errors import ConfigError
from rxweave.graph.primekg_shape import num_directed_edges

LIMITS = Limits(memory_gb=8.0, seconds=60.0)


def row(cost: float, workload: str = "encoder", status: str = "measured") -> Row:
    epochs = ({"seconds": cost, "cpu_seconds": cost},) * 3
    return Row("csr", workload, status, "" if status == "measured" else "too slow", cost, cost, epochs=epochs)


def as_power(task: Task, limits: Limits) -> Row:
    """A worker whose cost is the 1.25th power of the edges, times the width, over the threads."""
    return row(1e-6 * num_directed_edges(task.scale) ** 1.25 * task.hidden_dim / task.threads, task.workload)


@pytest.mark.parametrize("exponent", [0.0, 1.0, 1.7])
def test_the_exponent_of_a_power_law_is_found(exponent: float) -> None:
    points = tuple(Point(value, 1.0, row(3.0 * value**exponent)) for value in (100, 1000, 4000))
    assert Study("edges", points).exponent("encoder", "seconds") == pytest.approx(exponent, abs=1e-9)


def test_the_exponent_is_the_slope_of_least_squares_on_logarithms() -> None:
    cost = {100: 1.0, 1000: 7.0, 4000: 90.0}
    x, y = np.log(list(cost)), np.log(list(cost.values()))
    slope = ((x - x.mean()) * (y - y.mean())).sum() / ((x - x.mean()) ** 2).sum()
    study = Study("edges", tuple(Point(value, 1.0, row(each)) for value, each in cost.items()))
    assert study.exponent("encoder", "cpu_seconds") == pytest.approx(slope)


def test_points_that_were_stopped_or_of_another_workload_do_not_count() -> None:
    points = (Point(10, 1.0, row(1.0)), Point(100, 1.0, row(5.0, status="stopped")), Point(100, 1.0, row(5.0, "epoch")))
    assert Study("edges", points).exponent("encoder", "seconds") is None


def test_each_study_varies_one_thing_and_holds_the_rest(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(scaling, "measure", as_power)
    kept = []
    report = study_scaling(
        Task(scale=0.01), LIMITS, scales=(0.01, 0.02, 0.04), widths=(64, 128), tell=lambda text: None, keep=kept.append
    )
    assert report.complete
    edges, width, threads = report.studies
    assert [point.value for point in edges.points[::2]] == [num_directed_edges(scale) for scale in (0.01, 0.02, 0.04)]
    assert edges.exponent("epoch", "seconds") == pytest.approx(1.25)
    assert width.exponent("encoder", "seconds") == pytest.approx(1.0)
    assert [point.value for point in threads.points[::2]][-1] == cores()
    assert len(kept) == len(edges.points) + len(width.points) + len(threads.points) + 1
    told = report.plain()["studies"]
    assert told[0]["exponents"]["encoder"]["cpu_seconds"] == pytest.approx(1.25)
    written, table = write_report(report, tmp_path)
    assert (written.name, table.name) == ("scaling.json", "scaling.md")
    assert "wall time with exponent 1.25" in table.read_text(encoding="utf-8")
    assert len(scaling_sheets(report)) == 6


def test_ctrl_c_keeps_the_finished_points(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def measure(task: Task, limits: Limits) -> Row:
        calls.append(task)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return as_power(task, limits)

    monkeypatch.setattr(scaling, "measure", measure)
    report = study_scaling(
        Task(), LIMITS, varied=("edges",), scales=(0.01, 0.02, 0.04), tell=lambda text: None, keep=lambda report: None
    )
    assert not report.complete
    assert len(report.studies[0].points) == 3
    assert "Not complete" in markdown(report)


def test_what_cannot_be_varied_is_refused_with_the_closest_name() -> None:
    assert varied_from("threads, edges") == ("edges", "threads")
    with pytest.raises(ConfigError, match=r"'widht'.*Closest: 'width'"):
        varied_from("edges,widht")
    with pytest.raises(ConfigError, match="vary is empty"):
        varied_from(",")


@pytest.mark.parametrize(("options", "told"), [({"scales": (0.1, -1.0)}, "scale is -1"), ({"widths": (60,)}, "60")])
def test_bad_values_are_refused_before_anything_is_measured(
    monkeypatch: pytest.MonkeyPatch, options: dict, told: str
) -> None:
    def never(task: Task, limits: Limits) -> Row:
        raise AssertionError("measured before all values were checked")

    monkeypatch.setattr(scaling, "measure", never)
    with pytest.raises(ConfigError, match=told):
        study_scaling(Task(), LIMITS, **options, tell=lambda text: None, keep=lambda report: None)
