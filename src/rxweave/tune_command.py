"""`rxweave tune`: better settings for a finished run's ranker, within a budget."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rxweave.options import Json

if TYPE_CHECKING:
    from rxweave.finished_tuning import TunedRun


def tune(
    *,
    run: Annotated[Path, typer.Option(help="Output folder of `rxweave run`; the trials go into it.")],
    trials: Annotated[int, typer.Option(min=2, help="Settings to try, those of the run among them.")] = 20,
    minutes: Annotated[float | None, typer.Option(min=0, help="Begin no trial after this time.")] = None,
    draws: Annotated[int, typer.Option(min=1, help="Models averaged in a trial.")] = 3,
    as_json: Json = False,
) -> None:
    """Search settings of a finished run's ranker on its validation treatments, and test the best ones once."""
    from rxweave.artifacts import plain
    from rxweave.console import RichWatch
    from rxweave.finished_tuning import tune_run

    with RichWatch(1, quiet=as_json) as watch:
        found = tune_run(run, trials=trials, minutes=minutes, draws=draws, watch=watch)
    if as_json:
        told = {"trials": found.tuned.trials.to_dicts(), "established": found.tuned.established}
        typer.echo(
            json.dumps({**told, "options": found.options, "given": plain(found.given), "best": plain(found.best)})
        )
        return
    _print(found)


def _print(found: TunedRun) -> None:
    from rich.console import Console

    from rxweave.rank.tuning import SPACE
    from rxweave.terminal import table, text

    console, trials = Console(), found.tuned.trials
    shown = table(f"Validation: best of {len(trials)} trials, and the settings of the run (trial 0)")
    for name in ("trial", "disease MRR", "drug MRR", "mean", "p (Holm)"):
        shown.add_column(name, justify="right")
    shown.add_column("changed", overflow="fold")
    first = trials.row(0, named=True)
    ordered = trials.sort("goal", descending=True).head(5).to_dicts()
    for row in ordered if any(row["trial"] == 0 for row in ordered) else [*ordered, first]:
        changed = ", ".join(f"{name} {row[name]:g}" for name in SPACE if row[name] != first[name])
        p = "" if row["p_holm"] is None else f"{row['p_holm']:.3f}"
        values = (f"{row[name]:.3f}" for name in ("disease_mrr", "drug_mrr", "goal"))
        shown.add_row(str(row["trial"]), *values, p, text(changed))
    console.print(shown)
    test = table("Test treatments")
    for name in ("", "disease MRR", "drug MRR", "Recall@50", "AUPRC"):
        test.add_column(name, justify="right" if name else "left")
    for name, of in (("settings of the run", found.given), ("best trial", found.best)):
        drugs = of.drugs_given_disease
        cells = (of.diseases_given_drug.mrr, drugs.mrr, drugs.recall_at_50, of.auprc)
        test.add_row(name, *(f"{cell.value:.3f} ({cell.low:.2f}–{cell.high:.2f})" for cell in cells))
    console.print(test)
    if not found.options:
        console.print("No trial was better than the settings of the run.")
        return
    standing = "beyond chance" if found.tuned.established else "which chance alone could explain"
    console.print(text(f"The best differs from the settings of the run on validation, {standing}. To use it:"))
    console.print(text("rxweave run … " + " ".join(found.options)), soft_wrap=True)
