"""Settings of clusters."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from rxweave.config.settings import Settings
from rxweave.errors import ConfigError


class ClusterSettings(Settings):
    """How nodes of a type are grouped; `rxweave cluster` and the library read it, `rxweave run` does not."""

    neighbours: int = Field(15, ge=2, description="Nearest nodes by cosine that each node is joined to.")
    resolutions: tuple[float, ...] = Field(
        (0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0),
        min_length=1,
        description="Resolutions of Leiden that are tried: higher ones give more clusters.",
    )
    resolution: float | None = Field(None, gt=0, description="Take this resolution; none chooses by stability.")
    tolerance: float = Field(
        0.05, ge=0, le=1, description="Taken is the finest resolution less stable than the best by no more than this."
    )
    smallest: int = Field(5, ge=2, description="Fewest nodes of a cluster; nodes of smaller groups are in none.")
    pairs: int = Field(10, ge=2, description="Pairs of samples of the nodes that stability is measured on.")
    share: float = Field(0.8, gt=0.3, lt=1, description="Share of the nodes in such a sample.")
    map: Literal["pca", "pacmap", "umap"] = Field(
        "pca", description="Places of the nodes in the plane; all but pca need the extra map."
    )
    fdr: float = Field(0.05, gt=0, le=1, description="Highest false discovery rate of an enriched neighbour.")

    @field_validator("resolutions")
    @classmethod
    def _above_zero(cls, resolutions: tuple[float, ...]) -> tuple[float, ...]:
        if min(resolutions) <= 0:
            raise ConfigError(f"Setting cluster.resolutions has {min(resolutions)}; each must be above 0.")
        return tuple(sorted(set(resolutions)))
