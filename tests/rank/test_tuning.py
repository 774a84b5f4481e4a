"""The search for settings: within its budget, on validation alone, and honest about chance."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from pair_graphs import embeddings_of, planted_graph, split_at

from rxweave.config import FeatureSettings, RankSettings
from rxweave.errors import InputError
from rxweave.rank import tuning
from rxweave.rank.tuning import SPACE, tune

SETTINGS = RankSettings(
    num_draws=2, num_trees=10, threads=1, features=FeatureSettings(groups=("degrees", "paths"), num_folds=2)
)


@pytest.fixture(autouse=True)
def small_trials(monkeypatch: pytest.MonkeyPatch) -> None:
    small = {"num_trees": (5, 10), "negatives_per_positive": (2, 4), "linear_weight": (0.0, 0.3)}
    monkeypatch.setattr(tuning, "SPACE", small)


def given(num_valid: int = 30):  # type: ignore[no-untyped-def]
    split, training = split_at(planted_graph(), num_valid=num_valid, num_test=20)
    return training, split, embeddings_of(training, split)


def test_the_first_trial_is_the_settings_given_and_the_best_is_no_worse() -> None:
    training, split, embeddings = given()
    found = tune(training, split, embeddings, SETTINGS, trials=4, draws=1, seed=0)
    assert found.trials["trial"].to_list() == [0, 1, 2, 3]
    first = found.trials.row(0, named=True)
    assert all(first[name] == getattr(SETTINGS, name) for name in tuning.SPACE)
    assert first["difference"] is None
    assert found.trials["goal"].max() >= first["goal"]
    best = found.trials.sort("goal", descending=True).row(0, named=True)
    assert all(getattr(found.best, name) == best[name] for name in tuning.SPACE)
    assert found.best.num_draws == 2, "the settings that come back keep their own number of models"
    assert set(found.changed) == {name for name in tuning.SPACE if best[name] != first[name]}
    np.testing.assert_allclose(found.trials["goal"], (found.trials["disease_mrr"] + found.trials["drug_mrr"]) / 2)


def test_the_same_seed_tries_the_same_and_the_test_treatments_choose_nothing() -> None:
    training, split, embeddings = given()
    one = tune(training, split, embeddings, SETTINGS, trials=3, draws=1, seed=0).trials.drop("seconds")
    again = tune(training, split, embeddings, SETTINGS, trials=3, draws=1, seed=0).trials.drop("seconds")
    assert one.equals(again)
    # With other test treatments only the training graph could differ, and that is the same.
    fewer = replace(split, test=split.test[:5])
    assert (
        tune(training, fewer, None, SETTINGS.but(bilinear_weight=0.0), trials=2, draws=1, seed=0)
        .trials.drop("seconds")
        .equals(
            tune(training, split, None, SETTINGS.but(bilinear_weight=0.0), trials=2, draws=1, seed=0).trials.drop(
                "seconds"
            )
        )
    )


def test_no_trial_begins_after_the_time_is_up() -> None:
    training, split, embeddings = given()
    ticks = iter(range(0, 10_000, 61))
    found = tune(
        training, split, embeddings, SETTINGS, trials=50, minutes=4.0, draws=1, seed=0, clock=lambda: float(next(ticks))
    )
    assert 1 <= len(found.trials) < 5


def test_too_few_validation_treatments_are_refused() -> None:
    training, split, embeddings = given(num_valid=12)
    with pytest.raises(InputError, match="12 validation treatments are too few"):
        tune(training, split, embeddings, SETTINGS, trials=2, seed=0)


def test_every_setting_that_is_searched_exists_and_its_values_are_valid() -> None:
    for name, values in SPACE.items():
        for value in values:
            assert getattr(RankSettings().but(**{name: value}), name) == value
