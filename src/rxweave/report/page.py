"""The report of a run: one HTML file that opens without a network, and `metrics.json` beside it."""

from __future__ import annotations

import base64
import math
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from importlib.resources import files
from pathlib import Path

import numpy as np
import polars as pl
from jaxtyping import Bool
from jinja2 import Environment, FunctionLoader, StrictUndefined

from rxweave import __version__
from rxweave.artifacts import atomic_path, json_text
from rxweave.cluster.read import ClustersOfType
from rxweave.embed.store import Embeddings
from rxweave.embed.train import Epoch
from rxweave.graph.build import Graph
from rxweave.graph.split import Split
from rxweave.kg.tables import KnowledgeGraph
from rxweave.rank.flyers import FEW, concentrations
from rxweave.rank.metrics import RankingMetrics
from rxweave.rank.reliability import LIKELY, Reliability
from rxweave.report.ablation import NOISE, ablation_parts
from rxweave.report.clusters import MOST_POINTS, NUMBERED, cluster_map, shown_clusters
from rxweave.report.counts import fact_counts, node_counts, removed_counts
from rxweave.report.figures import (
    DEGREE_PRIOR,
    held_out_curve,
    loss_curves,
    rank_curves,
    ranking_beside_prior,
    reliability,
    training_png,
    type_curves,
)
from rxweave.report.leads import top_new
from rxweave.report.licence import licence_of
from rxweave.report.manifest import manifest_tables, result_of, seed_of
from rxweave.report.metrics import HEADLINE, every_metric, headline_rows, metrics_summary, share_of_oracle
from rxweave.report.per_disease import MOST_KNOWN, MOST_TESTED, NUM_PLACES, per_disease
from rxweave.report.search import search_data
from rxweave.validate.collapse import CollapseReport
from rxweave.validate.plots import cosine_matrix, pca_map, spectrum
from rxweave.validate.verdict import Verdict
from rxweave.validate.words import (
    SYMBOLS,
    found_in,
    meaning_of,
    measure_name,
    problems_of,
    threshold_name,
)

NOT_ADVICE = "Predictions are research leads, not medical advice."
MAP_POINTS = 6000
"""Nodes drawn on the map: more only overlap, and the page grows."""


MOST_BYTES = 15_000_000
"""Largest page: mail and browsers take it."""
TOLD = 1000
"""Bytes kept for the sentence that says what a page that was too large does without."""


@dataclass(frozen=True, eq=False)
class ReportData:
    """Everything the report tells of a run."""

    kg: KnowledgeGraph
    graph: Graph
    training: Graph
    split: Split
    history: tuple[Epoch, ...]
    embeddings: Embeddings
    collapse: CollapseReport
    verdict: Verdict
    metrics: dict[str, RankingMetrics]
    """By method, in the order of the table; "degree prior" is what the others are held against."""
    predictions: pl.DataFrame | None
    """The columns of `rank.matrix.predictions_table`; None when ranking was refused."""
    manifest: dict[str, object]
    """Settings, seed, versions, times and peak memory, as `artifacts.write_json` takes them."""
    reliability: Reliability | None = None
    """Of the ranker's probabilities, on the test treatments; None when nothing was ranked."""
    ablation: pl.DataFrame | None = None
    """The table of `rank.ablation.ablate`, where one was made."""
    clusters: tuple[ClustersOfType, ...] = ()


def write_report(data: ReportData, html: Path, metrics_json: Path) -> None:
    """Write the page, its `metrics.json` and, beside the page, `training.png` where there is a history.

    All are complete before the first takes its place, the page last: when one cannot be made or written, none appears,
    and older ones stay.
    """
    page, numbers = render_page(data), json_text(summary_of(data))
    curves, drawing = (training_png(data.history) if data.history else None), html.with_name("training.png")
    with ExitStack() as files:
        for path, text in ((html, page), (metrics_json, numbers)):
            files.enter_context(atomic_path(path)).write_text(text, encoding="utf-8", newline="\n")
        if curves is not None:
            files.enter_context(atomic_path(drawing)).write_bytes(curves)
    if curves is None:
        drawing.unlink(missing_ok=True)


def summary_of(data: ReportData) -> dict[str, object]:
    """Give the content of `metrics.json` (see `metrics.metrics_summary`)."""
    return metrics_summary(
        graph=data.graph,
        training=data.training,
        split=data.split,
        metrics=data.metrics,
        collapse=data.collapse,
        verdict=data.verdict,
        reliability=data.reliability,
        ablation=data.ablation,
        truth=data.kg.truth,
        seed=seed_of(data.manifest),
        feature_file=result_of(data.manifest, "feature_file"),
    )


