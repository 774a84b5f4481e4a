"""Settings are the command line's; the log tells what a training does; an interrupt reaches it."""

from __future__ import annotations

import logging
import os
import signal
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster_runs import TINY, made, run
from pydantic import BaseModel

from rxweave.config import RunSettings
from rxweave.embed.history import Epoch
from rxweave.errors import ConfigError
from rxweave.orchestration.project import project_resource
from rxweave.orchestration.watch import LogWatch, own_ctrl_c
from rxweave.settings import known_fields, settings_from

GRAPH = dg.AssetSelection.assets("knowledge_graph").without_checks()


def names(kind: type[BaseModel], prefix: str = "") -> set[str]:
    """Every field of a configuration by its full name."""
    found = set()
    for name, field in kind.model_fields.items():
        part = field.annotation
        if isinstance(part, type) and issubclass(part, dg.Config):
            found |= names(part, f"{prefix}{name}.")
        else:
            found.add(prefix + name)
    return found


def test_every_setting_of_the_command_line_is_configuration() -> None:
    assert names(type(project_resource())) == {*known_fields(), "out", "resume"}


def given(**config: Any) -> RunSettings:
    """What the project makes of configuration, by way of Dagster."""
    kind = type(project_resource())
    return kind(**{"out": "data", "resume": None, **config}).settings(None)


def test_without_configuration_the_settings_are_the_defaults() -> None:
    assert given() == RunSettings()


def test_presets_and_values_mean_what_they_mean_on_the_command_line() -> None:
    ours = given(
        preset="quick", embed={"num_epochs": 7, "num_neighbours": [5, 3]}, rank={"features": {"groups": ["paths"]}}
    )
    theirs = settings_from(
        {"preset": "quick"}, ["embed.num_epochs=7", "embed.num_neighbours=5,3", "rank.features.groups=paths"]
    )
    assert ours == theirs
    assert ours.load.limit_nodes == 5000


def test_what_cannot_be_is_refused_in_the_same_words() -> None:
    with pytest.raises(ConfigError, match=r"embedding_dim is 30, which 8 heads cannot share equally"):
        given(embed={"embedding_dim": 30})


def test_dagster_takes_whole_numbers_for_others_and_offers_choices(tmp_path: Path) -> None:
    config = {"load": {"kg": "demo:400", "on_error": "skip"}, "embed": {"dropout": 0, "features": "learned"}}
    assert run(tmp_path, config, selection=GRAPH).success
    for wrong in ({"embed": {"features": "nonsense"}}, {"embed": {"no_such": 1}}):
        with pytest.raises(dg.DagsterInvalidConfigError):
            run(tmp_path, wrong, selection=GRAPH)


def test_a_setting_that_cannot_be_fails_its_step(tmp_path: Path) -> None:
    result = run(tmp_path, {"load": {"kg": "demo:400"}, "embed": {"num_epochs": 0}}, selection=GRAPH)
    assert not result.success
    (failed,) = (event for event in result.all_events if event.is_step_failure)
    assert "it must be greater than or equal to 1" in str(failed.step_failure_data.error)


def test_an_interrupted_training_leaves_a_checkpoint_and_the_next_run_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    original = LogWatch.epoch

    def interrupted(self: LogWatch, epoch: Epoch) -> None:
        original(self, epoch)
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(LogWatch, "note", lambda self, text: told.append(text))
    monkeypatch.setattr(LogWatch, "epoch", interrupted)
    few = dg.AssetSelection.assets("hgt_embeddings").upstream().without_checks()
    assert not run(tmp_path, TINY, selection=few).success
    checkpoint = tmp_path / "demo-400" / ".checkpoint" / "training.safetensors"
    assert checkpoint.is_file()
    monkeypatch.setattr(LogWatch, "epoch", original)
    again = run(tmp_path, TINY, selection=few)
    assert made(again) == {"knowledge_graph", "xgboost_train_test_split", "hgt_embeddings"}
    assert any(text.startswith("Training goes on after epoch 1") for text in told)
    assert not checkpoint.exists()


def test_dagsters_answer_to_an_interrupt_is_put_back() -> None:
    def other(*_: object) -> None:
        pass

    before = signal.signal(signal.SIGINT, other)
    try:
        with own_ctrl_c():
            assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
        assert signal.getsignal(signal.SIGINT) is other
    finally:
        signal.signal(signal.SIGINT, before)


def test_the_log_tells_the_first_the_due_the_slow_and_the_measured_epochs(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    watch = LogWatch(logging.getLogger("a run"), num_epochs=100)
    for number in range(1, 16):
        ranks = {"drug": 40.0, "disease": 50.0} if number == 5 else {}
        seconds = 25.0 if number == 13 else 0.1
        watch.epoch(Epoch(number, 1.5, 1.0, 0.5, 2.0, seconds, effective_rank=ranks))
    lines = caplog.messages
    assert [line.partition(":")[0] for line in lines] == [f"epoch {number}/100" for number in (1, 5, 10, 13)]
    assert "link 1.500 contr 0.500 total 2.000" in lines[0]
    assert "effective rank" in lines[1]
    assert "left" in lines[2]
    watch.warning("The loss rises.")
    assert (caplog.records[-1].levelname, caplog.messages[-1]) == ("WARNING", "The loss rises.")
