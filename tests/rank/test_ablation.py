from __future__ import annotations

import polars as pl
import pytest

from rxweave.config import FeatureSettings, RankSettings
from rxweave.errors import InputError
from rxweave.graph.build import Graph
from rxweave.graph.split import Split, random_split, training_graph
from rxweave.rank.ablation import MEASURES, SCHEMA, ablate, settings_of, variants
from rxweave.rank.baselines import degree_prior
from rxweave.rank.compare import holm
from rxweave.rank.matrix import score_pairs
from rxweave.rank.metrics import evaluate_ranking
from rxweave.rank.ranker import fit_ranker

SETTINGS = RankSettings(
    features=FeatureSettings(groups=("degrees", "profiles"), num_folds=2),
    num_trees=5,
    num_draws=1,
    bilinear_weight=0,
    threads=1,
)


@pytest.fixture(scope="module")
def split(small_graph: Graph) -> Split:
    return random_split(small_graph, seed=0)


@pytest.fixture(scope="module")
def training(small_graph: Graph, split: Split) -> Graph:
    return training_graph(small_graph, split)


@pytest.fixture(scope="module")
def told() -> list[tuple[str, float]]:
    return []


@pytest.fixture(scope="module")
def table(training: Graph, split: Split, told: list[tuple[str, float]]) -> pl.DataFrame:
    return ablate(training, split, None, SETTINGS, seed=4, progress=lambda what, share: told.append((what, share)))


def with_groups(*groups: str, **more: object) -> RankSettings:
    return RankSettings(features=FeatureSettings(groups=groups), **more)


def test_every_group_is_left_out_in_turn_and_taken_alone() -> None:
    found = variants(with_groups("neighbours", "degrees", "paths", bilinear_weight=0))
    assert [(each.kind, each.groups) for each in found] == [
        ("all", ("neighbours", "degrees", "paths")),
        ("without", ("degrees", "paths")),
        ("without", ("neighbours", "paths")),
        ("without", ("neighbours", "degrees")),
        ("alone", ("neighbours",)),
        ("alone", ("degrees",)),
        ("alone", ("paths",)),
    ]
    assert len({each.name for each in found}) == 7


def test_what_the_bilinear_member_takes_in_is_left_out_with_its_group() -> None:
    settings = with_groups("degrees", "profiles", bilinear_inputs=("profiles", "embeddings"))
    found = {each.name: settings_of(each, settings) for each in variants(settings)}
    assert list(found) == [
        "all groups", "without degrees", "without profiles", "without embeddings", "degrees alone", "profiles alone",
    ]  # fmt: skip
    taken = {
        name: (each.features.groups, each.bilinear_inputs if each.bilinear_weight else ())
        for name, each in found.items()
    }
    assert taken == {
        "all groups": (("degrees", "profiles"), ("profiles", "embeddings")),
        "without degrees": (("profiles",), ("profiles", "embeddings")),
        "without profiles": (("degrees",), ("embeddings",)),
        "without embeddings": (("degrees", "profiles"), ("profiles",)),
        "degrees alone": (("degrees",), ()),
        "profiles alone": (("profiles",), ("profiles",)),
    }
    assert found["all groups"] == settings
    assert not any(
        each.uses_embeddings for name, each in found.items() if "alone" in name or name == "without embeddings"
    )
    assert "without embeddings" not in {each.name for each in variants(settings, embeddings=False)}
    only = with_groups("degrees", bilinear_inputs=("embeddings",))
    assert [each.name for each in variants(only)] == ["all groups", "without embeddings", "degrees alone"]


def test_a_single_group_is_refused() -> None:
    with pytest.raises(InputError, match=r"one feature group \(degrees\)"):
        variants(with_groups("degrees", bilinear_weight=0))


def test_each_variant_is_measured_on_both_parts(table: pl.DataFrame, split: Split) -> None:
    assert dict(table.schema) == dict(SCHEMA)
    assert len(table) == 6 * 2 * len(MEASURES)
    assert table["variant"].unique(maintain_order=True).to_list() == [
        "all groups", "without degrees", "without profiles", "degrees alone", "profiles alone", "degree prior",
    ]  # fmt: skip
    sizes = dict(table.select("part", "num_pairs").unique().rows())
    assert sizes == {"valid": len(split.valid), "test": len(split.test)}


def test_values_are_those_of_the_ranker_and_the_metrics(table: pl.DataFrame, training: Graph, split: Split) -> None:
    of_groups = {"all groups": ("degrees", "profiles"), "without degrees": ("profiles",), "degrees alone": ("degrees",)}
    scores = {"degree prior": degree_prior(split.train, training.num_of("drug"), training.num_of("disease"))}
    for name, groups in of_groups.items():
        settings = SETTINGS.but(features=SETTINGS.features.but(groups=groups))
        ranker = fit_ranker(training, split, None, settings, seed=4)
        scores[name] = score_pairs(ranker, ranker.features(training, None)).treats
    for name, matrix in scores.items():
        for part, pairs, known in (("test", split.test, split.known), ("valid", split.valid, split.before_test)):
            found = evaluate_ranking(matrix, pairs, known, seed=4)
            by_drug, by_disease = found.diseases_given_drug, found.drugs_given_disease
            expected = [by_drug.mrr, by_drug.hits_at_10, by_disease.mrr, by_disease.hits_at_10, found.auprc]
            rows = table.filter(variant=name, part=part)
            assert rows["measure"].to_list() == list(MEASURES)
            assert rows.select("value", "low", "high").rows() == [(e.value, e.low, e.high) for e in expected]


def test_differences_are_from_all_groups_over_the_same_pairs(table: pl.DataFrame) -> None:
    base = table.filter(kind="all")
    assert base["difference"].null_count() == len(base)
    others = table.filter(pl.col("kind") != "all").join(
        base.select("part", "measure", base="value"), on=["part", "measure"]
    )
    compared = others.filter(pl.col("measure") != "AUPRC, all pairs")
    assert len(compared) == 5 * 2 * 4
    for row in compared.iter_rows(named=True):
        assert row["difference"] == pytest.approx(row["value"] - row["base"])
        assert row["difference_low"] <= row["difference"] <= row["difference_high"]
        assert 0 < row["p_value"] <= 1
    assert others.filter(measure="AUPRC, all pairs")["difference"].null_count() == 5 * 2


def test_p_values_are_adjusted_for_the_variants_of_each_measure(table: pl.DataFrame) -> None:
    asked = table.filter(pl.col("p_value").is_not_null())
    for rows in asked.filter(pl.col("kind") != "baseline").partition_by("part", "measure"):
        assert rows["p_holm"].to_list() == holm(rows["p_value"].to_list())
    assert asked.filter(kind="baseline")["p_holm"].null_count() == len(asked.filter(kind="baseline"))


def test_progress_rises_to_the_end(table: pl.DataFrame, told: list[tuple[str, float]]) -> None:
    shares = [share for _, share in told]
    assert shares == sorted(shares)
    assert 0 <= shares[0] < 0.1
    assert 0.8 < shares[-1] <= 1
    assert any(what.startswith("without profiles: ") for what, _ in told)