def render_page(data: ReportData) -> str:
    """Give the whole page as HTML; every name in it is escaped, and it refers to nothing outside itself.

    A page above MOST_BYTES does without a part of what its search box finds, and says so.
    """
    lead = next(iter(data.metrics), None)
    predictions = data.predictions
    search = None if predictions is None else search_data(predictions)
    fill = partial(
        _environment().get_template("template.html.j2").render,
        data=data,
        roles=data.graph.roles,
        version=__version__,
        not_advice=NOT_ADVICE,
        symbol=SYMBOLS[data.verdict.level],
        meaning=meaning_of(data.verdict),
        problems=problems_of(data.verdict),
        headline=HEADLINE,
        headline_rows=headline_rows(data.metrics),
        every_metric=every_metric(data.metrics),
        lead_name=lead,
        lead=data.metrics[lead] if lead else None,
        prior_name=DEGREE_PRIOR,
        prior=data.metrics.get(DEGREE_PRIOR),
        oracle_share=_oracle_share(data),
        likely=LIKELY,
        **_of_predictions(data),
        ablation=ablation_parts(data.ablation),
        clusters=shown_clusters(data.clusters, data.graph.roles),
        numbered=NUMBERED,
        most_points=MOST_POINTS,
        noise=NOISE,
        few=FEW,
        most_known=MOST_KNOWN,
        most_tested=MOST_TESTED,
        num_places=NUM_PLACES,
        nodes=node_counts(data.graph, data.training),
        facts=fact_counts(data.graph, data.training),
        removed=removed_counts(data.split),
        made=manifest_tables(data.manifest),
        licence=licence_of(data.kg, data.manifest),
        pictures=_pictures(data),
    )
    page = fill(search=search)
    over = len(page.encode()) - MOST_BYTES
    if over <= 0 or predictions is None or search is None:
        return page
    left = len(search.json.encode()) - over - TOLD
    return fill(search=search_data(predictions, most_bytes=left) if left > 0 else None)


def _of_predictions(data: ReportData) -> dict[str, object]:
    """What is told of new pairs; nothing, when nothing was ranked."""
    if data.predictions is None:
        return {"top": [], "diseases": [], "flyers": ()}
    sizes = (data.graph.num_of(data.graph.roles.drug), data.graph.num_of(data.graph.roles.disease))
    return {
        "top": top_new(data.predictions, data.graph).to_dicts(),
        "diseases": per_disease(data.predictions, data.graph, data.training, data.split),
        "flyers": concentrations(data.predictions, *sizes),
    }


def _oracle_share(data: ReportData) -> dict[str, float]:
    """How far each method's AUROC has gone from chance to the oracle's; empty for a real graph."""
    truth = data.kg.truth
    if truth is None:
        return {}
    return {name: share_of_oracle(m.auroc.value, truth.oracle_auroc) for name, m in data.metrics.items()}


def _pictures(data: ReportData) -> dict[str, str]:
    """Every figure that there is something to draw for, as a data URI."""
    drawn: dict[str, Callable[[], bytes]] = {
        "map": partial(
            pca_map,
            data.embeddings,
            max_points=MAP_POINTS,
            seed=data.collapse.seed,
            active=_active(data.embeddings, data.training),
        ),
        "spectrum": partial(spectrum, data.collapse),
        "cosines": partial(cosine_matrix, data.collapse),
    }
    if data.metrics:
        drawn["ranking"] = partial(ranking_beside_prior, data.metrics)
    if data.history:
        drawn["losses"] = partial(loss_curves, data.history)
    if any(not math.isnan(epoch.held_out) for epoch in data.history):
        drawn["held-out"] = partial(held_out_curve, data.history)
    if any(epoch.effective_rank for epoch in data.history):
        drawn["ranks"] = partial(rank_curves, data.history)
        drawn["alike"] = partial(type_curves, data.history, "mean_cosine")
        drawn["twins"] = partial(type_curves, data.history, "duplicate_rate")
    if data.reliability:
        drawn["reliability"] = partial(reliability, data.reliability.curve)
    for place, each in enumerate(shown_clusters(data.clusters, data.graph.roles)):
        drawn[f"clusters-{place}"] = partial(cluster_map, each.nodes, seed=data.collapse.seed)
    return {name: _data_uri(draw()) for name, draw in drawn.items()}


def _active(embeddings: Embeddings, training: Graph) -> Bool[np.ndarray, " nodes"]:
    """Nodes with facts in training, in the order of the embeddings, which may be another than the graph's."""
    keys = training.nodes["node_key"].filter(pl.Series(training.degrees > 0))
    return embeddings.nodes["node_key"].is_in(keys.implode()).to_numpy()


def _data_uri(svg: bytes) -> str:
    """As an image rather than as part of the page, a figure's style and ids cannot touch those of others."""
    return f"data:image/svg+xml;base64,{base64.b64encode(svg).decode('ascii')}"


def _source(name: str) -> str:
    """The text of a template, style or script, which lie beside this module."""
    return files("rxweave.report").joinpath(name).read_text(encoding="utf-8")


def _environment() -> Environment:
    environment = Environment(
        loader=FunctionLoader(_source),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "fixed": _fixed,
        "signed": _signed,
        "count": "{:,}".format,
        "percent": _percent,
        "size": _size,
        "measure": measure_name,
        "found_in": found_in,
        "threshold": threshold_name,
    }
    environment.globals["symbols"] = SYMBOLS
    return environment


def _fixed(value: float | None, digits: int = 3) -> str:
    """A number with so many digits, without a sign on zero; a dash for what is not defined."""
    return "–" if value is None or math.isnan(value) else _minus(f"{value:z,.{digits}f}")


def _signed(value: float, digits: int = 3) -> str:
    return "–" if math.isnan(value) else _minus(f"{value:+z.{digits}f}")


def _percent(value: float, digits: int = 0) -> str:
    return "–" if math.isnan(value) else _minus(f"{100 * value:z.{digits}f} %")


def _minus(number: str) -> str:
    return number.replace("-", "−")


def _size(num_bytes: int) -> str:
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if num_bytes >= scale:
            return f"{num_bytes / scale:.1f} {unit}"
    return f"{num_bytes} bytes"
