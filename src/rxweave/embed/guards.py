"""What is watched while embeddings are trained: losses, effective ranks, memory; each with causes and what to change.

Every guard reads the history alone, and gives warnings by what they concern. A thing is warned of once.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rxweave.config import EmbedSettings
from rxweave.embed.history import Epoch
from rxweave.kg.tables import Roles

WINDOW = 5
"""Losses are compared as means over this many epochs: single ones vary with the facts drawn."""
FLAT_AFTER = 15
LEAST_FALL = 0.01
"""By epoch 15 working trainings have lost a fifth of their loss, and constant features 5 %."""
MOST_RISE = 0.05
STILL = 1e-3
"""Share by which an effective rank must rise to count as rising: nodes that are all alike differ by rounding alone."""

MEMORY_WINDOW = 20
MEMORY_SETTLED = 5
"""Epochs until the allocator holds what it will hold."""
MOST_GROWTH = 0.05
LEAST_BYTES = 100e6
"""Over the window: a small process grows by a tenth of this for reasons that have nothing to do with training."""
STEADY = 0.8


def loss_warnings(history: Sequence[Epoch], settings: EmbedSettings) -> dict[str, str]:
    """Warn of a loss, total or link, that has not fallen by 1 % in 15 epochs, and of a total that has risen by 5 %.

    A training of 10 to 14 epochs is judged at its end.
    """
    losses = np.array([epoch.total for epoch in history])
    found = {}
    if len(losses) == max(2 * WINDOW, min(FLAT_AFTER, settings.num_epochs)):
        flat = []
        for name, each in (("total", losses), ("link", np.array([epoch.link for epoch in history]))):
            first, now = each[:WINDOW].mean(), each[-WINDOW:].mean()
            if now > (1 - LEAST_FALL) * first:
                flat.append(f"the {name} loss is {now:.3f}, and was {first:.3f} at the start")
        if flat:
            found["flat loss"] = (
                f"After {len(losses)} epochs {'; '.join(flat)}: nothing is learnt. Likely: learning_rate (now "
                f"{settings.learning_rate:g}) far too low or too high, or facts that tell nothing of one another. "
                "Change: learning_rate=0.001, features=svd."
            )
    if len(losses) >= 2 * WINDOW:
        means = np.convolve(losses, np.full(WINDOW, 1 / WINDOW), mode="valid")
        lowest = int(means[:-WINDOW].argmin()) if len(means) > WINDOW else 0
        if means[-1] > (1 + MOST_RISE) * means[lowest]:
            found["rising loss"] = (
                f"The total loss is rising: {means[-1]:.3f} over the last {WINDOW} epochs, {means[lowest]:.3f} around "
                f"epoch {lowest + 1 + WINDOW // 2}. Likely: learning_rate (now {settings.learning_rate:g}) too high. "
                f"Change: learning_rate={settings.learning_rate / 3:.2g}."
            )
    return found


def rank_warnings(history: Sequence[Epoch], settings: EmbedSettings) -> dict[str, str]:
    """Warn of each node type whose effective rank is, and stays, that of collapsed embeddings."""
    epoch = history[-1]
    return {
        f"effective rank of {node_type}": (
            f"{node_type}: effective rank {epoch.effective_rank[node_type]:.1f} after epoch {epoch.number}; below "
            f"{epoch.rank_alarm[node_type]:.1f} embeddings are collapsing. Likely: {_rank_causes(settings)}"
        )
        for node_type in _low_types(history)
    }


def collapsing_types(history: Sequence[Epoch], roles: Roles) -> list[str]:
    """Give the drug and disease types whose effective rank is too low; in a graph with neither, any such type."""
    ours = {roles.drug, roles.disease} & set(history[-1].rank_alarm)
    return [node_type for node_type in _low_types(history) if node_type in ours or not ours]


def _low_types(history: Sequence[Epoch]) -> list[str]:
    """The types under their alarm in the last two measurements, and not rising.

    One measurement is not enough: in healthy trainings ranks fall at first, some below the alarm, and recover.
    """
    if not history[-1].rank_alarm:
        return []
    measured = [epoch for epoch in history if epoch.rank_alarm]
    if len(measured) < 2:
        return []
    before, now = measured[-2:]
    low = under_alarm(before) & under_alarm(now)
    return [
        node_type
        for node_type in now.rank_alarm
        if node_type in low and now.effective_rank[node_type] <= (1 + STILL) * before.effective_rank[node_type]
    ]


def under_alarm(epoch: Epoch) -> set[str]:
    """Give the types whose effective rank was that of collapsed embeddings after an epoch."""
    return {node_type for node_type, alarm in epoch.rank_alarm.items() if epoch.effective_rank[node_type] < alarm}


def _rank_causes(settings: EmbedSettings) -> str:
    if settings.features == "constant":
        return "features=constant gives all nodes of a type one vector to start from. Change: features=svd."
    return (
        f"learning_rate (now {settings.learning_rate:g}) too high, or nodes of this type have the same neighbours. "
        f"Change: learning_rate={settings.learning_rate / 3:.2g}, more epochs, features=svd."
    )


def memory_warnings(history: Sequence[Epoch], settings: EmbedSettings) -> dict[str, str]:
    """Warn when the memory held rises in nearly every epoch, by 5 % and 100 MB over the last 20."""
    held = np.array([epoch.memory for epoch in history[MEMORY_SETTLED:]][-MEMORY_WINDOW:], float)
    if len(held) < MEMORY_WINDOW or held[0] == 0:
        return {}
    slope = float(np.polyfit(np.arange(len(held)), held, 1)[0])
    steady = float((np.diff(held) > 0).mean()) >= STEADY
    if not steady or slope * (len(held) - 1) < max(MOST_GROWTH * held[0], LEAST_BYTES):
        return {}
    left = settings.num_epochs - len(history)
    return {
        "memory growth": (
            f"Memory grows steadily: {slope / 1e6:,.0f} MB per epoch over the last {MEMORY_WINDOW}, now "
            f"{held[-1] / 1e9:.2f} GB; at this rate {(held[-1] + slope * left) / 1e9:.2f} GB at the end. If that is "
            "more than there is, stop with Ctrl-C and run the same command again: training goes on from its "
            "checkpoint, in a fresh process. Please report it with the graph's size."
        )
    }


def new_warnings(history: Sequence[Epoch], settings: EmbedSettings) -> dict[str, str]:
    """Give the warnings that the last epoch of a history raises and no epoch before it did."""
    found = loss_warnings(history, settings) | rank_warnings(history, settings) | memory_warnings(history, settings)
    told = {about for epoch in history[:-1] for about in epoch.warnings}
    return {about: text for about, text in found.items() if about not in told}
