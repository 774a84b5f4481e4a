from __future__ import annotations

import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
from embeddings_made import embeddings_of

from rxweave.artifacts import write_json
from rxweave.config import EmbedSettings
from rxweave.errors import ConfigError
from rxweave.validate.collapse import CollapseReport, OverallReport, TypeReport, measure_collapse
from rxweave.validate.gates import ADVICE, GATES, Gate, rank_gate
from rxweave.validate.geometry import Cosines, Spread
from rxweave.validate.identity import EdgeShare
from rxweave.validate.intervals import SpreadIntervals
from rxweave.validate.neighbours import Neighbours, Purity
from rxweave.validate.on_graph import GraphReport, TypeOnGraph
from rxweave.validate.verdict import Finding, RankingEvidence, SideEvidence, Verdict, exit_code, judge

BEATS = RankingEvidence(SideEvidence("MRR", 0.46, 0.24), SideEvidence("MRR", 0.18, 0.07))


def spread_out(num: int, dim: int = 64, *, seed: int = 0, power: float = 0.0, offset: float = 0.0) -> np.ndarray:
    """Vectors whose directions fade as k^-power, around a mean of `offset` times their typical length."""
    rng = np.random.default_rng(seed)
    scale = np.arange(1, dim + 1) ** -power
    scale /= np.linalg.norm(scale)
    centre = rng.normal(size=dim)
    return rng.normal(size=(num, dim)) * scale + offset * centre / np.linalg.norm(centre)


def verdict_on(*, ranking: RankingEvidence | None = None, roles: bool = True, **types: np.ndarray) -> Verdict:
    report = measure_collapse(embeddings_of(**types))
    names = {"drug_type": "drug", "disease_type": "disease"} if roles else {}
    return judge(report, ranking=ranking, **names)


def graph_report(
    *,
    link: float = 0.8,
    untrained: float | None = None,
    shares: dict[str, float] | None = None,
    **structural_twins: float,
) -> GraphReport:
    """What a graph tells: link AUROC, and per type the share foretold by edges and the twins it explains."""
    types = tuple(
        TypeOnGraph(name, rate, EdgeShare((shares or {}).get(name, 0.1), (0.0, 0.2)), -3.0)
        for name, rate in structural_twins.items()
    )
    return GraphReport("test", 0, types, (), link, (link, link), untrained, (-0.1, 0.4), link, 0.5, 0.8)


def finding(verdict: Verdict, node_type: str, measure: str) -> Finding:
    (found,) = [f for f in verdict.findings if (f.node_type, f.measure) == (node_type, measure)]
    return found


def test_random_vectors_pass_geometry_but_their_usefulness_is_untested() -> None:
    verdict = verdict_on(drug=spread_out(300), disease=spread_out(200, seed=1), gene=spread_out(400, seed=2))
    assert verdict.level == "good"
    assert verdict.problems == ()
    assert not verdict.usefulness_tested
    assert any("Usefulness was not tested" in note for note in verdict.notes)


def test_random_vectors_that_rank_like_the_prior_are_not_good() -> None:
    like_prior = RankingEvidence(SideEvidence("MRR", 0.24, 0.24), SideEvidence("MRR", 0.07, 0.07))
    verdict = verdict_on(ranking=like_prior, drug=spread_out(300), disease=spread_out(200, seed=1))
    assert verdict.level == "warning"
    assert verdict.usefulness_tested
    assert [f.measure for f in verdict.problems] == [
        "MRR of diseases given a drug",
        "MRR of drugs given a disease",
    ]


@pytest.mark.parametrize("losing", ["diseases_given_drug", "drugs_given_disease"])
def test_losing_to_the_prior_on_one_side_is_enough_for_a_warning(losing: str) -> None:
    sides = {
        "diseases_given_drug": BEATS.diseases_given_drug,
        "drugs_given_disease": BEATS.drugs_given_disease,
    }
    evidence = RankingEvidence(**{**sides, losing: SideEvidence("MRR", 0.026, 0.072)})
    types = {"drug": spread_out(300), "disease": spread_out(200, seed=1)}
    assert verdict_on(ranking=BEATS, **types).level == "good"
    verdict = verdict_on(ranking=evidence, **types)
    assert verdict.level == "warning"
    (problem,) = verdict.problems
    assert problem.value == 0.026
    assert problem.threshold.good == pytest.approx(0.072)
    assert problem.what_to_change


