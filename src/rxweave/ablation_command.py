"""`rxweave ablation`: what each feature group of a finished run's ranker is worth."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rxweave.options import Json

if TYPE_CHECKING:
    import polars as pl


def ablation(
    *,
    run: Annotated[Path, typer.Option(help="Output folder of `rxweave run`; the outcome goes into it.")],
    as_json: Json = False,
) -> None:
    """Fit a finished run's ranker again without each feature group and with each alone; the report shows it."""
    from rxweave.console import RichWatch
    from rxweave.finished_ablation import ablate_run
    from rxweave.finished_report import report_again

    with RichWatch(1, quiet=as_json) as watch:
        found = ablate_run(run, watch=watch)
        page = report_again(run, watch=watch)
    if as_json:
        typer.echo(json.dumps({"rows": found.to_dicts(), "report": str(page)}))
        return
    _print(found)
    typer.echo(f"Report: {page}")


def _print(found: pl.DataFrame) -> None:
    from rich.console import Console

    from rxweave.report.ablation import ablation_parts
    from rxweave.terminal import table, text

    console = Console()
    for part in ablation_parts(found):
        shown = table(f"{part.num_pairs:,} {part.part} treatments: value, and difference from all groups")
        shown.add_column("features", no_wrap=True)
        for measure in part.measures:
            shown.add_column(measure, justify="right")
        for name, _, cells in part.rows:
            told = [
                f"{cell.estimate.value:.3f}"
                + (
                    f" {cell.difference:+.3f}{'' if cell.standing == 'level' else '*'}"
                    if cell.difference is not None
                    else ""
                )
                for cell in cells
            ]
            shown.add_row(text(name), *told)
        console.print(shown)
    console.print(text("*: beyond chance (sign-flip test, p < 0.05 after Holm's adjustment). One seed."))
