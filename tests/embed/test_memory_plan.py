"""The memory plan: its parts against what really is alive, refusals with settings that really fit, nothing shrunk."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from rxweave.config import EmbedSettings
from rxweave.embed import memory_fit, memory_plan
from rxweave.embed.attention import build_index
from rxweave.embed.history import Epoch
from rxweave.embed.memory_fit import check_memory, propose, what_fits
from rxweave.embed.memory_parts import Sizes, lasting
from rxweave.embed.memory_plan import MemoryPlan, MemoryPlanError, gigabytes, plan_memory
from rxweave.embed.memory_shape import GraphShape
from rxweave.embed.state import initial_state
from rxweave.embed.train import train
from rxweave.errors import ConfigError
from rxweave.graph.build import Graph
from rxweave.graph.primekg_shape import primekg_shaped
from rxweave.graph.sample import limit_nodes
from rxweave.settings import settings_from

SETTINGS = EmbedSettings(
    device="cpu", attention="csr", precision="fp32", hidden_dim=64, feature_dim=64, embedding_dim=256, num_heads=4
)
DIMENSIONS = ("embedding_dim", "hidden_dim", "num_layers", "num_heads", "feature_dim")


@pytest.fixture(scope="module")
def graph() -> Graph:
    """Of PrimeKG's shape, a fiftieth of its size: large beside the weights that train it."""
    return primekg_shaped(0.02, seed=0)


@pytest.fixture(autouse=True)
def nothing_depends_on_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which libraries are loaded depends on the tests before; where that matters, a test has a process of its own."""
    monkeypatch.setattr(memory_plan, "LIBRARIES", {})
    monkeypatch.setattr(memory_fit, "ROOM", 0)


def peak_of(graph: Graph | GraphShape, settings: EmbedSettings, **more: int | None) -> int:
    return plan_memory(graph, settings, **{"held": 0, "available": 10**15, **more}).peak


def test_the_shape_is_that_of_the_index_built_of_the_graph(graph: Graph, small_graph: Graph) -> None:
    for each in (graph, small_graph):
        index, flows = build_index(each), list(GraphShape.of(each).flows())
        assert [flow.edges for flow in flows] == torch.tensor(
            [int(index.row_start[rows]) for rows in index.relation_rows]
        ).diff().tolist()
        assert [flow.pairs for flow in flows] == torch.tensor(index.relation_rows).diff().tolist()
        assert [flow.senders for flow in flows] == torch.tensor(index.relation_senders).diff().tolist()


@pytest.mark.parametrize(
    "changes",
    [{}, {"features": "learned"}, {"feature_dim": 32, "num_layers": 3, "hidden_dim": 128}],
)
def test_weights_features_and_index_are_predicted_to_the_byte(graph: Graph, changes: dict[str, object]) -> None:
    settings = SETTINGS.but(**changes)
    index = build_index(graph)
    state = initial_state(
        graph,
        settings.but(features="learned"),
        seed=0,
        num_relations=index.num_relations,
        device=torch.device("cpu"),
        attention="csr",
        precision="fp32",
    )
    parts = lasting(Sizes(GraphShape.of(graph), settings, "csr", "fp32"))
    weights = sum(weight.nbytes for name, weight in state.weights().items() if name != "features")
    assert parts["weights"] == weights
    assert parts["features"] == state.features.nbytes
    learnt = weights + (state.features.nbytes if settings.features == "learned" else 0)
    assert parts["optimiser"] == 2 * learnt
    arrays = sum(value.nbytes for value in vars(index).values() if isinstance(value, torch.Tensor))
    assert parts["graph index"] > arrays


@pytest.mark.parametrize("batching", ["full", "sampled"])
def test_what_training_adds_is_near_what_torch_holds_alive_at_its_peak(graph: Graph, batching: str) -> None:
    """Tensors alone, counted by torch's profiler: no interpreter, heap or library, nor the index, made by numpy."""
    # A second step has what the first leaves; of drawn neighbours two micro-batches do.
    epochs, parts = (2, SETTINGS.accumulation_steps) if batching == "full" else (1, 2)
    settings = SETTINGS.but(
        num_epochs=epochs, accumulation_steps=parts, contrastive_weight=0.0, features="learned", batching=batching
    )
    plan = plan_memory(graph, settings, held=0, available=None)
    alive = highest = 0
    with torch.profiler.profile(profile_memory=True) as profile:
        train(graph, settings, seed=0)
    for event in profile.profiler.kineto_results.events():
        if event.name() == "[memory]":
            alive += event.nbytes()
            highest = max(highest, alive)
    by_numpy = lasting(Sizes(GraphShape.of(graph), settings, "csr", "fp32"))["graph index"]
    ours = plan.peak - plan.parts.get("holes between buffers", 0) - by_numpy
    assert highest > 20e6
    assert ours == pytest.approx(highest, rel=0.2)


