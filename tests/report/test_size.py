"""The page of a large graph stays within its bound."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from rxweave.embed.store import Embeddings
from rxweave.graph.build import build_graph
from rxweave.graph.split import random_split, training_graph
from rxweave.kg.demo import demo_kg
from rxweave.report.page import MOST_BYTES, ReportData, render_page
from rxweave.report.search import search_data

DISEASES, DRUGS, TOP = 17_080, 7_957, 10


def long_predictions() -> pl.DataFrame:
    """As many diseases and drugs as PrimeKG has, the best drugs of each only, all with long names."""
    rng = np.random.default_rng(0)
    disease = np.repeat(np.arange(DISEASES), TOP)
    drug = rng.integers(0, DRUGS, len(disease))
    return pl.DataFrame({"rank": np.arange(1, len(disease) + 1), "known": np.zeros(len(disease), bool)}).with_columns(
        *(
            pl.Series(f"{end}_{what}", number).cast(pl.String).str.zfill(each).alias(f"{end}_{what}")
            for end, number in (("drug", drug), ("disease", disease))
            for what, each in (("key", 30), ("name", 45), ("id", 12))
        ),
        prob_treats=pl.Series(rng.random(len(disease))),
        percentile_for_disease=pl.Series(100 * rng.random(len(disease))),
        percentile_for_drug=pl.Series(100 * rng.random(len(disease))),
    )


def test_all_diseases_of_a_graph_as_large_as_primekg_are_searched_within_the_bound() -> None:
    found = search_data(long_predictions())
    assert found is not None
    assert (found.length, found.diseases, found.left_out) == (TOP, DISEASES, 0)
    assert len(found.json.encode()) < MOST_BYTES / 2


def test_a_graph_of_thousands_of_nodes_keeps_the_page_small(data: ReportData) -> None:
    kg = demo_kg(num_nodes=6000, num_edges=24_000, seed=0)
    graph = build_graph(kg)
    split = random_split(graph, seed=0)
    vectors = np.random.default_rng(0).normal(size=(graph.num_nodes, 8)).astype(np.float32)
    run = replace(
        data,
        kg=kg,
        graph=graph,
        training=training_graph(graph, split),
        split=split,
        embeddings=Embeddings(graph.nodes, vectors, {}),
        predictions=None,
    )
    assert len(render_page(run).encode()) < MOST_BYTES / 5


def test_a_page_over_the_bound_does_without_some_of_its_search(
    data: ReportData, html: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rxweave.report.page.MOST_BYTES", len(html.encode()) - 500)
    assert len(render_page(data).encode()) <= len(html.encode()) - 500
