"""Words for a probability of treatment."""

from __future__ import annotations

import polars as pl

HIGH, MEDIUM = 0.7, 0.4
"""Probabilities of treatment from which a prediction's confidence is HIGH, or MEDIUM."""


def confidence(probability: pl.Expr) -> pl.Expr:
    """Give HIGH, MEDIUM or LOW for a probability of treatment."""
    high, medium, low = (pl.lit(word) for word in ("HIGH", "MEDIUM", "LOW"))
    return pl.when(probability >= HIGH).then(high).when(probability >= MEDIUM).then(medium).otherwise(low)