def test_a_ranking_that_is_not_a_number_has_not_beaten_the_prior() -> None:
    evidence = RankingEvidence(SideEvidence("MRR", math.nan, 0.1), BEATS.drugs_given_disease)
    verdict = verdict_on(ranking=evidence, drug=spread_out(300), disease=spread_out(200, seed=1))
    assert verdict.level == "warning"


@pytest.mark.parametrize("roles", [True, False])
def test_diseases_that_are_nearly_equal_are_collapsed(roles: bool) -> None:
    verdict = verdict_on(
        roles=roles,
        ranking=BEATS,
        drug=spread_out(300),
        disease=spread_out(200, seed=1, offset=20),
        gene=spread_out(400, seed=2),
    )
    assert verdict.level == "collapsed"
    assert verdict.types == {"disease": "collapsed", "drug": "good", "gene": "good"}
    cosine = finding(verdict, "disease", "mean_cosine")
    assert cosine.level == "collapsed"
    assert cosine.value > 0.99
    assert cosine.interval is not None
    assert cosine.interval[0] <= cosine.value <= cosine.interval[1]
    assert finding(verdict, "disease", "rank_ratio").level == "collapsed"
    assert verdict.problems[0].level == "collapsed"


@pytest.mark.parametrize("roles", [True, False])
@pytest.mark.parametrize("noise", [0.0, 1e-3])
def test_well_separated_types_of_one_point_each_are_collapsed(roles: bool, noise: float) -> None:
    centres = {name: spread_out(1, seed=i) for i, name in enumerate(("drug", "disease", *"abcdefghijklmnopqrst"))}
    types = {name: c + noise * spread_out(60, seed=i) for i, (name, c) in enumerate(centres.items())}
    report = measure_collapse(embeddings_of(**types))
    # What makes this case treacherous: over all types it looks healthy.
    assert report.overall.mean_cosine < 0.2
    assert report.overall.spread.components_90 >= 10
    names = {"drug_type": "drug", "disease_type": "disease"} if roles else {}
    verdict = judge(report, ranking=BEATS, **names)
    assert verdict.level == "collapsed"
    assert set(verdict.types.values()) == {"collapsed"}


def test_all_zero_vectors_are_collapsed_and_said_to_be_zero() -> None:
    verdict = verdict_on(drug=spread_out(300), disease=np.zeros((100, 64)))
    assert verdict.types["disease"] == "collapsed"
    assert any("disease: 100 vectors are zero" in note for note in verdict.notes)


@pytest.mark.parametrize("point", [0.0, 1.0])
def test_a_handful_of_equal_vectors_is_collapsed_where_nothing_larger_decides(point: float) -> None:
    alone = judge(measure_collapse(embeddings_of(node=np.full((30, 8), point))))
    assert alone.level == "collapsed"
    beside = judge(measure_collapse(embeddings_of(node=np.full((30, 64), point), other=spread_out(300))))
    assert beside.level == "warning"


def test_every_finding_has_an_interval_but_counts_that_are_no_estimates() -> None:
    report = measure_collapse(embeddings_of(drug=spread_out(300), disease=spread_out(200, seed=1)))
    verdict = judge(report, graph=graph_report(untrained=0.6, drug=0.0, disease=0.0), ranking=None)
    without = {f.measure for f in verdict.findings if f.interval is None}
    assert without == {"real_dimensions", "collapse_signs"}
    for f in verdict.findings:
        if f.interval is not None:
            assert f.interval[0] <= f.value <= f.interval[1], f.measure


def test_half_collapsed_diseases_are_a_warning() -> None:
    verdict = verdict_on(ranking=BEATS, drug=spread_out(300), disease=spread_out(200, seed=1, power=0.3, offset=1.3))
    cosine = finding(verdict, "disease", "mean_cosine")
    assert 0.57 < cosine.value < 0.75
    assert verdict.types["disease"] == "warning"
    assert verdict.level == "warning"
    assert exit_code(verdict) == 0
    assert exit_code(verdict, strict=True) == 1


