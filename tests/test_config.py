"""Settings: checked when made, reachable by name, and told apart from misspellings."""

from __future__ import annotations

import inspect

import pytest

from rxweave.api import generate_hgt_embeddings
from rxweave.config import PRESETS, EmbedSettings, LoadSettings, RunSettings
from rxweave.errors import ConfigError
from rxweave.settings import known_fields, settings_from


def test_names_and_texts_become_settings() -> None:
    settings = settings_from(
        {"load.kg": "demo", "embed.num_epochs": None, "seed": 3},
        ["embed.dropout=0.1", "rank.features.groups=degrees, paths", "embed.device=none", "load.treats=CtD"],
    )
    assert settings.seed == 3
    assert settings.embed.num_epochs == EmbedSettings().num_epochs
    assert settings.embed.dropout == 0.1
    assert settings.embed.device is None
    assert settings.rank.features.groups == ("degrees", "paths")
    assert settings.load.treats == ("CtD",)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("embed.num_epoch=3", r"no setting 'embed.num_epoch'\. Closest: 'embed.num_epochs'"),
        ("num_epochs=3", r"no setting 'num_epochs'\. Closest: 'embed.num_epochs'"),
        ("embed.num_epochs", "expected stage.name=value"),
        ("embed.num_epochs=many", "num_epochs is 'many'; it must be a valid integer"),
        ("embed.dropout=1.5", "dropout is '1.5'; it must be less than 1"),
        ("rank.features.groups=path", "'path' is not known.*Closest: 'paths'"),
    ],
)
def test_what_cannot_be_a_setting_is_named_with_the_next_step(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        settings_from({}, [text])


def test_settings_survive_json() -> None:
    settings = settings_from({"embed.num_epochs": 7, "load.include_node_types": ["drug", "disease"]})
    assert RunSettings(**settings.model_dump(mode="json")) == settings


def test_every_setting_is_described() -> None:
    assert all(field.description for field in known_fields().values())


def test_the_script_call_and_the_settings_have_the_same_defaults() -> None:
    fields = known_fields()
    for name, parameter in inspect.signature(generate_hgt_embeddings).parameters.items():
        if f"embed.{name}" in fields:
            assert parameter.default == fields[f"embed.{name}"].default, name


@pytest.mark.parametrize(("sizes", "fits"), [({"embedding_dim": 511}, 512), ({"hidden_dim": 100, "num_heads": 8}, 96)])
def test_sizes_that_heads_cannot_share_are_refused_with_a_size_that_fits(sizes: dict[str, int], fits: int) -> None:
    with pytest.raises(ConfigError, match=f"8 heads cannot share equally.*for example {fits}"):
        EmbedSettings(**sizes)


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_sets_what_it_names_and_nothing_else(preset: str) -> None:
    settings, default = RunSettings(preset=preset), RunSettings()
    assert settings.preset == preset
    for stage in ("load", "split", "embed", "rank"):
        changes = PRESETS[preset].get(stage, {})
        assert getattr(settings, stage) == getattr(default, stage).but(**changes)


def test_the_presets_are_those_that_users_know() -> None:
    quick, full, high, low = (
        RunSettings(preset=name) for name in ("quick", "full", "high_quality", "memory_constrained")
    )
    assert (quick.embed.num_epochs, quick.load.limit_nodes) == (20, 5000)
    assert (full.embed.num_epochs, full.load.limit_nodes) == (100, None)
    assert (high.embed.num_epochs, high.embed.learning_rate) == (200, 0.0005)
    assert (high.embed.edge_sample_size, high.embed.accumulation_steps) == (8000, 2)
    assert (low.embed.edge_sample_size, low.embed.accumulation_steps) == (3000, 8)


def test_values_given_beside_a_preset_win() -> None:
    for settings in (
        settings_from({"preset": "quick", "embed.num_epochs": 100, "load.kg": "demo:400"}, ["embed.dropout=0.1"]),
        settings_from({"embed.num_epochs": 100, "load.kg": "demo:400"}, ["preset=quick", "embed.dropout=0.1"]),
        RunSettings(preset="quick", embed=EmbedSettings(num_epochs=100, dropout=0.1), load=LoadSettings(kg="demo:400")),
    ):
        assert (settings.embed.num_epochs, settings.embed.dropout) == (100, 0.1)
        assert (settings.load.limit_nodes, settings.load.kg) == (5000, "demo:400")
        assert RunSettings(**settings.model_dump(mode="json")) == settings
        assert settings.but(seed=3).embed == settings.embed


def test_an_unknown_preset_is_named_with_those_there_are() -> None:
    with pytest.raises(ConfigError, match="preset is 'fast'; it must be 'quick', 'full', 'high_quality' or"):
        settings_from({"preset": "fast"})
    with pytest.raises(ConfigError, match="embed is 5"):
        RunSettings(preset="quick", embed=5)
