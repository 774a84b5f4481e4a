"""The validation as one HTML page that opens without a network, its pictures as PNG files beside it."""

from __future__ import annotations

import base64
import math
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

import numpy as np
from jaxtyping import Bool
from jinja2 import Environment, FunctionLoader, StrictUndefined

from rxweave import __version__
from rxweave.artifacts import atomic_path, write_json
from rxweave.graph.build import Graph
from rxweave.validate.histograms import cosine_histograms, hubness_histograms, variance_per_dimension
from rxweave.validate.on_graph import active_rows
from rxweave.validate.plots import cosine_matrix, pca_map, spectrum
from rxweave.validate.validation import Validation
from rxweave.validate.verdict import Finding
from rxweave.validate.words import SYMBOLS, found_in, meaning_of, measure_name, problems_of, threshold_name

MAP_POINTS = 6000
PICTURES = {
    "map": "Nodes on the first two principal components. Types that lie apart are usual; a type that is one point is "
    "collapse.",
    "spectrum": "Share of each type's variance in its first k components, k on a log scale. The marks are at 90 % and "
    "95 %. Healthy curves rise late; a curve that starts near the top has collapsed.",
    "cosines": "Cosines between pairs of nodes, −1 to 1. All mass near 1 is collapse; two heaps at −1 and 1 are two "
    "opposed points.",
    "similarity": "Mean cosine of every type with every type; on the diagonal, of different nodes of the type.",
    "variance": "Variance of every dimension, sorted, as a multiple of the mean.",
    "hubness": "How often a node is among the 10 nearest of others. A long tail to the right means hubs: nodes that "
    "are near everybody, and come up in every list.",
}


def draw(validation: Validation, active: Bool[np.ndarray, " nodes"] | None = None) -> dict[str, bytes]:
    """Give every picture of a validation as PNG; `active` leaves out nodes as the measures do."""
    embeddings, report, seed = validation.embeddings, validation.collapse, validation.collapse.seed
    return {
        "map": pca_map(embeddings, max_points=MAP_POINTS, seed=seed, active=active, image="png"),
        "spectrum": spectrum(report, image="png"),
        "cosines": cosine_histograms(embeddings, seed=seed, active=active, image="png"),
        "similarity": cosine_matrix(report, image="png"),
        "variance": variance_per_dimension(embeddings, active=active, image="png"),
        "hubness": hubness_histograms(report, image="png"),
    }


def write_page(
    validation: Validation, folder: Path, *, title: str, graph: Graph | None = None, summary: object = None
) -> Path:
    """Write `validation.html` and the PNG files into a folder, and `validation.json` if a summary is given.

    Each file appears whole or not at all; the page, which is written last, is given.
    """
    active = None if graph is None else active_rows(validation.embeddings, graph)
    pictures = draw(validation, active)
    for name, png in pictures.items():
        with atomic_path(folder / f"{name}.png") as temporary:
            temporary.write_bytes(png)
    if summary is not None:
        write_json(folder / "validation.json", summary)
    page = folder / "validation.html"
    with atomic_path(page) as temporary:
        temporary.write_text(render_page(validation, title, pictures), encoding="utf-8", newline="\n")
    return page


def render_page(validation: Validation, title: str, pictures: dict[str, bytes]) -> str:
    """Give the page as HTML; every name in it is escaped, and it refers to nothing outside itself."""
    uris = {name: f"data:image/png;base64,{base64.b64encode(png).decode('ascii')}" for name, png in pictures.items()}
    fresh = validation.untrained
    return (
        _environment()
        .get_template("page.html.j2")
        .render(
            title=title,
            version=__version__,
            validation=validation,
            verdict=validation.verdict,
            report=validation.collapse,
            graph=validation.graph,
            untrained={} if fresh is None else {each.node_type: each for each in fresh.types},
            symbols=SYMBOLS,
            meaning=meaning_of(validation.verdict),
            problems=problems_of(validation.verdict),
            checks=_by_measure(validation.verdict.findings),
            pictures=uris,
            captions=PICTURES,
        )
    )


def _by_measure(findings: tuple[Finding, ...]) -> dict[str, list[Finding]]:
    grouped: dict[str, list[Finding]] = {}
    for finding in findings:
        grouped.setdefault(measure_name(finding.measure), []).append(finding)
    return grouped


def _environment() -> Environment:
    environment = Environment(
        loader=FunctionLoader(lambda name: files("rxweave.validate").joinpath(name).read_text(encoding="utf-8")),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters: dict[str, Callable[..., str]] = {
        "number": _number,
        "percent": _percent,
        "count": "{:,}".format,
        "measure": measure_name,
        "found_in": found_in,
        "threshold": threshold_name,
    }
    environment.filters |= filters
    return environment


def _number(value: float | int | None, digits: int = 3) -> str:
    if value is None or math.isnan(value):
        return "–"
    return f"{value:z,.{digits}f}".replace("-", "−")


def _percent(value: float) -> str:
    return "–" if math.isnan(value) else f"{100 * value:z.1f} %".replace("-", "−")
