"""Runs that were stopped, killed or out of room go on where they were; checkpoints never outlive what needs them."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from rxweave.cli import main
from rxweave.embed.history import Epoch
from rxweave.embed.train import train
from rxweave.errors import InputError
from rxweave.kg.demo import demo_kg
from rxweave.validate.read import read_embeddings
from rxweave.watch import Watch

SMALL = ["--embedding-dim", "64", "--hidden-dim", "32", "--num-heads", "4", "-o", "embed.feature_dim=32"]
SMALL += ["--num-epochs", "4", "--accumulation-steps", "1", "-o", "embed.checkpoint_every=1", "--device", "cpu"]
QUICK = [*SMALL, "-o", "rank.num_trees=10", "-o", "rank.num_draws=1"]
CHECKPOINT = Path(".checkpoint") / "training.safetensors"


@pytest.fixture
def rxweave(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[object]:
    """Run the command line in this process, with Ctrl-C as in a terminal; gives exit code and standard error."""

    def call(*arguments: str | Path) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["rxweave", *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            main()
        return int(stopped.value.code or 0), " ".join(capsys.readouterr().err.split())

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield call
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="module")
def graph_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small graph as triples with typed ids."""
    path = tmp_path_factory.mktemp("graph") / "triples.tsv"
    edges = demo_kg(num_nodes=400, num_edges=4000, seed=1).edges
    edges = edges.select(pl.col(c).str.replace(r"^([^|]*)\|[^|]*\|", "${1}::") for c in edges.columns[:3])
    edges.write_csv(path, separator="\t", include_header=False)
    return path


def after_epoch(monkeypatch: pytest.MonkeyPatch, number: int, act) -> None:
    """Have something happen when an epoch of a command is over."""
    from rxweave.console import RichWatch

    original = RichWatch.epoch

    def epoch(self: RichWatch, epoch: Epoch) -> None:
        original(self, epoch)
        if epoch.number == number:
            act()

    monkeypatch.setattr(RichWatch, "epoch", epoch)


def press_ctrl_c() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def vectors(out: Path) -> np.ndarray:
    return read_embeddings(out / "06_models" / "embeddings" / "hgt_embeddings.parquet").vectors


