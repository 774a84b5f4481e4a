"""Which settings would fit a device, changed as little as possible from those asked for; dimensions never change."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from rxweave.config import EmbedSettings
from rxweave.embed.attention import IMPLEMENTATIONS
from rxweave.embed.attention.choose import choose_precision, why_not
from rxweave.embed.checkpoint import FREE
from rxweave.embed.memory_plan import MemoryPlan, MemoryPlanError, gigabytes, plan_memory, with_libraries
from rxweave.embed.memory_shape import GraphShape
from rxweave.graph.build import Graph

FEWEST_SCORED = 500
"""Facts of a relation in a micro-batch, below which more micro-batches save nothing worth their time."""
FEWEST_NEGATIVES = 128
FEWEST_FACTS = 20
"""Expected facts of the largest relation of a part, below which there may be none to learn from."""
SAMPLING_MARGIN = 0.97
"""Of what is available, for sampled graphs: their facts are only known when they are drawn."""

ROOM = 20_000_000
"""Bytes that suggestions leave free: the process that takes them up may hold some megabytes more than this one."""

Changes = Mapping[str, Any]
"""Values by full name of a setting, as in `embed.precision`."""


@dataclass(frozen=True)
class Fit:
    """Settings that fit: what changes from those asked for, and the plan with it."""

    changes: Changes
    plan: MemoryPlan

    def options(self) -> str:
        """Give the changes as options of the command line."""
        return " ".join(f"-o {name}={value}" for name, value in self.changes.items())


def check_memory(plan: MemoryPlan, graph: Graph | GraphShape, settings: EmbedSettings) -> None:
    """Raise MemoryPlanError, with the numbers and the settings that would fit, for a plan that does not."""
    if plan.fits:
        return
    found = what_fits(graph, settings, plan)
    suggested = "; ".join(f"{fit.options()} (about {_peaks(fit.plan)})" for fit in found)
    refused = [_refused(plan, f"on {plan.device}")] if not plan.fits_device else []
    if plan.host is not None and not plan.host.fits:
        refused.append(_refused(plan.host, "of the machine's own memory"))
    limited = " If you know that more can be taken, say how much with -o embed.memory_limit_gb=…"
    raise MemoryPlanError(
        f"Training would hold {'; and '.join(refused)}. Dimensions are never changed. "
        + (f"What fits: {suggested}." if found else "No part of the graph fits: free memory, or use another machine.")
        + ("" if plan.fits_device else limited)
    )


def _peaks(plan: MemoryPlan) -> str:
    beside = "" if plan.host is None else f", and {gigabytes(plan.host.peak)} of the machine's own memory"
    return f"{gigabytes(plan.peak)}{beside}"


def _refused(plan: MemoryPlan, where: str) -> str:
    assert plan.available is not None
    return (
        f"about {gigabytes(plan.peak)} {where}, and {gigabytes(plan.available)} are available: {plan.largest()}, "
        f"while {plan.stage}"
    )


def propose(graph: Graph | GraphShape, settings: EmbedSettings) -> Fit:
    """Give the settings asked for if they fit, else those that fit and change least.

    Raises MemoryPlanError if nothing does.
    """
    shape = graph if isinstance(graph, GraphShape) else GraphShape.of(graph)
    plan = plan_memory(shape, settings)
    if _fits_with_room(plan):
        return Fit({}, plan)
    found = what_fits(shape, settings, plan)
    if not found:
        check_memory(plan, shape, settings)  # ends here, but for a plan that fits with no room to spare
        return Fit({}, plan)
    return found[0]


def what_fits(graph: Graph | GraphShape, settings: EmbedSettings, plan: MemoryPlan) -> list[Fit]:
    """Give what would fit where `plan` does not, what changes least first.

    First what leaves the learning as it is, then less to score at once, then drawn neighbours in place of all, then
    all of it together, and a part of the graph last.
    """
    shape = graph if isinstance(graph, GraphShape) else GraphShape.of(graph)
    kind = plan.device.partition(":")[0]
    chosen = choose_precision(settings.precision, device=kind, num_edges=shape.num_edges).name
    # A training that is resumed keeps its precision; with settings that decide more than it may change it begins anew.
    kept = None if plan.precision == chosen else plan.precision
    beside = None if plan.host is None else (plan.host.parts["process"], plan.host.available)

    def planned(changed: EmbedSettings, of: GraphShape = shape) -> MemoryPlan:
        goes_on = of is shape and all(name in FREE or value == getattr(settings, name) for name, value in changed)
        found = plan_memory(
            of,
            changed,
            device=plan.device,
            precision=kept if goes_on else None,
            held=plan.parts["process"],
            available=plan.available,
            host=beside,
        )
        return with_libraries(found, plan)

    found, together, least = [], settings, plan.peak
    for ladder in _ladders(settings, plan):
        tried = ((change, planned(settings.but(**change))) for change in ladder)
        fitting = next(((change, with_it) for change, with_it in tried if _fits_with_room(with_it)), None)
        if fitting is not None:
            found.append(Fit(_named(fitting[0]), fitting[1]))
        for change in ladder:
            with_all = planned(together.but(**change))
            if with_all.peak < least:
                together, least = together.but(**change), with_all.peak
    all_changes = {name: value for name, value in together if value != getattr(settings, name)}
    if not found and _fits_with_room(planned(together)):
        found.append(Fit(_named(all_changes), planned(together)))
    if plan.device != "cpu":
        held, available = beside or (None, None)
        alone = settings.but(device="cpu", attention="auto", memory_limit_gb=None)
        on_cpu = with_libraries(plan_memory(shape, alone, precision=kept, held=held, available=available), plan)
        if _fits_with_room(on_cpu):
            unlimited = {} if settings.memory_limit_gb is None else {"embed.memory_limit_gb": "none"}
            found.append(Fit({"embed.device": "cpu", "embed.attention": "auto", **unlimited}, on_cpu))
    if found:
        return found
    for changes in ({}, all_changes):
        part = _largest_part(shape, partial(planned, settings.but(**changes)))
        if part is not None:
            num_nodes, with_part = part
            found.append(Fit({**_named(changes), "load.limit_nodes": num_nodes}, with_part))
    return found


def _ladders(settings: EmbedSettings, plan: MemoryPlan) -> Iterator[list[dict[str, Any]]]:
    """Changes worth trying, those that change least first; each is a list that goes further step by step."""
    kind, head_dim = plan.device.partition(":")[0], settings.hidden_dim // settings.num_heads
    others = [name for name in IMPLEMENTATIONS if name not in ("reference", plan.attention)]
    yield [{"attention": name} for name in others if why_not(name, device=kind, head_dim=head_dim) is None]
    yield [{"precision": "bf16"}] if plan.precision == "fp32" else []
    facts, parts = settings.edge_sample_size, settings.accumulation_steps
    halvings = range(1, max(1, facts // FEWEST_SCORED).bit_length())
    yield [{"edge_sample_size": facts >> i, "accumulation_steps": parts << i} for i in halvings]
    negatives = settings.num_treatment_negatives
    halvings = range(1, max(1, negatives // FEWEST_NEGATIVES).bit_length())
    yield [{"num_treatment_negatives": negatives >> i} for i in halvings]
    yield [{"features": "svd"}] if settings.features == "learned" else []
    if settings.batching == "full":
        yield [{"batching": "sampled"}]
    else:
        facts = settings.batch_facts
        halvings = range(1, max(1, facts // FEWEST_SCORED).bit_length())
        yield [{"batch_facts": facts >> i, "accumulation_steps": parts << i} for i in halvings]


def _fits_with_room(plan: MemoryPlan) -> bool:
    both = (plan, plan.host)
    return all(part is None or part.available is None or part.peak + ROOM <= part.available for part in both)


def _fits_with_margin(plan: MemoryPlan) -> bool:
    held = plan.parts["process"]  # which no sample makes smaller
    return plan.available is None or plan.peak - held <= SAMPLING_MARGIN * (plan.available - ROOM - held)


def _named(changes: Mapping[str, Any]) -> dict[str, Any]:
    return {f"embed.{name}": value for name, value in changes.items()}


def _largest_part(shape: GraphShape, planned: Callable[[GraphShape], MemoryPlan]) -> tuple[int, MemoryPlan] | None:
    """The most nodes, in two figures, that `limit_nodes` may keep, and the plan with so many; None if none fit."""

    def with_nodes(num_nodes: int) -> tuple[MemoryPlan, bool]:
        plan = planned(shape.sampled(num_nodes))
        return plan, all(_fits_with_margin(part) for part in (plan, plan.host) if part is not None)

    fits, too_many = len(shape.type_sizes), shape.num_nodes
    if too_many <= fits or not with_nodes(fits)[1]:
        return None
    while too_many - fits > 1:
        middle = (fits + too_many) // 2
        fits, too_many = (middle, too_many) if with_nodes(middle)[1] else (fits, middle)
    figure = 10 ** max(0, len(str(fits)) - 2)
    rounded = fits // figure * figure
    if max(relation.facts for relation in shape.sampled(rounded).relations) < FEWEST_FACTS:
        return None
    return rounded, with_nodes(rounded)[0]
