"""Which device trains: the best one present, or the one asked for, or an error that says what there is."""

from __future__ import annotations

import pytest
import torch

from rxweave.embed.device import choose_device
from rxweave.errors import ConfigError


def present(monkeypatch: pytest.MonkeyPatch, *, cuda: int = 0, mps: bool = False) -> None:
    """Make torch see so many devices."""
    monkeypatch.setattr(torch.cuda, "device_count", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)


@pytest.mark.parametrize(
    ("cuda", "mps", "best"), [(2, True, "cuda"), (1, False, "cuda"), (0, True, "mps"), (0, False, "cpu")]
)
def test_the_best_device_present_is_taken(monkeypatch: pytest.MonkeyPatch, cuda: int, mps: bool, best: str) -> None:
    present(monkeypatch, cuda=cuda, mps=mps)
    assert choose_device(None) == torch.device(best)


@pytest.mark.parametrize("asked", ["cpu", "cpu:0", "cuda", "cuda:0", "cuda:1", "mps", "mps:0"])
def test_a_device_that_is_present_is_taken_when_asked_for(monkeypatch: pytest.MonkeyPatch, asked: str) -> None:
    present(monkeypatch, cuda=2, mps=True)
    assert choose_device(asked) == torch.device(asked)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ("gpu", r"device is 'gpu'; expected cpu, cuda, mps, or nothing for the best one present\."),
        ("", r"device is ''; expected cpu, cuda, mps, or nothing"),
        ("mps", r"device is 'mps', but torch \S+ sees no MPS device\. Use device=cpu\."),
        ("cuda:2", r"device is 'cuda:2'; of cuda there are 2, so expected cuda or cuda:0"),
        ("cuda:x", r"device is 'cuda:x'; of cuda there are 2"),
        ("cpu:1", r"device is 'cpu:1'; of cpu there are 1, so expected cpu or cpu:0"),
    ],
)
def test_a_device_that_is_unknown_or_absent_is_refused(
    monkeypatch: pytest.MonkeyPatch, asked: str, message: str
) -> None:
    present(monkeypatch, cuda=2)
    with pytest.raises(ConfigError, match=message):
        choose_device(asked)
