"""The whole road on real data: Hetionet, all of it, to the quality and memory it must reach."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import fields
from pathlib import Path

import pytest

from rxweave.pipeline import run
from rxweave.rank.metrics import SideMetrics
from rxweave.settings import settings_from
from rxweave.workspace import peak_memory


@pytest.mark.slow
def test_hetionet_by_default_is_good_in_every_type_and_ranked_far_above_the_degree_prior_within_4_gb(
    hetionet: Path, tmp_path: Path
) -> None:
    result = run(settings_from({"load.kg": str(hetionet)}), tmp_path)
    assert len(result.kg.nodes) == 47_031
    assert len(result.kg.edges) == 1_865_257
    large = {name for name, count in Counter(result.kg.nodes["node_type"]).items() if count >= 100}
    assert len(large) == 11
    assert {name: result.verdict.types.get(name) for name in large} == dict.fromkeys(large, "good")
    assert result.verdict.level == "good"
    ranker, prior = result.metrics["ranker"], result.metrics["degree prior"]
    assert ranker.diseases_given_drug.hits_at_10.value >= 0.70
    assert ranker.drugs_given_disease.recall_at_50.value >= 0.60
    for ours, theirs in (
        (ranker.diseases_given_drug, prior.diseases_given_drug),
        (ranker.drugs_given_disease, prior.drugs_given_disease),
    ):
        for field in fields(SideMetrics):
            if field.name.startswith("num_"):
                continue
            value, other = getattr(ours, field.name).value, getattr(theirs, field.name).value
            assert value < other if field.name == "mean_rank" else value > other, field.name
    assert ranker.auprc.value > prior.auprc.value
    assert ranker.auroc.value > prior.auroc.value
    assert result.predictions is not None
    assert len(result.predictions) == 1_552 * 137
    reliability = json.loads(result.report.with_name("metrics.json").read_text(encoding="utf-8"))["reliability"]
    assert reliability["ece"] <= 0.05
    assert reliability["brier"] < reliability["brier_base_rate"]
    assert peak_memory() < 4e9
