"""`rxweave explain`: why a finished run ranks a drug for a disease as it does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rxweave.options import Json

if TYPE_CHECKING:
    from rxweave.explain.explanation import Explanation


def explain(
    *,
    run: Annotated[Path, typer.Option(help="Output folder of `rxweave run`.")],
    drug: Annotated[str, typer.Option(help="The drug: a name, synonym or id.")],
    disease: Annotated[str, typer.Option(help="The disease: a name, synonym or id.")],
    top: Annotated[int, typer.Option(min=1, help="Paths to show.")] = 10,
    through: Annotated[str | None, typer.Option(help="Only paths through this node, of any type.")] = None,
    without: Annotated[
        list[str] | None, typer.Option(help="Only paths without this relation; give it again for more.")
    ] = None,
    max_length: Annotated[int | None, typer.Option(help="Only paths of at most so many steps.")] = None,
    as_json: Json = False,
) -> None:
    """Show what joins a drug and a disease, and what its score is made of. Research leads, not medical advice."""
    from rxweave.artifacts import plain
    from rxweave.explain_run import explain_pair

    found = explain_pair(
        run, drug=drug, disease=disease, top=top, through=through, without=without or (), max_length=max_length
    )
    if as_json:
        typer.echo(json.dumps(plain(found), indent=2))
    else:
        _print(found)


def _print(found: Explanation) -> None:
    from rich.console import Console

    from rxweave.explain.explanation import NOT_ADVICE
    from rxweave.terminal import table, text

    console = Console()
    console.print(text(f"{found.drug} and {found.disease}: {found.standing}."), soft_wrap=True)
    shown = table(f"{len(found.paths)} of {found.num_paths:,} paths, of {found.num_kinds} kinds")
    for column in ("", "path", "weight", "of its kind"):
        shown.add_column(column, justify="left" if column == "path" else "right", overflow="fold")
    for place, path in enumerate(found.paths, 1):
        of_kind = f"{100 * path.share:.0f} % of {path.num_of_kind:,}"
        shown.add_row(str(place), text(str(path)), f"{path.weight:.2f}", of_kind)
    if found.paths:
        console.print(shown)
    else:
        console.print(text("No path that the ranker counts joins the two."))
    for note in found.notes:
        console.print(text(note), soft_wrap=True)
    console.print(text(NOT_ADVICE))
