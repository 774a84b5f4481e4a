"""Which attention runs where: the fastest that can, with the reason in words, and never another one silently."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from small_training import SEED, SETTINGS

from rxweave import pipeline
from rxweave.embed.attention import IMPLEMENTATIONS, choose, fused_cuda
from rxweave.embed.attention.choose import (
    FUSED_CPU_FROM,
    Choice,
    choose_attention,
    choose_precision,
    multiplies_bfloat16,
    why_not,
)
from rxweave.embed.train import train
from rxweave.errors import ConfigError
from rxweave.graph.build import Graph
from rxweave.settings import settings_from
from rxweave.validate.read import read_embeddings
from rxweave.watch import Watch

MANY = FUSED_CPU_FROM
FEW = FUSED_CPU_FROM - 1


def told_of_attention(notes: list[str]) -> str:
    (told,) = [note for note in notes if note.startswith("Attention: ")]
    return told


def auto(device: str, *, num_edges: int = MANY, head_dim: int = 32) -> Choice:
    return choose_attention("auto", device=device, num_edges=num_edges, head_dim=head_dim)


@pytest.fixture
def without() -> Callable[[pytest.MonkeyPatch, str], None]:
    """Make a package look as if it were not installed."""
    find_spec = importlib.util.find_spec

    def hide(monkeypatch: pytest.MonkeyPatch, package: str) -> None:
        def found(name: str, *arguments: str | None) -> object:
            return None if name == package else find_spec(name, *arguments)

        monkeypatch.setattr(choose, "find_spec", found)
        monkeypatch.setattr(importlib.util, "find_spec", found)

    return hide


def test_large_graphs_on_a_cpu_get_the_fused_loops() -> None:
    assert auto("cpu") == Choice("fused_cpu", "the fastest on cpu")


def test_small_graphs_on_a_cpu_are_spared_the_compilation() -> None:
    assert auto("cpu", num_edges=FEW) == Choice("csr", "499,999 directed edges: too few to repay compiling fused_cpu")


@pytest.mark.parametrize("head_dim", [4, 12, 20, 33])
def test_heads_that_the_fused_loops_cannot_take_get_csr_and_its_cost_in_words(head_dim: int) -> None:
    choice = auto("cpu", head_dim=head_dim)
    assert choice.name == "csr"
    assert f"fused_cpu cannot run (its heads are multiples of 8 numbers and these have {head_dim})" in choice.reason
    assert choice.reason.endswith(": about twice as slow")


def test_without_numba_a_large_graph_gets_csr_and_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, without: Callable[[pytest.MonkeyPatch, str], None]
) -> None:
    without(monkeypatch, "numba")
    choice = auto("cpu")
    assert choice.name == "csr"
    assert "fused_cpu cannot run (Numba is not installed (pip install numba)): about twice as slow" in choice.reason


def test_cuda_without_triton_gets_csr_and_says_so(
    monkeypatch: pytest.MonkeyPatch, without: Callable[[pytest.MonkeyPatch, str], None]
) -> None:
    without(monkeypatch, "triton")
    choice = auto("cuda")
    assert choice.name == "csr"
    assert "fused_cuda cannot run (triton is not installed" in choice.reason
    assert choice.reason.endswith(": several times slower and heavier")


@pytest.mark.parametrize("device", ["cuda", "cuda:1"])
def test_cuda_with_triton_gets_the_fused_kernels_on_graphs_of_any_size(
    monkeypatch: pytest.MonkeyPatch, device: str
) -> None:
    monkeypatch.setattr(fused_cuda, "why_unavailable", lambda: None)
    assert auto(device) == auto(device, num_edges=1) == Choice("fused_cuda", "the fastest on cuda")
    assert auto(device, head_dim=12).name == "csr"


@pytest.mark.parametrize("device", ["mps", "mps:0", "xpu"])
def test_devices_without_sparse_products_gather(device: str) -> None:
    kind = device.partition(":")[0]
    assert auto(device) == auto(device, num_edges=1, head_dim=3) == Choice("gather", f"{kind} has no sparse products")


RUNS = [
    ("fused_cpu", "cpu", 32),
    ("csr", "cpu", 5),
    ("csr", "cuda", 5),
    ("gather", "cpu", 5),
    ("gather", "cuda:0", 5),
    ("gather", "mps", 5),
    ("reference", "cpu", 5),
    ("reference", "mps", 5),
]


@pytest.mark.parametrize(("name", "device", "head_dim"), RUNS)
def test_what_is_asked_for_and_can_run_is_taken_on_graphs_of_any_size(name: str, device: str, head_dim: int) -> None:
    for num_edges in (1, MANY):
        asked = choose_attention(name, device=device, num_edges=num_edges, head_dim=head_dim)
        assert asked == Choice(name, "asked for")


FAILS = [
    ("fused_cpu", "cuda:0", 32, "it runs on cpu and the device is cuda"),
    ("fused_cpu", "mps", 32, "it runs on cpu and the device is mps"),
    ("fused_cpu", "cpu", 20, "its heads are multiples of 8 numbers and these have 20"),
    ("fused_cuda", "cpu", 32, "it runs on cuda and the device is cpu"),
    ("fused_cuda", "cuda", 12, "its heads are multiples of 8 numbers and these have 12"),
    ("csr", "mps", 32, "mps has no sparse products"),
]


@pytest.mark.parametrize(("name", "device", "head_dim", "reason"), FAILS)
def test_what_is_asked_for_and_cannot_run_is_refused_with_the_reason_and_a_way_out(
    name: str, device: str, head_dim: int, reason: str
) -> None:
    with pytest.raises(ConfigError) as raised:
        choose_attention(name, device=device, num_edges=MANY, head_dim=head_dim)
    assert str(raised.value) == f"attention is {name!r}, but {reason}. Leave it at auto, or ask for gather."
    assert why_not("gather", device=device.partition(":")[0], head_dim=head_dim) is None  # the way out is open


@pytest.mark.parametrize(("name", "package"), [("fused_cpu", "numba"), ("fused_cuda", "triton")])
def test_asking_for_what_is_not_installed_is_refused(
    monkeypatch: pytest.MonkeyPatch, without: Callable[[pytest.MonkeyPatch, str], None], name: str, package: str
) -> None:
    without(monkeypatch, package)
    with pytest.raises(ConfigError, match=rf"attention is '{name}', but (?i:{package}) is not installed .*gather"):
        choose_attention(name, device=name.removeprefix("fused_"), num_edges=MANY, head_dim=32)


def test_every_implementation_is_known_here() -> None:
    """Each can be refused or runs somewhere, and nothing else is ever chosen."""
    names = {name for name, *_ in RUNS + FAILS}
    assert names == set(IMPLEMENTATIONS)
    settings_names = set(type(SETTINGS).model_fields["attention"].annotation.__args__)
    assert settings_names == {"auto", *IMPLEMENTATIONS}


# Precision


def precision(device: str, *, num_edges: int = MANY) -> Choice:
    return choose_precision("auto", device=device, num_edges=num_edges)


def test_bfloat16_is_chosen_for_large_graphs_on_processors_that_multiply_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choose, "multiplies_bfloat16", lambda: True)
    assert precision("cpu").name == "bf16"
    assert precision("cpu", num_edges=FEW) == Choice("fp32", "499,999 directed edges: small")
    assert precision("cuda:0") == Choice("fp32", "bf16 has not been measured on cuda:0")
    assert precision("mps").name == "fp32"
    monkeypatch.setattr(choose, "multiplies_bfloat16", lambda: False)
    assert precision("cpu") == Choice("fp32", "this processor has no bfloat16 products")


@pytest.mark.parametrize("asked", ["fp32", "bf16"])
@pytest.mark.parametrize("multiplies", [True, False])
def test_the_precision_asked_for_is_taken(monkeypatch: pytest.MonkeyPatch, asked: str, multiplies: bool) -> None:
    monkeypatch.setattr(choose, "multiplies_bfloat16", lambda: multiplies)
    for device in ("cpu", "cuda", "mps"):
        assert choose_precision(asked, device=device, num_edges=MANY) == Choice(asked, "asked for")


def test_a_torch_that_cannot_tell_is_taken_to_have_no_bfloat16_products(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"):
        monkeypatch.delattr(torch.cpu, name, raising=False)
    assert not multiplies_bfloat16()
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: True, raising=False)
    assert multiplies_bfloat16()


# In a training


def notes_of(graph: Graph, **settings: object) -> tuple[list[str], Choice]:
    notes: list[str] = []
    trained = train(graph, SETTINGS.but(num_epochs=1, **settings), seed=SEED, on_note=notes.append)
    return notes, trained.attention


def test_training_says_which_attention_runs_and_why(small_graph: Graph) -> None:
    notes, choice = notes_of(small_graph)
    assert told_of_attention(notes).startswith("Attention: csr on cpu (")
    assert "directed edges: too few to repay compiling fused_cpu)" in told_of_attention(notes)
    assert choice.name == "csr"
    notes, choice = notes_of(small_graph, attention="gather", precision="bf16")
    assert told_of_attention(notes) == "Attention: gather on cpu (asked for), bf16 (asked for)."
    assert choice == Choice("gather", "asked for")


def test_training_runs_the_attention_that_it_names(small_graph: Graph, monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[str] = []
    for name, attend in list(IMPLEMENTATIONS.items()):

        def watched(*arguments: object, name: str = name, attend: Callable[..., torch.Tensor] = attend) -> torch.Tensor:
            called.append(name)
            return attend(*arguments)

        monkeypatch.setitem(IMPLEMENTATIONS, name, watched)
    for asked, runs in (("auto", "csr"), ("gather", "gather"), ("reference", "reference")):
        called.clear()
        _, choice = notes_of(small_graph, attention=asked)
        assert {choice.name} == set(called) == {runs}


def test_without_numba_training_goes_on_and_says_what_it_costs(
    small_graph: Graph, monkeypatch: pytest.MonkeyPatch, without: Callable[[pytest.MonkeyPatch, str], None]
) -> None:
    monkeypatch.setattr(choose, "FUSED_CPU_FROM", 1)
    without(monkeypatch, "numba")
    notes, choice = notes_of(small_graph, hidden_dim=32)
    assert choice.name == "csr"
    assert "Numba is not installed (pip install numba)): about twice as slow" in told_of_attention(notes)


@pytest.mark.parametrize("attention", ["csr", "gather", "fused_cpu"])
def test_every_attention_trains_to_the_same_vectors(small_graph: Graph, attention: str) -> None:
    settings = SETTINGS.but(hidden_dim=24, num_heads=3, embedding_dim=24, num_epochs=2)
    expected = train(small_graph, settings.but(attention="reference"), seed=SEED).vectors
    got = train(small_graph, settings.but(attention=attention), seed=SEED).vectors
    np.testing.assert_allclose(got, expected, atol=2e-3)


def test_an_attention_that_cannot_run_is_refused_before_training(small_graph: Graph) -> None:
    with pytest.raises(ConfigError, match=r"attention is 'fused_cpu', but its heads are multiples of 8 .* have 4"):
        train(small_graph, SETTINGS.but(attention="fused_cpu"), seed=SEED)


class Notes(Watch):
    """Keeps what a run notes."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


def test_a_run_names_its_attention_in_its_notes_manifests_and_embeddings(tmp_path: Path) -> None:
    sizes = ["embed.embedding_dim=16", "embed.hidden_dim=16", "embed.feature_dim=16", "embed.num_epochs=1"]
    asked = ["embed.attention=gather", "embed.precision=bf16", "embed.device=cpu", "rank.num_trees=2"]
    settings = settings_from({"load.kg": "demo:400"}, sizes + asked)
    watch = Notes()
    pipeline.run(settings, tmp_path, watch=watch)
    assert "Attention: gather on cpu (asked for), bf16 (asked for)." in watch.notes
    [stored] = tmp_path.rglob("hgt_embeddings.parquet")
    metadata = read_embeddings(stored).metadata
    assert [metadata[key] for key in ("device", "attention", "precision")] == ["cpu", "gather", "bf16"]
    results = json.loads((stored.parent / "manifest.json").read_text(encoding="utf-8"))["results"]
    assert results["device"] == "cpu"
    assert results["attention"] == {"name": "gather", "reason": "asked for"}
    assert results["precision"] == {"name": "bf16", "reason": "asked for"}
