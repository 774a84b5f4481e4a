"""`rxweave benchmark …`: thin, and quick to start like the rest of the command line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from rxweave.benchmark.quality.commands import quality, repeat
from rxweave.options import Json, Override

if TYPE_CHECKING:
    from rxweave.benchmark.tables import Report

Number = TypeVar("Number", int, float)

app = typer.Typer(
    help="Measure what training costs here, whether it collapses, and how well methods rank held-out treatments.",
    no_args_is_help=True,
)
app.command()(quality)
app.command()(repeat)

_STOPPED = 130
"""Exit code after Ctrl-C: 128 + SIGINT."""

Scale = Annotated[float, typer.Option(help="Size of the graph: 1 is PrimeKG.")]
Epochs = Annotated[int, typer.Option(help="Epochs measured; the first is set apart.")]
Threads = Annotated[int | None, typer.Option(help="Threads of each worker (default: every core).")]
Heads = Annotated[int, typer.Option(help="Attention heads.")]
Hidden = Annotated[int, typer.Option(help="Width of the layers.")]
Dim = Annotated[int, typer.Option(help="Length of each embedding.")]
Layers = Annotated[int, typer.Option(help="Rounds of messages.")]
Features = Annotated[str, typer.Option(help="Node features of the training epochs: learned or svd.")]
Precision = Annotated[str, typer.Option(help="fp32 or bf16, of our encoder.")]
Order = Annotated[str, typer.Option(help="Nodes of a type by key, degree or rcm (reverse Cuthill–McKee).")]
Device = Annotated[str, typer.Option(help="cpu or cuda.")]
Memory = Annotated[
    float | None, typer.Option(help="Stop a worker that holds more, in 10^9 bytes (default: 80 % of what is free).")
]
Time = Annotated[float, typer.Option(help="Stop a worker after this many seconds.")]
Seed = Annotated[int, typer.Option(help="Seed of graph and weights.")]
Out = Annotated[Path, typer.Option(help="Folder for the JSON and the Markdown table.")]


@app.command()
def speed(
    *,
    scale: Scale = 0.125,
    implementations: Annotated[
        str, typer.Option(help="Comma-separated, as csr,pyg-patched (default: all but fused_cpu-plain).")
    ] = "",
    epochs: Epochs = 3,
    threads: Threads = None,
    heads: Heads = 8,
    hidden_dim: Hidden = 256,
    embedding_dim: Dim = 512,
    layers: Layers = 2,
    features: Features = "learned",
    precision: Precision = "fp32",
    node_order: Order = "key",
    device: Device = "cpu",
    max_memory_gb: Memory = None,
    time_limit: Time = 600.0,
    seed: Seed = 0,
    out: Out = Path("data/benchmarks"),
    as_json: Json = False,
) -> None:
    """Every attention implementation and PyTorch Geometric's HGTConv side by side on a PrimeKG-shaped graph.

    One after another, each in a process of its own: seconds, processor seconds and memory of the encoder alone and of
    a whole training epoch. What cannot run, or passes a limit, is a row that says so.
    """
    from rxweave.benchmark.machine import cores
    from rxweave.benchmark.measure import default_limits
    from rxweave.benchmark.node_order import checked_order
    from rxweave.benchmark.speed import compare
    from rxweave.benchmark.worker import Task

    task = Task(
        scale=scale,
        epochs=epochs,
        threads=cores() if threads is None else threads,
        heads=heads,
        hidden_dim=hidden_dim,
        embedding_dim=embedding_dim,
        layers=layers,
        features=features,
        precision=precision,
        node_order=checked_order(node_order),
        device=device,
        seed=seed,
    )
    names = [name.strip() for name in implementations.split(",") if name.strip()]
    limits = default_limits(max_memory_gb, time_limit)
    _finish(compare(task, names, limits, tell=_tell, keep=_keeper(out)), out, as_json=as_json)


@app.command()
def scaling(
    *,
    implementation: Annotated[str, typer.Option(help="The one to study.")] = "csr",
    vary: Annotated[str, typer.Option(help="Comma-separated, of edges, width and threads.")] = "edges,width,threads",
    scales: Annotated[str, typer.Option(help="Graph sizes where edges vary.")] = "0.0625,0.125,0.25,0.5,1,2",
    widths: Annotated[str, typer.Option(help="Layer widths where width varies.")] = "64,128,256,512",
    scale: Scale = 0.125,
    epochs: Epochs = 3,
    threads: Threads = None,
    heads: Heads = 8,
    hidden_dim: Hidden = 256,
    embedding_dim: Dim = 512,
    layers: Layers = 2,
    features: Features = "learned",
    precision: Precision = "fp32",
    node_order: Order = "key",
    device: Device = "cpu",
    max_memory_gb: Memory = None,
    time_limit: Time = 600.0,
    seed: Seed = 0,
    out: Out = Path("data/benchmarks"),
    as_json: Json = False,
) -> None:
    """How one implementation's cost grows with edges, width of the layers and threads, with the fitted exponents."""
    from rxweave.benchmark.machine import cores
    from rxweave.benchmark.measure import default_limits
    from rxweave.benchmark.node_order import checked_order
    from rxweave.benchmark.scaling import study_scaling, varied_from
    from rxweave.benchmark.worker import Task

    task = Task(
        implementation=implementation,
        scale=scale,
        epochs=epochs,
        threads=cores() if threads is None else threads,
        heads=heads,
        hidden_dim=hidden_dim,
        embedding_dim=embedding_dim,
        layers=layers,
        features=features,
        precision=precision,
        node_order=checked_order(node_order),
        device=device,
        seed=seed,
    )
    limits = default_limits(max_memory_gb, time_limit)
    report = study_scaling(
        task,
        limits,
        varied=varied_from(vary),
        scales=_numbers("--scales", scales, float),
        widths=_numbers("--widths", widths, int),
        tell=_tell,
        keep=_keeper(out),
    )
    _finish(report, out, as_json=as_json)


