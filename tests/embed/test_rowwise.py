"""The dense maps with hand-written gradients against plain autograd of the same formulas."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from rxweave.embed import rowwise
from rxweave.embed.rowwise import gated_update, normalised_map, typed_linear

Map = Callable[..., Tensor]

TYPES = {
    "three types": (0, 3, 14, 26),
    "one type": (0, 26),
    "types without nodes": (0, 0, 7, 7, 7, 26, 26),
}
IN, OUT, HIDDEN = 6, 4, 5


def linear_by_type(x: Tensor, weight: Tensor, bias: Tensor, offsets: tuple[int, ...]) -> Tensor:
    """typed_linear in torch's own words."""
    blocks = zip(pairwise(offsets), weight, bias, strict=True)
    return torch.cat([F.linear(x[start:stop], w, b) for (start, stop), w, b in blocks])


def gated_by_type(
    x: Tensor, received: Tensor, weight: Tensor, bias: Tensor, share_new: Tensor, offsets: tuple[int, ...]
) -> Tensor:
    """gated_update in torch's own words."""
    sizes = torch.tensor(offsets).diff()
    update = linear_by_type(F.gelu(received), weight, bias, offsets)
    return torch.lerp(x, update, share_new.repeat_interleave(sizes)[:, None])


def normalised(states: list[Tensor], weight: Tensor, bias: Tensor) -> Tensor:
    """normalised_map in torch's own words."""
    return F.layer_norm(F.linear(torch.cat(states, 1), weight, bias), weight.shape[:1])


@dataclass(frozen=True)
class Case:
    """A map, the same in torch's own words, and what both take; `share_new` comes from a sigmoid."""

    ours: Map
    plain: Map
    leaves: dict[str, Tensor]

    def with_compute(self, compute: torch.dtype) -> Map:
        return lambda *leaves: self.ours(*leaves, compute=compute)


def case_of(name: str, offsets: tuple[int, ...]) -> Case:
    generator = torch.Generator().manual_seed(3)

    def draw(*size: int) -> Tensor:
        return torch.randn(size, generator=generator, dtype=torch.float64)

    nodes, types = offsets[-1], len(offsets) - 1
    if name == "typed_linear":
        leaves = {"x": draw(nodes, IN), "weight": draw(types, OUT, IN), "bias": draw(types, OUT)}
        return Case(
            lambda *ts, **how: typed_linear(*ts, offsets, **how), lambda *ts: linear_by_type(*ts, offsets), leaves
        )
    if name == "gated_update":
        leaves = {
            "x": draw(nodes, HIDDEN),
            "received": draw(nodes, HIDDEN),
            "weight": draw(types, HIDDEN, HIDDEN),
            "bias": draw(types, HIDDEN),
            "skip": draw(types),
        }
        return Case(
            lambda *ts, **how: gated_update(*ts[:-1], torch.sigmoid(ts[-1]), offsets, **how),
            lambda *ts: gated_by_type(*ts[:-1], torch.sigmoid(ts[-1]), offsets),
            leaves,
        )
    widths = {"first": 3, "second": 2, "third": 7}
    leaves = {"weight": draw(OUT, sum(widths.values())), "bias": draw(OUT)}
    leaves |= {state: draw(nodes, width) for state, width in widths.items()}
    return Case(
        lambda weight, bias, *states, **how: normalised_map(states, weight, bias, **how),
        lambda weight, bias, *states: normalised(list(states), weight, bias),
        leaves,
    )


def output_and_gradients(
    f: Map, leaves: dict[str, Tensor], dtype: torch.dtype = torch.float64, *, without: str | None = None
) -> dict[str, Tensor | None]:
    """What a map gives and the gradient of each of its inputs; the input `without` asks for none."""
    given = {name: x.to(dtype, copy=True).requires_grad_(name != without) for name, x in leaves.items()}
    output = f(*given.values())
    weight = torch.linspace(-1, 1, output.numel(), dtype=torch.float64).sin().reshape(output.shape)
    output.backward(weight.to(output.dtype))
    return {"output": output.detach(), **{name: x.grad for name, x in given.items()}}


def relative_errors(got: dict[str, Tensor | None], expected: dict[str, Tensor | None]) -> dict[str, float]:
    """‖got − expected‖ / ‖expected‖ of each; of a norm below 1, compared with 1."""
    assert {name for name, x in got.items() if x is None} == {name for name, x in expected.items() if x is None}
    return {
        name: float((got[name].double() - x).norm() / x.norm().clamp(min=1))
        for name, x in expected.items()
        if x is not None
    }


MAPS = ["typed_linear", "gated_update", "normalised_map"]


