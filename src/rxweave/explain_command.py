"""`rxweave explain`: why a finished run ranks a drug for a disease as it does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rxweave.options import Json

if TYPE_CHECKING:
    from rich.table import Table

    from rxweave.explain.alike import AlikeTreatment
    from rxweave.explain.explanation import Explanation, PathStep, ScoreParts


def explain(
    *,
    run: Annotated[Path, typer.Option(help="Output folder of `rxweave run`.")],
    drug: Annotated[str, typer.Option(help="The drug: a name, synonym or id.")],
    disease: Annotated[str, typer.Option(help="The disease: a name, synonym or id.")],
    top: Annotated[int, typer.Option(min=1, help="Paths to show.")] = 10,
    through: Annotated[str | None, typer.Option(help="Only paths through this node (a gene, …).")] = None,
    without: Annotated[
        list[str] | None, typer.Option(help="Only paths without this relation; give it again for more.")
    ] = None,
    max_length: Annotated[int | None, typer.Option(help="Only paths of at most so many steps.")] = None,
    attention: Annotated[
        bool, typer.Option("--attention", help="Show what the encoder attends to along each step (takes longer).")
    ] = False,
    figure: Annotated[Path | None, typer.Option(help="Draw the paths into this .svg or .png file.")] = None,
    as_json: Json = False,
) -> None:
    """Show what a drug's score for a disease is made of, and what joins the two. Research leads, not medical advice."""
    from rich.console import Console

    from rxweave.artifacts import plain
    from rxweave.explain.drawing import check_figure, write_figure
    from rxweave.explain_run import explain_pair

    if figure is not None:
        check_figure(figure)
    with Console(stderr=True, quiet=as_json).status("Looking for paths and working out what the score is made of"):
        found = explain_pair(
            run,
            drug=drug,
            disease=disease,
            top=top,
            through=through,
            without=without or (),
            max_length=max_length,
            attention=attention,
        )
    if figure is not None:
        write_figure(found, figure)
    if as_json:
        typer.echo(json.dumps(plain(found), indent=2))
        return
    _print(found)
    if figure is not None:
        typer.echo(f"Figure: {figure}")


def _print(found: Explanation) -> None:
    from rich.console import Console

    from rxweave.explain.explanation import NOT_ADVICE
    from rxweave.terminal import text

    console = Console()
    console.print(text(f"{found.drug} for {found.disease}: {found.standing}."), soft_wrap=True)
    console.print(_score_table(found.score))
    console.print(_path_table(found) if found.paths else text("No path that the ranker counts joins the two."))
    if found.alike:
        console.print(_alike_table(found.alike))
    for note in (*found.notes, NOT_ADVICE):
        console.print(text(note), soft_wrap=True)


def _score_table(score: ScoreParts) -> Table:
    from rxweave.terminal import table, text

    shown = table(f"Score {score.score:+.2f} (log-odds), probability {score.probability:.3f}: the sum of")
    shown.add_column("features")
    shown.add_column("part", justify="right")
    shown.add_column("most of it by", overflow="fold")
    shown.add_row("base, before any feature", f"{score.base:+.2f}", "")
    for group in score.groups:
        most = (f"{each.name.partition(': ')[2]} {each.part:+.2f}" for each in group.features[:2])
        shown.add_row(group.group, f"{group.part:+.2f}", text("; ".join(most)))
    return shown


def _path_table(found: Explanation) -> Table:
    from rxweave.terminal import table, text

    shown = table(f"{len(found.paths)} of {found.num_paths:,} paths, of {found.num_kinds} kinds")
    with_attention = any(step.attention for path in found.paths for step in path.steps)
    for column in ("", "path", "weight", "of its kind", *(["attention × even"] if with_attention else [])):
        shown.add_column(column, justify="left" if column == "path" else "right", overflow="fold")
    for place, path in enumerate(found.paths, 1):
        of_kind = f"{100 * path.share:.0f} % of {path.num_of_kind:,}"
        attention = ["\n".join(_attention_words(step) for step in path.steps)] if with_attention else []
        shown.add_row(str(place), text(str(path)), f"{path.weight:.2f}", of_kind, *attention)
    return shown


def _attention_words(step: PathStep) -> str:
    """Attention towards the disease and back, layer by layer, as multiples of what an even share would be."""
    if step.attention is None:
        return ""
    ways = ((step.attention.forward, step.attention.even_forward), (step.attention.back, step.attention.even_back))
    forward, back = (" ".join(f"{share / even:.1f}" for share in shares) for shares, even in ways)
    return f"→ {forward}  ← {back}"


def _alike_table(alike: tuple[AlikeTreatment, ...]) -> Table:
    from rxweave.terminal import table, text

    shown = table("Like these known treatments")
    for column in ("treatment", "profile", "embedding", "shared"):
        shown.add_column(column, justify="left" if column in ("treatment", "shared") else "right", overflow="fold")
    for each in alike:
        shares = [
            f"{shared.relation}: {', '.join(node.node_name for node in shared.nodes[:3])}"
            + (f" and {shared.num_shared - 3:,} more" if shared.num_shared > 3 else "")
            for shared in each.shared[:3]
        ]
        cosines = ["" if cosine is None else f"{cosine:.2f}" for cosine in (each.profile, each.embedding)]
        shown.add_row(text(f"{each.drug.node_name} for {each.disease.node_name}"), *cosines, text("\n".join(shares)))
    return shown
