"""`rxweave quick-test` and `rxweave compare-devices`: thin, and quick to start like the rest of the command line."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from rxweave.options import Device, Json, Kg, Override, Preset, Seed

if TYPE_CHECKING:
    from rxweave.config import RunSettings

app = typer.Typer()

Measured = Annotated[int, typer.Option("--measured-epochs", help="Epochs of the full training that are timed.")]
Time = Annotated[float, typer.Option(help="End each trial after this many seconds.")]


@app.command("quick-test")
def quick_test(
    *,
    kg: Kg = "demo",
    seed: Seed = None,
    preset: Preset = None,
    device: Device = None,
    measured_epochs: Measured = 3,
    time_limit: Time = 1800.0,
    override: Override = None,
    as_json: Json = False,
) -> None:
    """Say whether machine and graph are ready for the full run, and how long it takes: exit code 0 ready, 1 not, 2 bad.

    Trains a sample (5,000 nodes, 20 epochs) and judges it; then times a few epochs on the whole graph.
    """
    from rxweave.console import RichWatch
    from rxweave.readiness.print import print_quick_test
    from rxweave.readiness.quick_test import quick_test as test

    settings = _settings(kg, seed, preset, device, override)
    with RichWatch(settings.embed.num_epochs, quiet=as_json) as watch:
        found = test(settings, measured_epochs=measured_epochs, time_limit=time_limit, watch=watch)
    if as_json:
        typer.echo(json.dumps(found.plain(), indent=2))
    else:
        print_quick_test(found)
    raise typer.Exit(0 if found.ready else 1)


@app.command("compare-devices")
def compare_devices(
    *,
    kg: Kg = "demo",
    seed: Seed = None,
    preset: Preset = None,
    measured_epochs: Measured = 3,
    time_limit: Time = 1800.0,
    override: Override = None,
    as_json: Json = False,
) -> None:
    """The same small training on every device present, side by side, and which to take: exit code 1 when none works."""
    from rxweave.console import RichWatch
    from rxweave.readiness.devices import compare_devices as compare
    from rxweave.readiness.print import print_devices

    settings = _settings(kg, seed, preset, None, override)
    with RichWatch(settings.embed.num_epochs, quiet=as_json) as watch:
        found = compare(settings, measured_epochs=measured_epochs, time_limit=time_limit, watch=watch)
    if as_json:
        typer.echo(json.dumps(found.plain(), indent=2))
    else:
        print_devices(found)
    raise typer.Exit(1 if found.recommended is None else 0)


def _settings(
    kg: str, seed: int | None, preset: str | None, device: str | None, override: list[str] | None
) -> RunSettings:
    from rxweave.settings import settings_from

    named = {"load.kg": kg, "seed": seed, "preset": preset or "full", "embed.device": device}
    return settings_from(named, override or [])
