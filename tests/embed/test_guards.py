"""Each guard trips on what it watches for, says what to change, and keeps still in a training that works."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from small_training import SEED, SETTINGS

from rxweave.embed import guards
from rxweave.embed.attention import build_index
from rxweave.embed.checkpoint import read_checkpoint
from rxweave.embed.decoder import DistMult
from rxweave.embed.finite import bad_activation, bad_gradient, bad_parameter, bad_rows, directed_relations
from rxweave.embed.held_out import HeldOut
from rxweave.embed.hgt import HGT, HGTShape
from rxweave.embed.history import Epoch
from rxweave.embed.interruptions import OutOfMemoryError, is_out_of_memory, memory_for
from rxweave.embed.measures import measure_types, rank_alarm
from rxweave.embed.ranks import RankError, Ranks
from rxweave.embed.train import train
from rxweave.errors import CollapseError, TrainingError
from rxweave.graph.build import Graph
from rxweave.graph.split import random_split, training_graph
from rxweave.kg.tables import Roles
from rxweave.validate.gates import rank_gate

ROLES = Roles("drug", "disease", None, ("treats",))


def history(totals: list[float], **values: object) -> list[Epoch]:
    return [
        Epoch(i + 1, total, total, 0.0, total, 1.0, **{name: f(i) if callable(f) else f for name, f in values.items()})
        for i, total in enumerate(totals)
    ]


def warned(epochs: list[Epoch]) -> dict[int, list[str]]:
    """What is warned of after each epoch, in a training that goes on."""
    so_far: list[Epoch] = []
    found = {}
    for epoch in epochs:
        new = guards.new_warnings([*so_far, epoch], SETTINGS.but(num_epochs=len(epochs)))
        so_far.append(Epoch(**{**vars(epoch), "warnings": new}))
        if new:
            found[epoch.number] = list(new)
    return found


# Losses


def test_a_loss_that_falls_is_not_warned_of(rng: np.random.Generator) -> None:
    falling = [6 + 7 * np.exp(-i / 20) + 0.1 * rng.standard_normal() for i in range(100)]
    assert warned(history(falling)) == {}


def test_a_loss_that_ends_flat_is_not_warned_of(rng: np.random.Generator) -> None:
    settled = [6 + 7 * np.exp(-i / 3) + 0.1 * rng.standard_normal() for i in range(100)]
    assert warned(history(settled)) == {}


def test_a_loss_that_never_falls_is_warned_of_once(rng: np.random.Generator) -> None:
    flat = [13 + 0.02 * rng.standard_normal() for _ in range(60)]
    assert warned(history(flat)) == {15: ["flat loss"]}
    told = guards.loss_warnings(history(flat[:15]), SETTINGS.but(num_epochs=60))["flat loss"]
    assert re.search(r"After 15 epochs .* nothing is learnt\. Likely: learning_rate \(now 0\.003\).*Change: ", told)


def test_a_short_training_is_judged_at_its_end(rng: np.random.Generator) -> None:
    assert warned(history([13.0] * 12)) == {12: ["flat loss"]}
    assert warned(history([13.0] * 9)) == {}
    assert warned(history([13.0 - 0.1 * i for i in range(12)])) == {}


def test_a_flat_link_loss_is_not_hidden_by_a_contrast_that_falls() -> None:
    epochs = [replace(epoch, link=9.0) for epoch in history([13 - 0.3 * i for i in range(20)])]
    assert warned(epochs) == {15: ["flat loss"]}
    told = guards.loss_warnings(epochs[:15], SETTINGS.but(num_epochs=20))["flat loss"]
    assert "After 15 epochs the link loss is 9.000, and was 9.000 at the start: nothing is learnt." in told


def test_losses_that_are_both_flat_are_both_told_of() -> None:
    epochs = [replace(epoch, link=9.0) for epoch in history([13.0] * 15)]
    told = guards.loss_warnings(epochs, SETTINGS.but(num_epochs=20))["flat loss"]
    total, link = ("13.000, and was 13.000 at the start", "9.000, and was 9.000 at the start")
    assert f"the total loss is {total}; the link loss is {link}: nothing is learnt" in told


def test_a_rank_that_is_lost_after_an_epoch_leaves_a_checkpoint(
    small_graph: Graph, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, settings = tmp_path / "c.safetensors", SETTINGS.but(checkpoint_every=0)

    def lost(*_: object) -> bool:
        raise RankError("rank 1 of 2 is gone.")

    def lose(epoch: Epoch) -> None:
        if epoch.number == 3:
            monkeypatch.setattr(Ranks, "any", lost)

    with pytest.raises(RankError, match=r"rank 1 of 2 is gone\. The same command goes on after epoch 3"):
        train(small_graph, settings, seed=SEED, checkpoint=path, on_epoch=lose)
    assert len(read_checkpoint(path).history) == 3


def test_a_loss_that_rises_again_is_warned_of_once() -> None:
    rising = [13 - 0.3 * i for i in range(20)] + [7.3 + 0.2 * i for i in range(20)]
    found = warned(history(rising))
    assert list(found.values()) == [["rising loss"]]
    assert 20 < min(found) <= 30
    told = guards.loss_warnings(history(rising), SETTINGS)["rising loss"]
    assert re.search(r"rising: 10\.7.*, 7\.\d+ around epoch \d+\..*Change: learning_rate=0\.001", told)


def test_a_training_whose_loss_does_not_fall_says_so_while_it_trains(small_graph: Graph) -> None:
    """A learning rate so small that nothing is learnt."""
    told: list[str] = []
    train(small_graph, SETTINGS.but(learning_rate=1e-9, num_epochs=15), seed=SEED, on_warning=told.append)
    assert [text for text in told if "nothing is learnt" in text and "learning_rate=0.001" in text]


# Effective rank


@pytest.mark.parametrize("limit", [5, 50, 136, 137, 250, 511, 512, 2000])
def test_the_alarm_is_where_the_verdict_says_collapsed(limit: int) -> None:
    assert rank_alarm(limit) / limit == pytest.approx(rank_gate(limit).collapsed)


def test_low_effective_ranks_are_warned_of_by_type() -> None:
    ranks = {"drug": 9.0, "disease": 60.0, "gene": 5.0, "tiny": 1.0}
    epochs = history([3.0, 2.0], effective_rank=ranks, rank_alarm={"drug": 10.0, "disease": 10.0, "gene": 10.0})
    assert warned(epochs) == {2: ["effective rank of drug", "effective rank of gene"]}
    told = guards.rank_warnings(epochs, SETTINGS)["effective rank of drug"]
    assert re.search(r"drug: effective rank 9\.0 after epoch 2; below 10\.0 .* collapsing\. Likely: .*Change: ", told)
    assert guards.collapsing_types(epochs, ROLES) == ["drug"]
    others = Roles("Compound", "Disease", None, ("treats",))
    assert guards.collapsing_types(epochs, others) == ["drug", "gene"]


def test_a_rank_that_falls_once_and_recovers_is_no_collapse() -> None:
    ranks = [12.0, 9.0, 9.5, 12.0, 9.0, 8.5]
    epochs = [
        replace(epoch, effective_rank={"drug": rank}, rank_alarm={"drug": 10.0})
        for epoch, rank in zip(history([3.0] * len(ranks)), ranks, strict=True)
    ]
    assert [bool(guards.rank_warnings(epochs[: i + 1], SETTINGS)) for i in range(len(ranks))] == [False] * 5 + [True]


def test_a_rank_that_rises_by_rounding_alone_is_one_of_a_collapse() -> None:
    for rise, warns in ((4e-6, True), (0.01, False)):
        epochs = [
            replace(epoch, effective_rank={"drug": rank}, rank_alarm={"drug": 10.0})
            for epoch, rank in zip(history([3.0, 3.0]), (1.0, 1.0 + rise), strict=True)
        ]
        assert bool(guards.rank_warnings(epochs, SETTINGS)) == warns


def test_measures_leave_out_nodes_without_facts(small_graph: Graph, rng: np.random.Generator) -> None:
    vectors = rng.standard_normal((small_graph.num_nodes, 16)).astype(np.float32)
    drugs = small_graph.rows_of("drug")
    vectors[drugs.start : drugs.start + 20] = 1
    active = np.ones(small_graph.num_nodes, bool)
    with_them = measure_types(small_graph, vectors, active)
    assert with_them.duplicate_rate["drug"] == 20 / small_graph.num_of("drug")
    assert with_them.duplicate_rate["disease"] == 0
    active[drugs.start : drugs.start + 20] = False
    without = measure_types(small_graph, vectors, active)
    assert without.duplicate_rate["drug"] == 0
    assert without.mean_cosine["drug"] < with_them.mean_cosine["drug"]
    active[drugs] = False
    assert "drug" not in measure_types(small_graph, vectors, active).effective_rank


COLLAPSING = SETTINGS.but(features="constant", num_layers=1)


def test_the_types_are_measured_as_often_as_asked_and_training_goes_on_the_same(small_graph: Graph) -> None:
    often, seldom = (
        train(small_graph, SETTINGS.but(num_epochs=5, measure_every=every), seed=SEED) for every in (2, 10)
    )
    assert [epoch.number for epoch in often.history if epoch.effective_rank] == [2, 4, 5]
    assert [epoch.number for epoch in seldom.history if epoch.mean_cosine] == [5]
    assert set(often.history[1].duplicate_rate) == set(small_graph.node_types)
    np.testing.assert_array_equal(often.vectors, seldom.vectors)


def test_a_collapse_is_warned_of_while_it_happens(small_graph: Graph) -> None:
    told: list[str] = []
    trained = train(small_graph, COLLAPSING, seed=SEED, on_warning=told.append)
    assert any(re.search(r"pathway: effective rank 1\.\d .*features=constant.*Change: features=svd", t) for t in told)
    assert len(trained.history) == COLLAPSING.num_epochs
    assert "effective rank of pathway" in trained.history[1].warnings
    assert len(told) == len(set(told))


def test_a_collapse_ends_the_training_if_asked_and_can_be_overruled(small_graph: Graph, tmp_path: Path) -> None:
    path = tmp_path / "c.safetensors"
    settings = COLLAPSING.but(on_collapse="stop", checkpoint_every=0)
    for _ in range(COLLAPSING.num_epochs + 1):  # a command that is repeated gets past it by no epoch
        with pytest.raises(CollapseError, match=r"Stopped after epoch \d.*on_collapse=stop and .*drug.*collapsing"):
            train(small_graph, settings, seed=SEED, checkpoint=path)
    assert len(read_checkpoint(path).history) == 2
    trained = train(small_graph, settings.but(on_collapse="warn"), seed=SEED, checkpoint=path, resume=True)
    whole = train(small_graph, settings.but(on_collapse="warn"), seed=SEED)
    np.testing.assert_array_equal(trained.vectors, whole.vectors)


# Memory


@pytest.mark.parametrize(
    ("memory", "warns"),
    [
        (lambda i: 3_000_000_000 + 20_000_000 * i, True),
        (lambda i: 3_000_000_000 + 20_000_000 * i * (1 + (i % 7 == 0)), True),
        (lambda i: 3_000_000_000 + 4_000 * i, False),
        (lambda i: 3_000_000_000 + 400_000_000 * (i > 2), False),
        (lambda i: 3_000_000_000 + 400_000_000 * (i % 2), False),
        (lambda i: 100_000_000 + 1_000_000 * i, False),
        (lambda i: 0, False),
    ],
    ids=["steady", "steady with jumps", "rounding", "one step", "to and fro", "small process", "unknown"],
)
def test_only_memory_that_grows_steadily_is_warned_of(memory: Callable[[int], int], warns: bool) -> None:
    found = warned(history([10 / (i + 1) for i in range(60)], memory=memory))
    assert list(found.values()) == ([["memory growth"]] if warns else [])


def test_memory_growth_is_told_with_numbers(small_graph: Graph, monkeypatch: pytest.MonkeyPatch) -> None:
    held = iter(range(2_000_000_000, 9_000_000_000, 100_000_000))
    monkeypatch.setattr("rxweave.embed.train.memory_now", lambda device: next(held))
    told: list[str] = []
    train(small_graph, SETTINGS.but(num_epochs=30), seed=SEED, on_warning=told.append)
    grown = [text for text in told if "Memory grows" in text]
    assert len(grown) == 1
    assert "100 MB per epoch over the last 20, now 4.40 GB; at this rate 4.90 GB at the end" in grown[0]


ALLOCATOR = RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes.")


@pytest.mark.parametrize(
    ("where", "error", "message", "kept"),
    [
        ("rxweave.embed.hgt.HGT.states", torch.OutOfMemoryError("CUDA out of memory."), r"hidden_dim \(now 16\)", 3),
        ("rxweave.embed.objective.add_link_gradient", ALLOCATOR, r"edge_sample_size.*memory_constrained", 3),
        ("rxweave.embed.objective.contrastive_loss", MemoryError(), "edge_sample_size", 3),
        ("torch.optim.AdamW.step", ALLOCATOR, "updating the weights", 2),
        ("rxweave.embed.hgt.HGT.forward", MemoryError(), "embedding all nodes", 2),
        ("rxweave.embed.train.measure_types", MemoryError(), r"embedding_dim \(now 32\)", 2),
        ("rxweave.embed.train.held_out_mrr", MemoryError(), "ranking held-out treatments.*limit_nodes", 2),
    ],
    ids=["messages", "scores", "contrast", "update", "embeddings", "measures", "held-out ranks"],
)
def test_out_of_memory_keeps_what_was_learnt_and_says_what_to_lower(
    small_graph: Graph,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    where: str,
    error: Exception,
    message: str,
    kept: int,
) -> None:
    """It strikes in epoch 4; a checkpoint was due after epoch 2. Half-updated weights are not saved over it."""
    path, settings = tmp_path / "c.safetensors", SETTINGS.but(checkpoint_every=2)
    split = random_split(small_graph, seed=0)
    graph, held_out = training_graph(small_graph, split), HeldOut.of(split)

    def fail(*_: object, **__: object) -> None:
        raise error

    def strike(epoch: Epoch) -> None:
        if epoch.number == 3:
            monkeypatch.setattr(where, fail)

    with pytest.raises(OutOfMemoryError, match=message) as raised:
        train(graph, settings, seed=SEED, checkpoint=path, on_epoch=strike, held_out=held_out)
    monkeypatch.undo()
    assert f"The same command goes on after epoch {kept}" in str(raised.value)
    assert len(read_checkpoint(path).history) == kept
    resumed = train(graph, settings, seed=SEED, checkpoint=path, resume=True, held_out=held_out)
    np.testing.assert_array_equal(resumed.vectors, train(graph, settings, seed=SEED).vectors)


def test_out_of_memory_while_saving_does_not_end_training_nor_hide_what_ran_out_first(
    small_graph: Graph, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, settings = tmp_path / "c.safetensors", SETTINGS.but(checkpoint_every=2)

    def fail(*_: object, **__: object) -> None:
        raise ALLOCATOR

    monkeypatch.setattr("rxweave.embed.keeper.save_checkpoint", fail)
    told: list[str] = []
    trained = train(small_graph, settings, seed=SEED, checkpoint=path, on_warning=told.append)
    assert len(trained.history) == settings.num_epochs
    assert any("checkpoint of epoch 2 could not be written" in text and "no memory left" in text for text in told)

    def strike(epoch: Epoch) -> None:
        monkeypatch.setattr("rxweave.embed.objective.contrastive_loss", fail)

    with pytest.raises(
        OutOfMemoryError, match=r"Lower edge_sample_size.*could not be written.*No epoch has been saved"
    ):
        train(small_graph, settings, seed=SEED, checkpoint=path, on_epoch=strike)

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("size mismatch")

    monkeypatch.undo()
    monkeypatch.setattr("rxweave.embed.keeper.save_checkpoint", broken)
    with pytest.raises(RuntimeError, match="size mismatch"):
        train(small_graph, settings, seed=SEED, checkpoint=path)


def test_out_of_memory_in_the_first_epoch_has_nothing_to_keep(
    small_graph: Graph, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr("rxweave.embed.objective.add_link_gradient", fail)
    with pytest.raises(OutOfMemoryError, match="No epoch has been saved"):
        train(small_graph, SETTINGS, seed=SEED, checkpoint=tmp_path / "c.safetensors")
    assert list(tmp_path.iterdir()) == []


def test_the_ways_in_which_memory_runs_out_are_known() -> None:
    """Asked for for real: numpy and torch each refuse 8 exabytes."""
    with (
        pytest.raises(OutOfMemoryError, match=r"Memory ran out while trying.*Lower hopes\."),
        memory_for("trying", "hopes"),
    ):
        np.empty(10**18)
    with pytest.raises(OutOfMemoryError), memory_for("trying", "hopes"):
        torch.empty(10**18)
    assert is_out_of_memory(RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"))
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory."))
    with pytest.raises(RuntimeError, match="size mismatch"), memory_for("trying", "hopes"):
        raise RuntimeError("size mismatch")


# Not finite


@pytest.fixture
def model(small_graph: Graph) -> tuple[HGT, DistMult, torch.Tensor]:
    index = build_index(small_graph)
    shape = HGTShape(tuple(small_graph.type_offsets.tolist()), index.num_relations, 16, 16, 32, 2, 4)
    generator = torch.Generator().manual_seed(0)
    encoder = HGT(shape, generator=generator, attention="csr")
    decoder = DistMult(len(small_graph.relations), 32, generator=generator)
    return encoder, decoder, torch.randn(small_graph.num_nodes, 16, generator=generator)


def test_a_bad_weight_is_named_with_its_relation_or_type(small_graph: Graph, model) -> None:
    encoder, decoder, features = model
    assert bad_parameter(small_graph, encoder, decoder, features) is None
    decoder.relation.data[2, 5] = torch.nan
    told = bad_parameter(small_graph, encoder, decoder, features)
    assert told == f"parameter decoder.relation, of {small_graph.relations[2]}: 1 of {decoder.relation.numel()} values"
    names = directed_relations(small_graph)
    assert len(names) == build_index(small_graph).num_relations
    encoder.layers[1].to_key.data[3] = torch.inf
    assert f"parameter encoder.layers.1.to_key, of {names[3]}: " in bad_parameter(small_graph, *model)
    encoder.layers[0].query_key_value.bias.data[1, 0] = torch.nan
    assert f"query_key_value.bias, of {small_graph.node_types[1]}" in bad_parameter(small_graph, *model)


def test_a_bad_activation_is_named_with_its_type(small_graph: Graph, model) -> None:
    encoder, _, features = model
    index = build_index(small_graph)
    assert bad_activation(small_graph, encoder, features, index) is None
    features[small_graph.rows_of("drug").start] = torch.inf
    assert "output of encoder.layers.0" in bad_activation(small_graph, encoder, features, index)
    assert "of drug: 16 of 6,400 values" in bad_rows(small_graph, features)
    assert encoder(features, index) is not None  # the hooks are gone


def test_a_bad_gradient_is_named_with_its_relation(small_graph: Graph, model) -> None:
    encoder, decoder, features = model
    assert bad_gradient(small_graph, encoder, decoder, features) is None
    decoder.log_scale.grad = torch.zeros_like(decoder.log_scale)
    decoder.log_scale.grad[1] = torch.nan
    told = bad_gradient(small_graph, encoder, decoder, features)
    assert told is not None
    assert told.startswith(f"gradient of decoder.log_scale, of {small_graph.relations[1]}")


def spoil_after(number: int, spoil: Callable[[], None]) -> Callable[[Epoch], None]:
    def hook(epoch: Epoch) -> None:
        if epoch.number == number:
            spoil()

    return hook


def test_a_weight_that_turns_nan_stops_training_with_step_tensor_and_relation(
    small_graph: Graph, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoders: list[DistMult] = []
    original = DistMult.__init__

    def kept(self: DistMult, *arguments: int, **named: torch.Generator) -> None:
        original(self, *arguments, **named)
        decoders.append(self)

    monkeypatch.setattr(DistMult, "__init__", kept)

    def spoil() -> None:
        decoders[0].relation.data[4, 0] = torch.nan

    path, relation, warnings = tmp_path / "c.safetensors", str(small_graph.relations[4]), []
    with pytest.raises(TrainingError) as raised:
        train(
            small_graph,
            SETTINGS,
            seed=SEED,
            on_epoch=spoil_after(3, spoil),
            on_warning=warnings.append,
            checkpoint=path,
        )
    told = str(raised.value)
    assert told.startswith(f"In step 4 (epoch 4) the link loss of {relation} is nan; first to be not finite: ")
    assert f"parameter decoder.relation, of {relation}: 1 of" in told
    assert "Lower learning_rate (now 0.003) or clip_norm (now 10)." in told
    assert len(read_checkpoint(path).history) == 2  # what is not finite is not saved over what is
    assert "its weights are not finite" in warnings[0]


def test_a_gradient_that_is_not_finite_never_reaches_the_weights(
    small_graph: Graph, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rxweave.embed.objective.ScoredEmbeddings.backward", overflowing)
    with pytest.raises(TrainingError, match=r"In step 1 \(epoch 1\) the gradient is (nan|inf).*gradient of encoder\."):
        train(small_graph, SETTINGS, seed=SEED)


def overflowing(self: object, *_: object, **__: object) -> float:
    self.gradient += torch.inf  # type: ignore[attr-defined]
    return 1.0


def test_long_gradients_are_clipped_and_recorded(small_graph: Graph) -> None:
    free, clipped = (train(small_graph, SETTINGS.but(num_epochs=2, clip_norm=norm), seed=SEED) for norm in (None, 1e-3))
    assert all(epoch.gradient_norm > 1e-2 for epoch in free.history)
    assert clipped.history[0].gradient_norm == free.history[0].gradient_norm  # before clipping
    assert not np.array_equal(free.vectors, clipped.vectors)
    ample = train(small_graph, SETTINGS.but(num_epochs=2, clip_norm=1e9), seed=SEED)
    np.testing.assert_array_equal(ample.vectors, free.vectors)