def test_genes_with_a_mean_cosine_of_07_are_good_and_drugs_with_the_same_are_not() -> None:
    alike = spread_out(400, dim=128, seed=2, offset=1.55)
    others = {"disease": spread_out(200, dim=128, seed=1)}
    genes = verdict_on(ranking=BEATS, drug=spread_out(300, dim=128), gene=alike, **others)
    assert 0.68 < finding(genes, "gene", "mean_cosine").value < 0.76
    assert (genes.types["gene"], genes.level) == ("good", "good")
    drugs = verdict_on(ranking=BEATS, drug=alike, **others)
    assert finding(drugs, "drug", "mean_cosine").level == "warning"


def test_a_collapsed_side_type_warns_while_the_roles_are_known_and_decides_while_they_are_not() -> None:
    types = {"drug": spread_out(300), "disease": spread_out(200, seed=1), "gene": spread_out(99, offset=30)}
    assert verdict_on(ranking=BEATS, **types).level == "warning"
    assert verdict_on(ranking=BEATS, roles=False, **types).level == "collapsed"
    types["gene"] = types["gene"][:30]
    assert verdict_on(ranking=BEATS, roles=False, **types).level == "warning"


def test_types_with_few_nodes_are_reported_and_not_judged() -> None:
    verdict = verdict_on(drug=spread_out(300), disease=spread_out(200, seed=1), exposure=np.ones((9, 64)))
    assert "exposure" not in verdict.types
    assert verdict.not_judged == {"exposure": "9 measured nodes, fewer than 10"}
    assert verdict.level == "good"
    assert "exposure: not judged, 9 measured nodes, fewer than 10." in verdict.notes


def test_it_is_not_good_when_what_matters_cannot_be_judged() -> None:
    few = {"drug": spread_out(300), "disease": spread_out(5, seed=1)}
    assert verdict_on(ranking=BEATS, **few).level == "warning"
    assert verdict_on(ranking=BEATS, roles=False, only=spread_out(8)).level == "warning"


def test_a_small_type_that_fills_what_it_can_is_good() -> None:
    # 14 nodes span 13 directions: fewer than 15 components, and still nothing is wrong.
    verdict = verdict_on(drug=spread_out(300), disease=spread_out(14, seed=1))
    components = finding(verdict, "disease", "components_90")
    assert components.value < 15
    assert components.level == "good"


def test_twins_the_graph_itself_has_are_forgiven() -> None:
    drug = spread_out(300)
    drug[:30] = drug[30:60]
    report = measure_collapse(embeddings_of(drug=drug, disease=spread_out(200, seed=1)))
    roles = {"drug_type": "drug", "disease_type": "disease"}
    assert finding(judge(report, **roles), "drug", "duplicate_rate").level == "warning"
    forgiven = judge(report, graph=graph_report(drug=0.2, disease=0.0), **roles)
    assert finding(forgiven, "drug", "duplicate_rate").value == 0
    assert forgiven.types["drug"] == "good"
    blamed = judge(report, graph=graph_report(drug=0.1, disease=0.0), **roles)
    assert finding(blamed, "drug", "duplicate_rate").level == "collapsed"


def test_dimensions_the_layers_cannot_fill_are_a_warning() -> None:
    rng = np.random.default_rng(0)
    last_layer = rng.normal(size=(32, 64))
    verdict = verdict_on(
        ranking=BEATS,
        drug=spread_out(300, dim=32) @ last_layer,
        disease=spread_out(200, dim=32, seed=1) @ last_layer,
    )
    real = finding(verdict, "all", "real_dimensions")
    assert real.value == pytest.approx(0.5)
    assert real.level == "warning"
    assert any(change.startswith("hidden_dim") for change in real.what_to_change)
    assert verdict.level == "warning"


