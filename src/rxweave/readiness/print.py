"""What `quick-test` and `compare-devices` print."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from rxweave.benchmark.tables import BUSY, NONE, Sheet, busy_note, number, print_sheets
from rxweave.readiness.devices import DeviceComparison, DeviceReport
from rxweave.readiness.quick_test import QuickTest
from rxweave.readiness.words import duration


def print_quick_test(found: QuickTest) -> None:
    """Print every check, how the time was found out, and the answer."""
    console = Console()
    for check in found.checks:
        mark = ("yes", "green") if check.passed else ("no ", "red")
        console.print(Text.assemble("  ", mark, f"  {check.name}: {check.told}."), soft_wrap=True)
    full, small = found.full, found.small
    if small is not None:
        for problem in small.problems:
            console.print(Text(f"  sample: {problem}"), soft_wrap=True)
    if full.epoch_seconds is not None:
        console.print(Text(f"  Time: {full.how}: {number(full.epoch_seconds)} s each."), soft_wrap=True)
    console.print(Text(found.sentence, "bold green" if found.ready else "bold red"), soft_wrap=True)


def print_devices(found: DeviceComparison) -> None:
    """Print all devices side by side, then the recommendation."""
    columns = ("", "attention", "precision", "sample s/epoch", "sample GB", "verdict", "lowest rank", "differs by")
    small = Sheet(
        f"{found.sample_nodes:,} nodes, {found.sample_epochs} epochs",
        columns,
        tuple(_on_sample(each) for each in found.devices),
        tuple(f"{each.label}: {each.status}, {each.reason}" for each in found.devices if each.reason),
    )
    whole = Sheet(
        f"{found.graph}: {found.nodes:,} nodes, {found.facts:,} facts, {found.measured_epochs} epochs measured",
        ("", "s/epoch", "GB", f"{found.epochs} epochs"),
        tuple(
            (
                each.label,
                number(each.full_epoch_seconds),
                number(each.full_peak_gb),
                NONE if each.full_seconds is None else duration(each.full_seconds),
            )
            for each in found.devices
        ),
        tuple(
            busy_note(each.label, each.share_of_others)
            for each in found.devices
            if each.share_of_others is not None and each.share_of_others > BUSY
        ),
    )
    print_sheets([small, whole])
    Console().print(Text(found.sentence, "bold"), soft_wrap=True)


def _on_sample(device: DeviceReport) -> tuple[str, ...]:
    ranks = device.effective_rank
    return (
        device.label,
        device.attention or NONE,
        device.precision or NONE,
        number(device.epoch_seconds),
        number(device.peak_gb),
        device.verdict,
        number(min(ranks.values()) if ranks else None),
        NONE if device.agreement is None else f"{device.agreement.relative_difference:.1e}",
    )