def files_under(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_a_run_goes_on_after_ctrl_c_and_after_a_failure_with_the_same_result(
    rxweave, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = ("run", "--kg", "demo:400", *QUICK, "--out")
    assert rxweave(*run, tmp_path / "whole")[0] in (0, 1)
    out = tmp_path / "stopped"
    with monkeypatch.context() as patch:
        after_epoch(patch, 2, press_ctrl_c)
        code, told = rxweave(*run, out)
    assert code == 130
    assert "Stopped after epoch 2 of 4. The same command goes on after epoch 2" in told
    assert "Stopped by Ctrl-C; nothing half-written was kept." in told
    assert files_under(out) == [".checkpoint", str(CHECKPOINT)]

    def fail(*_: object, **__: object) -> None:
        raise InputError("no luck")

    with monkeypatch.context() as patch:
        patch.setattr("rxweave.pipeline.decoder_scores", fail)
        code, told = rxweave(*run, out, "--resume")
    assert (code, "Training goes on after epoch 2" in told) == (2, True)
    assert files_under(out) == [".checkpoint", str(CHECKPOINT)]

    code, told = rxweave(*run, out, "-o", "rank.num_trees=5")  # another ranker does not make it another training
    assert code in (0, 1)
    assert "Training goes on after epoch 4" in told
    assert "epoch 4/4" not in told
    np.testing.assert_array_equal(vectors(out), vectors(tmp_path / "whole"))
    assert files_under(out) == files_under(tmp_path / "whole")
    history = pl.read_parquet(out / "06_models" / "embeddings" / "training.parquet")
    assert history["epoch"].to_list() == [1, 2, 3, 4]
    manifest = json.loads((out / "06_models" / "embeddings" / "manifest.json").read_text())
    assert "warnings" in manifest["results"]


def test_resume_insists(rxweave, tmp_path: Path, graph_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code, told = rxweave("run", "--out", tmp_path, "--resume")
    assert (code, f"There is no checkpoint at {tmp_path / CHECKPOINT}" in told) == (2, True)
    embed, place = ("embed", graph_file, tmp_path / "e.csv", *SMALL), tmp_path / "e.checkpoint.safetensors"
    code, told = rxweave(*embed, "--resume")
    assert (code, f"There is no checkpoint at {place}" in told) == (2, True)
    with monkeypatch.context() as patch:
        after_epoch(patch, 2, press_ctrl_c)
        assert rxweave(*embed)[0] == 130
    saved = place.read_bytes()
    code, told = rxweave(*embed, "--resume", "--learning-rate", "0.01", "--seed", "1")
    assert (code, "seed is 0, not 1; learning_rate is 0.001, not 0.01" in told) == (2, True)
    assert place.read_bytes() == saved
    place.write_bytes(saved[:1000])
    code, told = rxweave(*embed, "--resume")
    assert (code, "is not a whole checkpoint" in told) == (2, True)
    assert told.count("rxweave: ") == 1
    assert "Traceback" not in told
    place.write_bytes(saved)
    code, told = rxweave(*embed, "--no-resume")
    assert code in (0, 1)
    assert "Training goes on" not in told
    assert not place.exists()


def test_embed_goes_on_after_ctrl_c_with_the_same_result(
    rxweave, tmp_path: Path, graph_file: Path, monkeypatch
) -> None:
    assert rxweave("embed", graph_file, tmp_path / "whole.csv", *SMALL)[0] in (0, 1)
    with monkeypatch.context() as patch:
        after_epoch(patch, 3, press_ctrl_c)
        assert rxweave("embed", graph_file, tmp_path / "e.csv", *SMALL)[0] == 130
    assert not (tmp_path / "e.csv").exists()
    assert rxweave("embed", graph_file, tmp_path / "e.csv", *SMALL)[0] in (0, 1)
    assert (tmp_path / "e.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()
    names = [f"{stem}{suffix}" for stem in ("e", "whole") for suffix in (".csv", ".parquet", ".training.parquet")]
    assert files_under(tmp_path) == sorted(names)


@pytest.mark.slow
def test_a_killed_run_goes_on_and_leaves_no_trace(tmp_path: Path) -> None:
    """kill -9 of the command itself, while it trains.

    Each in a process of its own, as a user's: with several threads a training in this one, which imported torch before
    the command could set anything, has ended with other last bits.
    """
    run = [sys.executable, "-m", "rxweave", "run", "--kg", "demo:400", *QUICK, "--num-epochs", "40"]
    whole, out = tmp_path / "whole", tmp_path / "killed"
    child = subprocess.Popen([*run, "--out", str(out)], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not (out / CHECKPOINT).exists() and child.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    child.kill()
    child.wait()
    assert (out / CHECKPOINT).exists()
    assert not (out / "06_models").exists()
    told = []
    for folder in (out, whole):
        done = subprocess.run([*run, "--out", str(folder)], capture_output=True, text=True)
        assert done.returncode in (0, 1), done.stderr
        told.append(done.stderr)
    assert "Training goes on after epoch" in told[0]
    assert "Training goes on after epoch" not in told[1]
    np.testing.assert_array_equal(vectors(out), vectors(whole))
    assert files_under(out) == files_under(whole)


def test_a_collapse_ends_a_run_with_exit_code_1_if_asked(rxweave, tmp_path: Path) -> None:
    run = ("run", "--kg", "demo:400", *QUICK, "--num-layers", "1", "-o", "embed.features=constant", "--out", tmp_path)
    code, told = rxweave(*run, "--on-collapse", "stop")
    assert code == 1
    assert "Warning: drug: effective rank" in told
    assert "on_collapse=stop" in told
    assert files_under(tmp_path) == [".checkpoint", str(CHECKPOINT)]


def test_a_full_disk_is_one_message(rxweave, tmp_path: Path, monkeypatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "hgt_embeddings.parquet")

    monkeypatch.setattr("rxweave.pipeline.write_embeddings", full)
    code, told = rxweave("run", "--kg", "demo:400", *QUICK, "--out", tmp_path)
    assert code == 2
    assert "The disk is full (hgt_embeddings.parquet); nothing half-written was kept." in told
    assert "give the same command again" in told
    assert "Traceback" not in told
    assert files_under(tmp_path) == [".checkpoint", str(CHECKPOINT)]


def test_memory_that_runs_out_is_one_message(rxweave, tmp_path: Path, monkeypatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr("rxweave.embed.objective.add_link_gradient", fail)
    code, told = rxweave("run", "--kg", "demo:400", *QUICK, "--out", tmp_path)
    assert code == 2
    assert "rxweave: Memory ran out while scoring facts" in told
    assert "Lower edge_sample_size (now 5,000)" in told
    assert "Traceback" not in told


@pytest.mark.parametrize("command", ["run", "embed"])
def test_every_setting_that_users_know_is_an_option(command: str) -> None:
    import inspect

    from rxweave import api, cli

    names = "embedding_dim hidden_dim num_layers num_heads num_epochs learning_rate device limit_nodes"
    names += " include_node_types edge_sample_size accumulation_steps contrastive_weight similarity_threshold"
    options = inspect.signature(getattr(cli, command)).parameters
    arguments = inspect.signature(api.generate_hgt_embeddings).parameters
    for name in names.split():
        assert name in options
        assert name in arguments
    assert {"preset", "resume", "on_collapse"} <= set(options)


def test_every_option_reaches_its_setting(rxweave, tmp_path: Path, graph_file: Path, monkeypatch) -> None:
    seen = []
    for place in ("rxweave.pipeline.run", "rxweave.api.embed_graph"):

        def note(settings: object, *_: object, **__: object) -> None:
            seen.append(settings)
            raise InputError("seen")

        monkeypatch.setattr(place, note)
    values = {
        "hidden_dim": 64, "num_layers": 3, "num_heads": 2, "edge_sample_size": 7, "accumulation_steps": 9,
        "contrastive_weight": 0.125, "similarity_threshold": 0.25, "on_collapse": "stop", "device": "cpu",
    }  # fmt: skip
    options = [text for name, value in values.items() for text in (f"--{name.replace('_', '-')}", str(value))]
    rxweave("run", "--preset", "high_quality", *options, "--out", tmp_path)
    rxweave("embed", graph_file, tmp_path / "e.csv", "--preset", "high_quality", *options)
    assert len(seen) == 2
    for settings in seen:
        assert {name: getattr(settings.embed, name) for name in values} == values
        assert (settings.embed.num_epochs, settings.embed.learning_rate) == (200, 0.0005)


def test_settings_of_a_preset_are_shown(rxweave) -> None:
    assert rxweave("settings", "--preset", "memory_constrained")[0] == 0
    code, told = rxweave("settings", "--preset", "fast")
    assert (code, "preset is 'fast'; it must be 'quick', 'full'" in told) == (2, True)


def test_a_watch_hears_of_training_and_its_warnings(small_graph) -> None:
    """What the pipeline hands on to a watch, handed on by hand."""
    heard: list[str] = []

    class Listener(Watch):
        def warning(self, text: str) -> None:
            heard.append(text)

    from rxweave.config import EmbedSettings

    settings = EmbedSettings(embedding_dim=16, hidden_dim=8, num_heads=2, feature_dim=8, features="constant")
    train(small_graph, settings.but(num_epochs=2), seed=0, on_warning=Listener().warning)
    assert any("effective rank" in text for text in heard)