def calibration_run(**types: tuple[int, float, float, float, int]) -> CollapseReport:
    """A report with the measures of a real run; per type: nodes, mean cosine, RankMe, the same centred, components
    for 90 %.
    """
    reports = []
    neighbours = Neighbours(1.0, (0.9, 1.1), 0.0, 0.1, np.ones(10, np.int64))
    for name, (num, cosine, rankme, centred, components) in types.items():
        spread = Spread(num, 512, rankme, centred, rankme, components, components, 512, 0, 0.1, np.ones(512))
        cosines = Cosines(cosine, 0.0, cosine)
        reports.append(
            TypeReport(
                node_type=name,
                num_nodes=num,
                num_active=num,
                num_sampled=num,
                cosines=cosines,
                mean_cosine_interval=(cosine, cosine),
                spread=spread,
                rankme_interval=(rankme, rankme),
                spread_intervals=SpreadIntervals(*[(float(components),) * 2] * 3),
                duplicate_rate=0.0,
                duplicate_interval=(0.0, 0.0),
                near_duplicate_rate=0.0,
                near_duplicate_interval=(0.0, 0.0),
                across_type_twin_rate=0.0,
                across_type_twin_interval=(0.0, 0.0),
                zero_vectors=0,
                neighbours=neighbours,
                purity=Purity(0.9, (0.9, 0.9), 0.1),
                random_cosines=cosines,
                random_spread=spread,
                random_neighbours=neighbours,
            )
        )
    spread = Spread(6000, 512, 140.0, 150.0, 60.0, 60, 80, 512, 0, 0.1, np.ones(512))
    together = OverallReport(9999, 0.4, (0.39, 0.41), 0.3, spread, (58.0, 62.0))
    return CollapseReport(512, 0, 3000, tuple(reports), np.eye(len(reports)), together)


CALIBRATION = [
    ("SVD features", (0.36, 140.0, 156.0, 57), (0.39, 54.0, 62.0, 15), (0.70, 97.0, 136.0, 32), "good"),
    ("no masking", (0.47, 124.0, 146.0, 45), (0.57, 41.0, 53.0, 10), (0.68, 89.0, 125.0, 21), "warning"),
    ("one negative", (0.43, 133.0, 153.0, 52), (0.25, 66.0, 71.0, 22), (0.27, 151.0, 163.0, 64), "good"),
    ("few steps", (0.40, 136.0, 154.0, 54), (0.47, 49.0, 59.0, 12), (0.75, 88.0, 133.0, 27), "warning"),
    ("few steps, InfoNCE", (0.36, 142.0, 158.0, 59), (0.19, 56.0, 60.0, 13), (0.76, 87.0, 132.0, 26), "warning"),
    ("few steps, VICReg", (0.36, 154.0, 169.0, 73), (0.56, 60.0, 74.0, 25), (0.62, 129.0, 162.0, 62), "good"),
    ("random features", (0.60, 189.0, 224.0, 146), (0.70, 80.0, 105.0, 62), (0.72, 188.0, 235.0, 162), "warning"),
    ("rate 8e-3", (0.61, 61.0, 84.0, 12), (0.66, 18.0, 27.0, 5), (0.80, 41.0, 75.0, 10), "collapsed"),
    ("constant features", (0.87, 49.0, 97.0, 21), (0.86, 22.0, 43.0, 9), (0.82, 58.0, 102.0, 21), "collapsed"),
    ("constant, naive", (0.62, 43.0, 63.0, 7), (0.75, 22.0, 36.0, 7), (0.37, 70.0, 83.0, 14), "collapsed"),
]
"""Runs on Hetionet and what became of them, per type: mean cosine, RankMe, the same centred, components."""

Measured = tuple[float, float, float, int]


@pytest.mark.parametrize(("run", "drug", "disease", "gene", "expected"), CALIBRATION)
def test_measures_of_real_runs_get_the_verdict_their_ranking_deserved(
    run: str, drug: Measured, disease: Measured, gene: Measured, expected: str
) -> None:
    report = calibration_run(drug=(1552, *drug), disease=(137, *disease), gene=(3000, *gene))
    verdict = judge(report, ranking=BEATS, drug_type="drug", disease_type="disease")
    assert verdict.level == expected, (run, [str(problem) for problem in verdict.problems])