@pytest.mark.parametrize("rows", [1, 5, 16384])
@pytest.mark.parametrize("offsets", TYPES.values(), ids=TYPES)
@pytest.mark.parametrize("name", MAPS)
def test_outputs_and_gradients_are_those_of_autograd(
    name: str, offsets: tuple[int, ...], rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Blocks of 5 rows end inside types of 3, 7, 11, 12 and 19 nodes."""
    monkeypatch.setattr(rowwise, "ROWS", rows)
    case = case_of(name, offsets)
    errors = relative_errors(
        output_and_gradients(case.ours, case.leaves), output_and_gradients(case.plain, case.leaves)
    )
    assert set(errors) == {"output", *case.leaves}
    assert max(errors.values()) < 1e-10, errors


@pytest.mark.parametrize("name", MAPS)
def test_gradients_are_those_of_finite_differences(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rowwise, "ROWS", 2)
    case = case_of(name, (0, 1, 1, 4))
    assert torch.autograd.gradcheck(case.ours, tuple(x.requires_grad_() for x in case.leaves.values()))


@pytest.mark.parametrize(
    ("name", "without"),
    [(name, leaf) for name in MAPS for leaf in case_of(name, TYPES["three types"]).leaves],
)
def test_an_input_that_needs_no_gradient_gets_none_and_leaves_the_others_theirs(name: str, without: str) -> None:
    case = case_of(name, TYPES["three types"])
    got = output_and_gradients(case.ours, case.leaves, without=without)
    expected = output_and_gradients(case.plain, case.leaves, without=without)
    assert got[without] is None
    assert max(relative_errors(got, expected).values()) < 1e-10


@pytest.mark.parametrize("name", ["typed_linear", "gated_update"])
def test_weights_of_a_type_without_nodes_get_a_gradient_of_zero(name: str) -> None:
    offsets = TYPES["types without nodes"]
    case = case_of(name, offsets)
    gradients = output_and_gradients(case.ours, case.leaves)
    empty = torch.tensor(offsets).diff() == 0
    assert empty.tolist() == [True, False, True, True, False, True]
    for leaf in {"weight", "bias", "skip"} & set(case.leaves):
        assert (gradients[leaf][empty] == 0).all()
        assert (gradients[leaf][~empty] != 0).any()


@pytest.mark.parametrize("name", MAPS)
def test_bfloat16_products_stay_within_1e2_and_float32_within_1e5(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rowwise, "ROWS", 100)
    case = case_of(name, (0, 37, 1000))
    expected = output_and_gradients(case.plain, case.leaves)
    single = output_and_gradients(case.ours, case.leaves, torch.float32)
    rounded = output_and_gradients(case.with_compute(torch.bfloat16), case.leaves, torch.float32)
    assert max(relative_errors(single, expected).values()) < 1e-5
    assert max(relative_errors(rounded, expected).values()) < 1e-2
    assert relative_errors(rounded, expected)["output"] > 1e-4  # it was rounded
    stays = torch.bfloat16 if name == "typed_linear" else torch.float32
    assert rounded["output"].dtype == stays
    assert {rounded[leaf].dtype for leaf in case.leaves} == {torch.float32}


@pytest.mark.parametrize("compute", [torch.float32, torch.bfloat16], ids=str)
def test_blocks_are_every_row_once_and_of_few_sizes_where_each_size_is_compiled(compute: torch.dtype) -> None:
    offsets = (0, 0, 1, 20_000, 36_384, 36_397)
    blocks = list(rowwise._blocks(offsets, compute, torch.device("cpu")))
    assert [row for _, rows in blocks for row in range(rows.start, rows.stop)] == list(range(offsets[-1]))
    assert all(offsets[t] <= rows.start < rows.stop <= offsets[t + 1] for t, rows in blocks)
    sizes = {rows.stop - rows.start for _, rows in blocks}
    assert max(sizes) == rowwise.ROWS
    if compute == torch.bfloat16:
        assert all(size.bit_count() == 1 for size in sizes)
    on_gpu = list(rowwise._blocks(offsets, compute, torch.device("cuda")))
    assert len(on_gpu) == 5


def test_a_share_of_zero_keeps_a_node_as_it_is_and_a_share_of_one_replaces_it() -> None:
    case = case_of("gated_update", (0, 10, 26))
    x, received, weight, bias, _ = case.leaves.values()
    result = gated_update(x, received, weight, bias, torch.tensor([0.0, 1.0], dtype=torch.float64), (0, 10, 26))
    torch.testing.assert_close(result[:10], x[:10])
    torch.testing.assert_close(result[10:], F.linear(F.gelu(received[10:]), weight[1], bias[1]))