@app.command()
def collapse(
    *,
    seeds: Annotated[int, typer.Option(help="Seeds of each setting and relation: 0, 1, …")] = 5,
    jobs: Annotated[int, typer.Option(help="Runs at a time, each on one thread.")] = 1,
    settings: Annotated[
        str, typer.Option(help='Only these settings, separated by semicolons, as "random pairs; 1 layer".')
    ] = "",
    fresh: Annotated[bool, typer.Option("--fresh", help="Forget the finished runs in the journal.")] = False,
    out: Out = Path("data/benchmarks"),
    as_json: Json = False,
) -> None:
    """Count collapsed trainings: 11 settings, 2 target relations, 5 seeds on a small demo graph, and a control.

    Finished runs are kept in a journal in --out: after Ctrl-C or a crash the same command goes on. Exit code 1 if a
    run collapsed or failed, or if a control with constant features was not found collapsed.
    """
    from rxweave.benchmark.collapse import chosen_settings, collapse_sheet, study_collapse, write_collapse
    from rxweave.benchmark.tables import print_sheets

    report = study_collapse(out, settings=chosen_settings(settings), seeds=seeds, jobs=jobs, fresh=fresh, tell=_tell)
    paths = write_collapse(report, out)
    if as_json:
        typer.echo(json.dumps(report.plain(), indent=2))
    else:
        print_sheets([collapse_sheet(report)])
        typer.echo(f"Written: {paths[0]} and {paths[1]}")
    if not report.complete:
        raise typer.Exit(_STOPPED)
    raise typer.Exit(0 if report.passed else 1)