def test_two_weak_signs_in_one_type_are_collapse_and_one_is_a_warning() -> None:
    """Rank alone, or cosine alone, may be a healthy type's own manner; together they are what collapse looks like."""
    healthy = {"disease": (137, 0.39, 54.0, 62.0, 15), "gene": (3000, 0.70, 97.0, 136.0, 32)}
    for drug, level, signs in (
        ((1552, 0.40, 72.0, 90.0, 46), "warning", 1.0),
        ((1552, 0.62, 72.0, 90.0, 46), "collapsed", 2.0),
        ((1552, 0.40, 72.0, 90.0, 30), "collapsed", 2.0),
    ):
        verdict = judge(calibration_run(drug=drug, **healthy), ranking=BEATS, drug_type="drug", disease_type="disease")
        assert verdict.level == verdict.types["drug"] == level
        assert finding(verdict, "drug", "collapse_signs").value == signs


def test_a_shared_direction_around_which_all_is_healthy_is_a_warning() -> None:
    wide = spread_out(400, dim=128, seed=2)
    shifted = verdict_on(ranking=BEATS, drug=wide + spread_out(1, dim=128) * 2.2, disease=spread_out(200, dim=128))
    cosine = finding(shifted, "drug", "mean_cosine")
    assert 0.75 < cosine.value < 0.95
    assert (cosine.level, shifted.level) == ("warning", "warning")
    narrow = spread_out(400, dim=128, seed=2, power=1.0)
    squeezed = verdict_on(ranking=BEATS, drug=narrow + spread_out(1, dim=128) * 2.2, disease=spread_out(200, dim=128))
    assert finding(squeezed, "drug", "mean_cosine").level == "collapsed"


def test_vectors_that_numbers_of_edges_foretell_are_collapsed_however_they_spread() -> None:
    report = measure_collapse(embeddings_of(drug=spread_out(300), disease=spread_out(200, seed=1)))
    for share, level in ((0.5, "good"), (0.63, "warning"), (0.9, "collapsed")):
        graph = graph_report(drug=0.0, disease=0.0, shares={"drug": share})
        verdict = judge(report, graph=graph, ranking=BEATS, drug_type="drug", disease_type="disease")
        assert verdict.types == {"drug": level, "disease": "good"}
        assert verdict.level == level
        problem = finding(verdict, "drug", "edge_share")
        assert problem.interval == (0.0, 0.2)
        assert ("features=svd" in problem.what_to_change) == (level != "good")


def test_vectors_that_do_not_know_the_facts_of_their_graph_are_a_warning() -> None:
    report = measure_collapse(embeddings_of(drug=spread_out(300), disease=spread_out(200, seed=1)))
    roles = {"drug_type": "drug", "disease_type": "disease"}
    known, unknown = (judge(report, graph=graph_report(drug=0.0, disease=0.0, link=x), **roles) for x in (0.8, 0.51))
    assert (known.level, unknown.level) == ("good", "warning")
    assert not known.usefulness_tested
    assert any("may have been trained on" in note for note in known.notes)


def test_training_that_gains_nothing_over_the_untrained_model_is_a_warning() -> None:
    report = measure_collapse(embeddings_of(drug=spread_out(300), disease=spread_out(200, seed=1)))
    for untrained, level in ((0.7, "good"), (0.79, "warning")):
        graph = graph_report(drug=0.0, disease=0.0, link=0.8, untrained=untrained)
        verdict = judge(report, graph=graph, ranking=BEATS, drug_type="drug", disease_type="disease")
        assert verdict.level == finding(verdict, "all", "gain_over_untrained").level == level


def test_a_type_that_shares_vectors_with_another_is_collapsed() -> None:
    drug, disease = spread_out(300), spread_out(200, seed=1)
    disease[:20] = drug[:20]
    verdict = verdict_on(ranking=BEATS, drug=drug, disease=disease)
    shared = finding(verdict, "disease", "across_type_twin_rate")
    assert shared.value == 0.1
    assert verdict.types["disease"] == verdict.level == "collapsed"
    assert "node_key" in shared.what_to_change[0]


def test_hubs_are_a_warning_and_never_collapse() -> None:
    drug = spread_out(600, dim=128)
    centre = spread_out(1, dim=128, seed=5)
    drug += 0.7 * centre
    drug[:3] = 3 * centre + 0.3 * drug[:3]
    verdict = verdict_on(ranking=BEATS, drug=drug, disease=spread_out(200, dim=128, seed=1))
    hubs = finding(verdict, "drug", "hubness")
    assert hubs.value > 4
    assert (hubs.level, verdict.types["drug"], verdict.level) == ("warning", "warning", "warning")


