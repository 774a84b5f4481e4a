"""`rxweave benchmark quality`: thin, and quick to start like the rest of the command line."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from rxweave.options import Json, Kg, Limit, Override, SplitKind, Treats

_STOPPED = 130


def quality(
    *,
    kg: Kg = "demo",
    split: SplitKind = None,
    methods: Annotated[
        str, typer.Option(help="Methods by name, separated by commas; cheap, or all. --list-methods shows them.")
    ] = "rxweave,hgt-xgb,hgt-decoder,paths-xgb,cheap",
    seeds: Annotated[int, typer.Option(help="Seeds 0, 1, …: each has its own split and training.")] = 5,
    first_seed: Annotated[int, typer.Option(min=0, help="The first of the seeds, in place of 0.")] = 0,
    split_seed: Annotated[
        int | None, typer.Option(help="One split for all seeds: what then varies is the training alone.")
    ] = None,
    reference: Annotated[
        str | None, typer.Option(help="The method that others are compared with (default: the first).")
    ] = None,
    runs: Annotated[
        list[Path] | None,
        typer.Option(help="A finished run whose embeddings are used instead of trained again; give it once for each."),
    ] = None,
    treats: Treats = None,
    limit_nodes: Limit = None,
    jobs: Annotated[int, typer.Option(help="Methods at a time, each in a process of its own.")] = 1,
    threads: Annotated[int | None, typer.Option(help="Threads of each (default: 1 with several jobs).")] = None,
    max_memory_gb: Annotated[
        float | None, typer.Option(help="Stop a method that holds more, in 10^9 bytes (default: 80 % of what is free).")
    ] = None,
    time_limit: Annotated[float, typer.Option(help="Stop a method after this many seconds.")] = 6 * 3600.0,
    fresh: Annotated[bool, typer.Option("--fresh", help="Do all again, finished or begun.")] = False,
    list_methods: Annotated[bool, typer.Option("--list-methods", help="Show the methods, and stop.")] = False,
    override: Override = None,
    out: Annotated[Path, typer.Option(help="Folder for scores, manifests and tables.")] = Path("data/quality"),
    as_json: Json = False,
) -> None:
    """Rank held-out treatments by every method, on the same splits: means with intervals, paired differences, cost.

    Each method and seed leaves its scores and a manifest in --out: the same command goes on after Ctrl-C, and does only
    what is missing or was done with other settings. Settings of the peers are -o logistic.…, triples.…, walks.… and
    plain_hgt.…. Exit code 1 if a method failed.
    """
    from rxweave.artifacts import plain
    from rxweave.benchmark.measure import default_limits
    from rxweave.benchmark.quality.catalogue import METHODS, chosen_methods
    from rxweave.benchmark.quality.pages import brief_sheets, write_pages
    from rxweave.benchmark.quality.settings import quality_settings
    from rxweave.benchmark.quality.study import Plan, claimed, default_threads, study_quality
    from rxweave.benchmark.quality.summary import check_reference, summarise
    from rxweave.benchmark.tables import Sheet, print_sheets

    if list_methods:
        print_sheets([Sheet("Methods", ("method", "what it is"), tuple((m.name, m.about) for m in METHODS.values()))])
        return
    chosen = chosen_methods(methods)
    compared_with = check_reference(reference, chosen)
    named: dict[str, object] = {
        "load.kg": kg,
        "load.treats": treats,
        "load.limit_nodes": limit_nodes,
        "split.kind": split,
    }
    settings, peers = quality_settings(named, override or ())
    plan = Plan(
        methods=chosen,
        seeds=tuple(range(first_seed, first_seed + seeds)),
        settings=settings,
        peers=peers,
        out=out,
        runs=tuple(runs or ()),
        split_seed=split_seed,
        jobs=jobs,
        threads=default_threads(jobs) if threads is None else threads,
        limits=default_limits(max_memory_gb, time_limit),
        fresh=fresh,
        command=f"rxweave {shlex.join(sys.argv[1:])}",
    )
    with claimed(out):
        study = study_quality(plan, tell=lambda sentence: typer.echo(f"  {sentence}", err=True))
        rows = summarise(study, compared_with)
        paths = write_pages(study, rows, compared_with)
    if as_json:
        typer.echo(json.dumps(plain(json.loads(paths[0].read_text(encoding="utf-8"))), indent=2))
    else:
        print_sheets(brief_sheets(study, rows, compared_with))
        typer.echo(f"Written: {', '.join(map(str, paths))}")
    if not study.complete:
        raise typer.Exit(1 if study.failures else _STOPPED)


def repeat(
    manifest: Annotated[
        Path, typer.Argument(help="manifest.json of a row, or its folder: methods/METHOD/seed-N in its --out.")
    ],
    out: Annotated[
        Path | None, typer.Option(help="Folder for what comes of it (default: none, it is compared and forgotten).")
    ] = None,
    max_memory_gb: Annotated[
        float | None, typer.Option(help="Stop it when it holds more, in 10^9 bytes (default: 80 % of what is free).")
    ] = None,
    time_limit: Annotated[float, typer.Option(help="Stop it after this many seconds.")] = 6 * 3600.0,
    *,
    as_json: Json = False,
) -> None:
    """Do one row of `rxweave benchmark quality` again from its manifest, and set what comes of it beside the record.

    Paths in the manifest are as they were given: start it from the same folder. Exit code 1 if a figure is another.
    """
    import tempfile

    from rxweave.artifacts import plain
    from rxweave.benchmark.measure import default_limits
    from rxweave.benchmark.quality.repeat import repeat as done_again
    from rxweave.benchmark.tables import Sheet, print_sheets

    with tempfile.TemporaryDirectory() as forgotten:
        found = done_again(
            manifest,
            Path(forgotten) if out is None else out,
            default_limits(max_memory_gb, time_limit),
            tell=lambda sentence: typer.echo(f"  {sentence}", err=True),
        )
    if as_json:
        typer.echo(json.dumps({**plain(found), "alike": found.alike, "other": found.other}, indent=2))
    else:
        lines = tuple(
            (name, *(f"{value:.6g}" if isinstance(value, float) else str(value)[:12] for value in both))
            for name, both in found.values.items()
        )
        notes = (
            []
            if found.scores_alike is None
            else [f"Scores bit for bit alike: {'yes' if found.scores_alike else 'no'}."]
        )
        notes += [f"Not as it was then: {'; '.join(found.reasons)}."] if found.reasons else []
        notes += [found.unknown] if found.unknown else []
        print_sheets([Sheet(found.title, ("measure", "recorded", "now"), lines, tuple(notes))])
        typer.echo("The same." if found.alike else f"Not the same. Other than recorded: {', '.join(found.other)}.")
    if not found.alike:
        raise typer.Exit(1)
