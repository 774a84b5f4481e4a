"""What tests of the evaluation share."""

from __future__ import annotations

import pytest

from rxweave.benchmark.quality import repeat, study, worker
from rxweave.benchmark.quality.task import Task
from rxweave.benchmark.watched import Ending
from rxweave.errors import RxweaveError


@pytest.fixture
def done_here(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Workers run in this process, which takes a tenth of the time; gives the titles of the tasks that were done."""
    titles: list[str] = []

    def run(argv: list[str], *_: object, **__: object) -> Ending:
        task = Task.from_json(argv[-1])
        titles.append(task.title)
        try:
            worker.do(task)
        except RxweaveError as error:
            return Ending("failed", str(error), None)
        return Ending("measured", "", None)

    for module in (study, repeat):
        monkeypatch.setattr(module, "run_watched", run)
    return titles