def test_a_gate_passes_at_good_and_collapses_only_beyond_collapsed() -> None:
    up = Gate(0.29, 0.20, higher_is_better=True, source="")
    assert [up.level(value) for value in (0.29, 0.2899, 0.20, 0.1999)] == [
        "good",
        "warning",
        "warning",
        "collapsed",
    ]
    down = Gate(0.57, 0.75, higher_is_better=False, source="")
    assert [down.level(value) for value in (0.57, 0.58, 0.75, 0.76)] == [
        "good",
        "warning",
        "warning",
        "collapsed",
    ]
    assert up.level(math.nan) == down.level(math.nan) == "warning"
    assert Gate(0.9, None, higher_is_better=True, source="").level(0.0) == "warning"
    assert str(down) == "good ≤ 0.57, collapsed > 0.75"


def test_the_rank_gate_has_no_step_between_its_calibrated_limits() -> None:
    assert (rank_gate(136).good, rank_gate(136).collapsed) == pytest.approx((0.29, 0.20))
    assert (rank_gate(512).good, rank_gate(512).collapsed) == pytest.approx((0.16, 0.12))
    assert rank_gate(9) == rank_gate(136)
    assert rank_gate(1024) == rank_gate(512)
    # The rank asked for grows with the limit, and no node more or less changes it by much.
    asked = [limit * rank_gate(limit).good for limit in range(100, 600)]
    assert all(0 <= step < 0.3 for step in np.diff(asked))


def test_thresholds_are_in_order_and_say_where_they_come_from() -> None:
    for gate in GATES.values():
        assert gate.source
        if gate.collapsed is not None:
            assert (gate.good > gate.collapsed) == gate.higher_is_better


def test_every_change_advised_names_a_setting_that_exists_with_a_value_it_takes() -> None:
    for advice in ADVICE.values():
        assert advice.likely_causes
        for change in advice.what_to_change:
            if change.startswith("the graph:"):
                continue
            found = re.match(r"(\w+)(?: or (\w+))?(?:=(\S+)|:)", change)
            assert found is not None, change
            name, other, value = found.groups()
            assert {name, other} - {None} <= set(EmbedSettings.model_fields), change
            if value is not None:
                EmbedSettings.model_validate({name: value}, strict=False)


def test_a_finding_reads_as_a_sentence_with_value_threshold_cause_and_change() -> None:
    verdict = verdict_on(drug=spread_out(300), disease=spread_out(200, seed=1, offset=20))
    line = str(finding(verdict, "disease", "mean_cosine"))
    assert re.match(r"collapsed: disease: mean_cosine 0\.99\d \(95 % 0\.99", line)
    assert "good ≤ 0.57, collapsed > 0.95. Likely: " in line
    assert "Change: features=svd; learning_rate" in line
    assert "Change" not in str(finding(verdict, "drug", "mean_cosine"))


def test_exit_codes() -> None:
    types = {"drug": spread_out(300), "disease": spread_out(200, seed=1)}
    good = verdict_on(ranking=BEATS, **types)
    assert (exit_code(good), exit_code(good, strict=True)) == (0, 0)
    collapsed = verdict_on(ranking=BEATS, drug=types["drug"], disease=np.ones((200, 64)))
    assert (exit_code(collapsed), exit_code(collapsed, strict=True)) == (1, 1)


def test_a_role_that_is_no_type_is_refused_with_the_closest() -> None:
    report = measure_collapse(embeddings_of(drug=spread_out(20), disease=spread_out(20, seed=1)))
    with pytest.raises(ConfigError, match=r"disease_type 'diseases' is not among.*Closest: 'disease'"):
        judge(report, drug_type="drug", disease_type="diseases")


def test_a_verdict_is_json(tmp_path: Path) -> None:
    write_json(tmp_path / "v.json", verdict_on(drug=spread_out(300), disease=np.zeros((100, 64))))
    stored = json.loads((tmp_path / "v.json").read_text())
    assert stored["level"] == "collapsed"
    assert stored["findings"][0]["threshold"]["good"] > 0