def test_more_of_anything_never_takes_less(graph: Graph) -> None:
    shape, usual = GraphShape.of(graph), peak_of(graph, SETTINGS)
    for more in (
        {"hidden_dim": 128},
        {"embedding_dim": 512},
        {"num_layers": 3},
        {"features": "learned"},
        {"feature_dim": 128},
        {"attention": "reference"},
    ):
        assert peak_of(shape, SETTINGS.but(**more)) > usual, more
    assert peak_of(shape.sampled(shape.num_nodes // 2), SETTINGS) < usual
    assert peak_of(shape.sampled(shape.num_nodes), SETTINGS) == usual


def test_a_limit_that_is_too_low_is_refused_with_the_numbers_and_nothing_is_made(
    graph: Graph, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rxweave.embed.train.build_index", lambda graph: pytest.fail("the index was built"))
    notes: list[str] = []
    with pytest.raises(MemoryPlanError) as refused:
        train(graph, SETTINGS.but(memory_limit_gb=0.05), seed=0, on_note=notes.append)
    assert isinstance(refused.value, ConfigError)
    assert "0.05 GB are available" in str(refused.value)
    assert "Dimensions are never changed" in str(refused.value)
    assert notes[0].startswith("Memory: about ")


def test_what_is_suggested_fits_when_it_is_planned_again_and_keeps_the_dimensions(graph: Graph) -> None:
    settings = SETTINGS.but(features="learned", edge_sample_size=20_000, num_treatment_negatives=8192)
    whole = plan_memory(graph, settings, held=0, available=10**15)
    tested = set()
    for share in (0.97, 0.9, 0.7, 0.5):
        available = int(share * whole.peak)
        plan = plan_memory(graph, settings, held=0, available=available)
        assert not plan.fits
        found = what_fits(graph, settings, plan)
        assert found, share
        for fit in found:
            changes = {name.removeprefix("embed."): value for name, value in fit.changes.items()}
            num_nodes = changes.pop("load.limit_nodes", graph.num_nodes)
            assert not set(changes) & set(DIMENSIONS)
            part = limit_nodes(graph, num_nodes, seed=0)
            again = plan_memory(part, settings.but(**changes), held=0, available=available)
            assert again.fits, (share, fit.changes)
            tested |= set(fit.changes)
    assert {"load.limit_nodes"} < tested


SUGGESTS = """
import sys
from rxweave.config import EmbedSettings
from rxweave.embed.memory_fit import what_fits
from rxweave.embed.memory_plan import plan_memory
from rxweave.embed.memory_shape import GraphShape
from rxweave.graph.primekg_shape import primekg_shaped

shape = GraphShape.of(primekg_shaped(0.01, seed=0))
settings = EmbedSettings(attention="reference", device="cpu", precision="fp32")
plan = plan_memory(shape, settings, available=10**9)
assert not plan.fits
assert "numba" not in sys.modules
fused = next(fit for fit in what_fits(shape, settings, plan) if fit.changes.get("embed.attention") == "fused_cpu")
again = plan_memory(shape, settings.but(attention="fused_cpu"))
print(fused.plan.peak, again.peak, again.parts["process"] - plan.parts["process"])
"""


def test_suggestions_count_the_libraries_that_they_would_load() -> None:
    done = subprocess.run([sys.executable, "-c", SUGGESTS], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    suggested, found, loaded = map(int, done.stdout.split())
    assert loaded > 30e6
    assert suggested == pytest.approx(found, abs=15e6)


def test_a_limit_meant_for_a_gpu_is_lifted_where_the_processor_is_suggested(
    graph: Graph, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory_plan, "device_free", lambda device: 10**13)
    settings = SETTINGS.but(device="cuda", attention="csr", memory_limit_gb=0.01)
    plan = plan_memory(graph, settings, device="cuda", held=0)
    assert not plan.fits
    changes = next(fit.changes for fit in what_fits(graph, settings, plan) if fit.changes.get("embed.device") == "cpu")
    again = settings_from({"embed.memory_limit_gb": 0.01}, [f"{name}={value}" for name, value in changes.items()])
    assert plan_memory(graph, SETTINGS.but(**again.embed.model_dump(include={"device", "memory_limit_gb"}))).fits


def test_what_is_suggested_to_a_resumed_training_is_planned_in_the_precision_that_it_keeps(
    graph: Graph, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Begun in float32 where auto now means bfloat16: only what begins anew may count on that."""
    settings = SETTINGS.but(precision="auto", attention="reference")
    asked: list[tuple[bool, str | None]] = []

    def planned(shape: GraphShape, changed: EmbedSettings, **named: object) -> MemoryPlan:
        same = changed.but(attention=settings.attention, device=settings.device) == settings
        asked.append((same and shape.num_nodes == graph.num_nodes, named["precision"]))
        return plan_memory(shape, changed, **named)

    monkeypatch.setattr(memory_fit, "plan_memory", planned)
    for precision, kept in (("bf16", "bf16"), ("fp32", None)):  # here, auto means fp32
        asked.clear()
        plan = plan_memory(graph, settings, precision=precision, held=0, available=10**6)
        what_fits(graph, settings, plan)
        assert {told for goes_on, told in asked if goes_on} == {kept}
        assert {told for goes_on, told in asked if not goes_on} == {None}


def test_fewer_facts_at_once_are_asked_as_often(graph: Graph) -> None:
    settings = SETTINGS.but(edge_sample_size=50_000, accumulation_steps=1, masked_share=0.9, embedding_dim=2048)
    plan = plan_memory(graph, settings, held=0, available=int(0.98 * peak_of(graph, settings)))
    for fit in what_fits(graph, settings, plan):
        if "embed.edge_sample_size" in fit.changes:
            facts, parts = fit.changes["embed.edge_sample_size"], fit.changes["embed.accumulation_steps"]
            assert facts * parts == 50_000
            return
    pytest.fail("nothing was suggested about facts")


def test_where_nothing_fits_that_is_said(graph: Graph) -> None:
    plan = plan_memory(graph, SETTINGS, held=10**9, available=10**9)
    with pytest.raises(MemoryPlanError, match="No part of the graph fits"):
        check_memory(plan, graph, SETTINGS)


def test_an_unknown_amount_is_told_and_never_refused(graph: Graph, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory_plan, "device_free", lambda device: None)
    plan = plan_memory(graph, SETTINGS)
    assert plan.fits
    assert not plan.tight
    assert "the system does not say" in plan.told()


def test_what_the_device_has_free_is_added_to_what_is_held(graph: Graph, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory_plan, "device_free", lambda device: 5_000_000_000)
    assert plan_memory(graph, SETTINGS, held=2_000_000_000).available == 7_000_000_000
    assert plan_memory(graph, SETTINGS.but(memory_limit_gb=3), held=2_000_000_000).available == 3_000_000_000


def test_a_prediction_near_what_there_is_is_called_close(graph: Graph) -> None:
    peak = peak_of(graph, SETTINGS)
    assert "close" in plan_memory(graph, SETTINGS, held=0, available=int(1.1 * peak)).told()
    assert "close" not in plan_memory(graph, SETTINGS, held=0, available=int(1.3 * peak)).told()


def test_a_gpu_is_planned_for_without_one(graph: Graph) -> None:
    plan = plan_memory(graph, SETTINGS, device="cuda", attention="fused_cuda", precision="fp32", held=0, available=1)
    assert "holes between buffers" not in plan.parts
    assert "compiled loops" not in plan.parts
    cpu = plan_memory(graph, SETTINGS, device="cpu", attention="csr", precision="fp32", held=0, available=None)
    assert 0.3 * cpu.peak < plan.peak < 3 * cpu.peak
    assert cpu.host is None


def on_gpu(graph: Graph, settings: EmbedSettings, host: tuple[int, int | None]) -> MemoryPlan:
    return plan_memory(
        graph, settings, device="cuda", attention="fused_cuda", precision="fp32", held=0, available=10**15, host=host
    )


PREPARED_FOR_A_GPU = """
import torch
from rxweave.benchmark.memory import forget_peak, peak
from rxweave.config import EmbedSettings
from rxweave.embed.attention import build_index
from rxweave.embed.features import svd_features
from rxweave.embed.memory_plan import plan_memory
from rxweave.embed.objective import Objective
from rxweave.graph.primekg_shape import primekg_shaped

graph, settings = primekg_shaped(0.125, seed=0), EmbedSettings()
forget_peak()
plan = plan_memory(graph, settings, device="cuda", attention="fused_cuda", precision="fp32", held=0, available=10**15)
index = build_index(graph).to("meta")  # a copy on no device at all, in place of that on a GPU
features = torch.from_numpy(svd_features(graph, settings.feature_dim, seed=0))
objective = Objective(graph, settings)
print(plan.host.peak, plan.host.parts["process"], peak())
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux tells the peak of a process anew")
def test_what_a_gpu_s_training_prepares_is_near_what_the_machine_holds_meanwhile() -> None:
    done = subprocess.run([sys.executable, "-c", PREPARED_FOR_A_GPU], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    predicted, before, measured = map(int, done.stdout.split())
    assert measured - before > 100e6
    assert predicted == pytest.approx(measured, rel=0.2)
    assert predicted - before == pytest.approx(measured - before, rel=0.5)


def test_a_gpu_beside_too_little_memory_is_refused_with_the_part_of_the_graph_that_fits(graph: Graph) -> None:
    whole = on_gpu(graph, SETTINGS, (0, None))
    assert whole.host is not None
    assert whole.fits
    limit = int(0.8 * whole.host.peak)
    plan = on_gpu(graph, SETTINGS, (0, limit))
    assert plan.fits_device
    assert not plan.fits
    with pytest.raises(MemoryPlanError) as refused:
        check_memory(plan, graph, SETTINGS)
    told = str(refused.value)
    assert f"about {gigabytes(whole.host.peak)} of the machine's own memory, and {gigabytes(limit)} are" in told
    assert "on cuda" not in told
    assert "memory_limit_gb" not in told
    fit, *_ = what_fits(graph, SETTINGS, plan)
    assert set(fit.changes) == {"load.limit_nodes"}
    assert fit.options() in told
    part = on_gpu(limit_nodes(graph, fit.changes["load.limit_nodes"], seed=0), SETTINGS, (0, limit))
    assert part.fits


def test_both_memories_of_a_gpu_s_training_are_told_and_recorded(graph: Graph) -> None:
    plan = on_gpu(graph, SETTINGS, (10**8, 2 * 10**10))
    assert plan.host is not None
    on_device, of_machine = plan.told().splitlines()
    assert on_device.startswith("Memory on cuda: about ")
    assert of_machine.startswith(f"Memory of the machine itself: about {gigabytes(plan.host.peak)} of 20.0 GB")
    assert plan.plain()["host"] == plan.host.plain()


@pytest.mark.parametrize("held", [500_000_000, 5_000_000_000], ids=["a small process", "a large process"])
def test_proposing_changes_nothing_where_all_fits_and_the_least_where_not(
    graph: Graph, monkeypatch: pytest.MonkeyPatch, held: int
) -> None:
    assert propose(graph, SETTINGS).changes == {}
    plan = plan_memory(graph, SETTINGS, held=held)
    limit = (plan.parts["process"] + 0.7 * (plan.peak - plan.parts["process"])) / 1e9
    monkeypatch.setattr(memory_plan, "memory_now", lambda device: plan.parts["process"])
    fit = propose(graph, SETTINGS.but(memory_limit_gb=limit))
    assert fit.changes
    assert fit.plan.fits
    assert all(f"-o {name}={value}" in fit.options() for name, value in fit.changes.items())


@pytest.mark.parametrize(
    ("asked", "least"),
    [
        ({"attention": "reference"}, {"embed.attention"}),  # the same learning, some rounding apart
        ({"features": "learned", "num_treatment_negatives": 8}, {"embed.features"}),
    ],
    ids=["attention", "features"],
)
def test_what_is_proposed_changes_no_more_of_the_learning_than_it_must(
    graph: Graph, monkeypatch: pytest.MonkeyPatch, asked: dict[str, object], least: set[str]
) -> None:
    monkeypatch.setattr(memory_plan, "memory_now", lambda device: 0)
    settings = SETTINGS.but(edge_sample_size=500, contrastive_weight=0.0, **asked)
    name = next(iter(least)).removeprefix("embed.")
    changed = {"attention": "csr", "features": "svd"}[name]
    before, after = (peak_of(graph, each) for each in (settings, settings.but(**{name: changed})))
    assert after < before
    fit = propose(graph, settings.but(memory_limit_gb=(before + 3 * after) / 4 / 1e9))
    assert set(fit.changes) == least


def test_what_is_proposed_leaves_room_for_what_another_process_holds_more(
    graph: Graph, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory_fit, "ROOM", 10**7)
    peak = peak_of(graph, SETTINGS)
    for more, changed in ((2 * 10**7, False), (5 * 10**6, True)):
        limit = (plan_memory(graph, SETTINGS, available=10**15).peak + more) / 1e9
        fit = propose(graph, SETTINGS.but(memory_limit_gb=limit))
        assert bool(fit.changes) == changed
        plan = plan_memory(graph, SETTINGS, held=0, available=peak - 1)
        found = what_fits(graph, SETTINGS, plan)
        assert found
        assert all(each.plan.peak + 10**7 <= peak - 1 for each in found)


def test_the_part_of_a_graph_that_is_proposed_is_the_largest_that_fits(graph: Graph) -> None:
    available = int(0.3 * peak_of(graph, SETTINGS))
    plan = plan_memory(graph, SETTINGS, held=0, available=available)
    found = [fit for fit in what_fits(graph, SETTINGS, plan) if "load.limit_nodes" in fit.changes]
    assert found
    for fit in found:
        changes = {name.removeprefix("embed."): value for name, value in fit.changes.items()}
        num_nodes = changes.pop("load.limit_nodes")
        settings, shape = SETTINGS.but(**changes), GraphShape.of(graph)
        assert peak_of(shape.sampled(num_nodes), settings) <= available
        assert peak_of(shape.sampled(int(1.12 * num_nodes)), settings) > memory_fit.SAMPLING_MARGIN * available


def test_no_part_is_proposed_that_may_hold_nothing_to_learn(graph: Graph, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of thirty nodes at most five facts of a relation are expected: a command that might only be refused again."""
    part = GraphShape.of(graph).sampled(30)
    assert max(relation.facts for relation in part.relations) < memory_fit.FEWEST_FACTS
    available = 1 + int(peak_of(part, SETTINGS) / memory_fit.SAMPLING_MARGIN)
    plan = plan_memory(graph, SETTINGS, held=0, available=available)
    with monkeypatch.context() as without:
        without.setattr(memory_fit, "FEWEST_FACTS", 0)
        assert any(0 < fit.changes.get("load.limit_nodes", 0) <= 40 for fit in what_fits(graph, SETTINGS, plan))
    assert what_fits(graph, SETTINGS, plan) == []
    with pytest.raises(MemoryPlanError, match="No part of the graph fits"):
        check_memory(plan, graph, SETTINGS)


def test_apple_s_shared_memory_is_planned_as_the_process_s_own(graph: Graph, monkeypatch: pytest.MonkeyPatch) -> None:
    """By formula; no such machine was there to measure it on."""
    monkeypatch.setattr(memory_plan, "device_free", lambda device: {"mps": 2 * 10**8, "cpu": 10**9}[device.type])
    settings = SETTINGS.but(attention="auto", precision="auto", features="learned")
    plan = plan_memory(graph, settings, device="mps", held=10**8)
    assert (plan.device, plan.attention, plan.precision, plan.host) == ("mps", "gather", "fp32", None)
    assert plan.available == 3 * 10**8  # what is free, and what this process holds of it
    assert plan.parts["process"] == 10**8
    assert "holes between buffers" not in plan.parts
    cpu = plan_memory(graph, settings, device="cpu", attention="gather", precision="fp32", held=10**8)
    assert plan.peak == cpu.peak - cpu.parts.get("holes between buffers", 0)
    few = plan_memory(graph, settings, device="mps", held=10**8, available=int(0.9 * plan.peak))
    with pytest.raises(MemoryPlanError, match=r"on mps, and .* are available.*Dimensions are never changed"):
        check_memory(few, graph, settings)
    for fit in what_fits(graph, settings, few):
        assert fit.plan.device in ("mps", "cpu")
        assert "fused" not in fit.plan.attention or fit.plan.device == "cpu"


def test_the_prediction_is_recorded_with_the_run(finished_run: Path) -> None:
    recorded = [json.loads(path.read_text()).get("results", {}) for path in finished_run.rglob("manifest.json")]
    memory, *others = (results["memory"] for results in recorded if "memory" in results)
    assert all(other == memory for other in others)
    assert memory["parts"]["process"] > 10**8
    assert memory["predicted_peak"] == sum(memory["parts"].values())
    assert memory["predicted_peak"] < memory["available"]


def test_what_a_checkpoint_holds_is_not_counted_twice(graph: Graph, tmp_path: Path) -> None:
    """A training that fits as it begins fits as it goes on, by the same command."""
    settings = SETTINGS.but(num_epochs=2, checkpoint_every=1, features="learned", feature_dim=2048)
    notes: list[str] = []

    def stop(epoch: Epoch) -> None:
        if epoch.number == 2:
            raise KeyboardInterrupt

    checkpoint = tmp_path / "checkpoint.safetensors"
    with pytest.raises(KeyboardInterrupt):
        train(graph, settings, seed=0, checkpoint=checkpoint, on_epoch=stop)
    before = plan_memory(graph, settings)
    resumed = train(graph, settings, seed=0, checkpoint=checkpoint, on_note=notes.append).memory
    assert any("goes on" in note for note in notes)
    assert checkpoint.stat().st_size > 40e6
    assert resumed.parts["process"] - before.parts["process"] < 0.5 * checkpoint.stat().st_size
    assert resumed.available is not None
