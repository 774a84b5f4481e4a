from __future__ import annotations

from pathlib import Path

import pytest

from rxweave.report.manifest import manifest_tables, seed_of


def test_single_values_come_first_and_each_part_has_its_own_table() -> None:
    first, settings, stages = manifest_tables(
        {
            "settings": {"embed": {"dim": 512, "groups": ("a", "b"), "device": None}, "fast": True},
            "rxweave": "1.2",
            "peak_memory": 1_234_567_890,
            "stages": [{"stage": "load", "cpu_seconds": 1.25}, {"stage": "embed", "note": "resumed"}],
            "out": Path("a") / "b",
        }
    )
    assert (first.title, first.rows) == (
        "Run",
        (("Rxweave", "1.2"), ("Peak memory", "1,234,567,890"), ("Out", str(Path("a") / "b"))),
    )
    assert settings.rows == (
        ("embed.dim", "512"),
        ("embed.groups", "a, b"),
        ("embed.device", "not set"),
        ("fast", "yes"),
    )
    assert stages.columns == ("Stage", "Cpu seconds", "Note")
    assert stages.rows == (("load", "1.25", ""), ("embed", "", "resumed"))


def test_empty_parts_and_input_files_have_no_table() -> None:
    assert manifest_tables({"results": {}, "inputs": [{"path": "x"}]}) == []


@pytest.mark.parametrize(
    ("manifest", "seed"),
    [
        ({"seed": 3, "settings": {"seed": 4}}, 3),
        ({"settings": {"seed": 4}}, 4),
        ({"config": {"seed": 0}}, 0),
        ({"settings": {"embed": {}}}, None),
        ({}, None),
    ],
)
def test_the_seed_is_found_where_the_manifest_has_it(manifest: dict[str, object], seed: int | None) -> None:
    assert seed_of(manifest) == seed