@app.command()
def presets(
    *,
    scale: Scale = 1.0,
    shape: Annotated[bool, typer.Option(help="Measure on the PrimeKG-shaped graph.")] = True,
    kg: Annotated[str | None, typer.Option(help="A graph file or folder to measure on as well.")] = None,
    names: Annotated[str, typer.Option("--presets", help="Comma-separated (default: all there are).")] = "",
    epochs: Epochs = 3,
    whole: Annotated[
        bool, typer.Option("--whole", help="Train each to its end and save it, in place of --epochs.")
    ] = False,
    threads: Threads = None,
    device: Device = "cpu",
    max_memory_gb: Memory = None,
    time_limit: Time = 3600.0,
    seed: Seed = 0,
    override: Override = None,
    out: Out = Path("data/benchmarks"),
    as_json: Json = False,
) -> None:
    """What each preset costs: time and peak memory of its training, on a PrimeKG-shaped graph and on one of yours.

    Each in a process of its own. A few epochs are measured and multiplied; --whole trains to the end, with
    checkpoints, and writes the embeddings.
    """
    from rxweave.benchmark.machine import cores
    from rxweave.benchmark.measure import default_limits
    from rxweave.benchmark.presets import PresetPlan, measure_presets, presets_from

    plan = PresetPlan(
        presets=presets_from(names),
        scale=scale if shape else None,
        kg=kg,
        epochs=epochs,
        whole=whole,
        threads=cores() if threads is None else threads,
        device=device,
        seed=seed,
        overrides=tuple(override or ()),
    )
    limits = default_limits(max_memory_gb, time_limit)
    _finish(measure_presets(plan, limits, tell=_tell, keep=_keeper(out)), out, as_json=as_json)


@app.command()
def memory(
    *,
    full: Annotated[bool, typer.Option("--full", help="PrimeKG's own size too: up to 6 GB, several minutes.")] = False,
    threads: Threads = None,
    as_json: Json = False,
) -> None:
    """Memory that is predicted before a training beside what it then takes: two epochs of each of several trainings."""
    from rxweave.artifacts import plain
    from rxweave.benchmark.machine import cores
    from rxweave.benchmark.planned import FULL, SMALL, compare, table

    rows = []
    for row in compare(SMALL + FULL if full else SMALL, threads=cores() if threads is None else threads):
        _tell(f"{row.case.told()}: predicted {row.predicted / 1e9:.2f} GB, measured {row.measured / 1e9:.2f} GB")
        rows.append(row)
    typer.echo(json.dumps(plain(rows), indent=2) if as_json else table(rows))


def _numbers(option: str, text: str, kind: Callable[[str], Number]) -> list[Number]:
    from rxweave.errors import ConfigError

    try:
        numbers = [kind(part) for part in text.split(",")]
    except ValueError:
        raise ConfigError(f"{option} is {text!r}; expected numbers separated by commas.") from None
    return numbers


def _tell(sentence: str) -> None:
    typer.echo(f"  {sentence}", err=True)


def _keeper(folder: Path) -> Callable[[Report], None]:
    """Writes the rows so far after each of them, so that a machine that goes down takes one row with it at most."""
    from rxweave.benchmark.tables import write_report

    def keep(report: Report) -> None:
        write_report(report, folder)

    return keep


def _finish(report: Report, folder: Path, *, as_json: bool) -> None:
    """Show the report; exit code 130 if it was stopped, 1 if a row failed."""
    from rxweave.artifacts import plain
    from rxweave.benchmark.scaling import ScalingReport
    from rxweave.benchmark.tables import print_sheets, sheets_of, write_report

    paths = write_report(report, folder)
    if as_json:
        typer.echo(json.dumps(plain(report.plain()), indent=2))
    else:
        print_sheets(sheets_of(report))
        typer.echo(f"Written: {paths[0]} and {paths[1]}")
    rows = (
        [point.row for study in report.studies for point in study.points]
        if isinstance(report, ScalingReport)
        else report.rows
    )
    if not report.complete:
        raise typer.Exit(_STOPPED)
    raise typer.Exit(1 if any(row.status == "failed" for row in rows) else 0)
