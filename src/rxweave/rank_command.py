"""`rxweave rank`: the best drugs for a disease, or diseases for a drug, of a run that is finished."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rxweave.options import Json

if TYPE_CHECKING:
    import polars as pl

    from rxweave.leads import Order

PERCENTILES = ("percentile_for_disease", "percentile_for_drug")

NOT_COMPARABLE = (
    "Probabilities order the pairs of this list; between diseases they compare only as far as calibration holds: the "
    "percentages say how many of all drugs for the disease, and of all diseases for the drug, score lower."
)


def rank(
    *,
    run: Annotated[Path, typer.Option(help="Output folder of `rxweave run`.")],
    disease: Annotated[str | None, typer.Option(help="Rank drugs for this disease: a name, synonym or id.")] = None,
    drug: Annotated[str | None, typer.Option(help="Rank diseases for this drug: a name, synonym or id.")] = None,
    top: Annotated[int, typer.Option(min=1, help="Pairs to show.")] = 20,
    new_only: Annotated[bool, typer.Option("--new-only", help="Leave out known treatments.")] = False,
    specific: Annotated[
        bool,
        typer.Option(
            "--specific",
            help="Order by the percentile among the other end's own pairs: what scores high everywhere falls back.",
        ),
    ] = False,
    csv: Annotated[Path | None, typer.Option(help="Write all pairs of the list to this CSV file as well.")] = None,
    as_json: Json = False,
) -> None:
    """Show what a finished run predicts for one disease or one drug. Research leads, not medical advice."""
    from rxweave.artifacts import atomic_path
    from rxweave.leads import leads_for

    order: Order = "specific" if specific else "score"
    # Without a file to write, the first are enough: a drug's whole list of a very large graph takes seconds.
    most = None if csv is not None else top
    found = leads_for(run, disease=disease, drug=drug, new_only=new_only, order=order, top=most)
    if csv is not None:
        with atomic_path(csv) as temporary:
            found.write_csv(temporary)
    shown = found.head(top)
    if as_json:
        typer.echo(json.dumps(shown.to_dicts(), indent=2))
        return
    show_leads(shown, of_disease=disease is not None)
    if csv is not None:
        typer.echo(f"All {len(found):,} pairs: {csv}")


def show_leads(shown: pl.DataFrame, *, of_disease: bool) -> None:
    """Print the best pairs of one disease, or of one drug, as a table."""
    from rich.console import Console

    from rxweave.terminal import table, text

    console = Console()
    end, other = ("disease", "drug") if of_disease else ("drug", "disease")
    name = shown[f"{end}_name"][0] if len(shown) else ""
    listed = table(f"{name}: the best {len(shown)} {other}s")
    for column in ("", other, "id", "probability", "% drugs", "% diseases", "known"):
        words = column in (other, "id", "known")
        listed.add_column(column, justify="left" if words else "right", overflow="fold", no_wrap=not words)
    for row in shown.iter_rows(named=True):
        listed.add_row(
            str(row["place"]),
            text(row[f"{other}_name"]),
            text(row[f"{other}_id"]),
            f"{row['prob_treats']:.3f} {row['confidence']}",
            *("" if row[name] is None else f"{row[name]:.1f}" for name in PERCENTILES),
            "yes" if row["known"] else "",
        )
    console.print(listed)
    console.print(text(NOT_COMPARABLE))
    console.print(text("Predictions are research leads, not medical advice."))
