"""How fast to learn, step by step."""

from __future__ import annotations

WARM_UP_STEPS = 10
DECAY_SHARE = 0.4
"""The learning rate falls linearly over this last share of the steps: quality rises most while it falls."""
LOWEST = 0.05


def rate(step: int, num_steps: int) -> float:
    """Give the share of the peak learning rate for step 0, 1, …: warm-up, plateau, linear fall to a twentieth."""
    warm_up = min(1.0, (step + 1) / WARM_UP_STEPS)
    left = (num_steps - step) / (DECAY_SHARE * num_steps)
    return warm_up * max(LOWEST, min(1.0, left))
