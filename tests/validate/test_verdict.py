from __future__ import annotations

import json
import math
import re
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from rxweave.artifacts import write_json
from rxweave.config import EmbedSettings
from rxweave.embed.store import Embeddings
from rxweave.errors import ConfigError
from rxweave.validate.collapse import CollapseReport, OverallReport, TypeReport, measure_collapse
from rxweave.validate.gates import ADVICE, GATES, Gate, rank_gate
from rxweave.validate.geometry import Cosines, Spread
from rxweave.validate.verdict import Finding, RankingEvidence, SideEvidence, Verdict, exit_code, judge

BEATS = RankingEvidence(SideEvidence("MRR", 0.46, 0.24), SideEvidence("MRR", 0.18, 0.07))


def embeddings_of(**types: np.ndarray) -> Embeddings:
    names = [name for name, vectors in types.items() for _ in range(len(vectors))]
    keys = [f"{name}|{i}" for i, name in enumerate(names)]
    nodes = pl.DataFrame({"node_key": keys, "node_id": keys, "node_name": keys, "node_type": names})
    return Embeddings(nodes, np.concatenate(list(types.values())).astype(np.float32), {})


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
    forgiven = judge(report, structural_duplicate_rate={"drug": 0.2, "disease": 0.0}, **roles)
    assert finding(forgiven, "drug", "duplicate_rate").value == 0
    assert forgiven.types["drug"] == "good"
    blamed = judge(report, structural_duplicate_rate={"drug": 0.1, "disease": 0.0}, **roles)
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


def calibration_run(**types: tuple[int, float, float, int]) -> CollapseReport:
    """A report with the measures of a real run; per type: nodes, mean cosine, RankMe, components for 90 %."""
    reports = []
    for name, (num, cosine, rankme, components) in types.items():
        spread = Spread(num, 512, rankme, rankme, rankme, components, components, 512, 0, np.ones(512))
        cosines = Cosines(cosine, 0.0, cosine)
        reports.append(
            TypeReport(name, num, num, num, cosines, (cosine, cosine), spread, (rankme, rankme), 0.0, 0.0, 0,
                       cosines, spread)
        )  # fmt: skip
    together = OverallReport(9999, 0.4, 0.3, Spread(6000, 512, 140.0, 150.0, 60.0, 60, 80, 512, 0, np.ones(512)))
    return CollapseReport(512, 0, 3000, tuple(reports), np.eye(len(reports)), together)


@pytest.mark.parametrize(
    ("run", "drug", "disease", "gene", "expected"),
    [
        ("SVD features", (1552, 0.36, 140.0, 57), (137, 0.39, 54.0, 15), (3000, 0.70, 97.0, 32), "good"),
        ("one negative", (1552, 0.43, 133.0, 52), (137, 0.25, 66.0, 22), (3000, 0.27, 151.0, 64), "good"),
        ("few steps", (1552, 0.40, 136.0, 54), (137, 0.47, 49.0, 12), (3000, 0.75, 88.0, 27), "warning"),
        (
            "random features",
            (1552, 0.60, 189.0, 146),
            (137, 0.70, 80.0, 62),
            (3000, 0.72, 188.0, 162),
            "warning",
        ),
        ("rate 8e-3", (1552, 0.61, 61.0, 12), (137, 0.66, 18.0, 5), (3000, 0.80, 41.0, 10), "collapsed"),
        (
            "constant features",
            (1552, 0.87, 49.0, 21),
            (137, 0.86, 22.0, 9),
            (3000, 0.82, 58.0, 21),
            "collapsed",
        ),
        ("constant, naive", (1552, 0.62, 43.0, 7), (137, 0.75, 22.0, 7), (3000, 0.37, 70.0, 14), "collapsed"),
    ],
)
def test_measures_of_real_runs_get_the_verdict_their_ranking_deserved(
    run: str,
    drug: tuple[int, float, float, int],
    disease: tuple[int, float, float, int],
    gene: tuple[int, float, float, int],
    expected: str,
) -> None:
    report = calibration_run(drug=drug, disease=disease, gene=gene)
    verdict = judge(report, ranking=BEATS, drug_type="drug", disease_type="disease")
    assert verdict.level == expected, (run, [str(problem) for problem in verdict.problems])


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
    assert "good ≤ 0.57, collapsed > 0.75. Likely: " in line
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
