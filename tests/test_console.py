"""What is printed: names letter by letter, whatever they look like, and all of it within 80 columns."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from pydantic.fields import FieldInfo
from rich.console import Console

from rxweave import console
from rxweave.config import RunSettings
from rxweave.embed.history import Epoch
from rxweave.embed.store import Embeddings
from rxweave.epoch_line import _duration
from rxweave.graph.build import Graph
from rxweave.kg.tables import (
    EDGE_COLUMNS,
    NODE_COLUMNS,
    KnowledgeGraph,
    LoadReport,
    RejectedRow,
    Roles,
    Truth,
)
from rxweave.pipeline import RunResult
from rxweave.rank.metrics import Estimate, RankingMetrics, evaluate_ranking
from rxweave.settings import known_fields
from rxweave.validate.collapse import CollapseReport, measure_collapse
from rxweave.validate.verdict import Verdict, judge
from rxweave.watch import Watch
from rxweave.workspace import Workspace

NASTY = ["Benzo[a]pyrene", "1-[/b]-2-[bold]ol", ":pill: [red]", "[link=x]A[/link]", "\\[b]"]
METHODS = ["ranker", "HGT decoder", "degree prior", "drug popularity", "disease popularity", "graph degrees"]


@pytest.fixture(autouse=True)
def _eighty_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


def made_up_kg(name: str, *, truth: Truth | None = None) -> KnowledgeGraph:
    report = LoadReport(
        source=name, files=(), rows_read=3, facts=2, exact_duplicates=0, swapped_duplicates=0, rejected_rows=1,
        self_loops=0, nodes=4, isolated_nodes=0, empty_names=0, renamed_ids=0,
        rejected_examples=tuple(RejectedRow(f"{name}.tsv", 7, f"what is {name}?") for name in NASTY),
        notes=tuple(f"Note on {name}." for name in NASTY),
    )  # fmt: skip
    nodes, edges = (pl.DataFrame(schema=dict.fromkeys(c, pl.String)) for c in (NODE_COLUMNS, EDGE_COLUMNS))
    return KnowledgeGraph(name, nodes, edges, (), Roles("drug", "disease", None, ("treats",)), report, truth)


def made_up_metrics() -> dict[str, RankingMetrics]:
    rng = np.random.default_rng(0)
    test, known = np.array([[0, 1], [2, 3]]), np.array([[0, 1], [2, 3], [4, 4]])
    scores = {name: rng.random((8, 6)).astype(np.float32) for name in METHODS}
    return {name: evaluate_ranking(each, test, known, seed=0, num_bootstraps=5) for name, each in scores.items()}


def made_up_verdict() -> tuple[CollapseReport, Verdict]:
    """Node types with nasty names; the first has collapsed, and so is a problem that is told."""
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((100, 16))
    vectors[:20] = 1 + 1e-3 * vectors[:20]
    types = [name for name in NASTY for _ in range(20)]
    ids = [str(i) for i in range(100)]
    nodes = pl.DataFrame({"node_key": ids, "node_id": ids, "node_name": ids, "node_type": types})
    report = measure_collapse(Embeddings(nodes, vectors.astype(np.float32), {}))
    return report, judge(report, drug_type=NASTY[0], disease_type=NASTY[1])


def made_up_run(folder: Path, *, kg_name: str = "made-up", truth: Truth | None = None) -> RunResult:
    predictions = pl.DataFrame(
        {
            "rank": range(1, 6),
            "drug_name": NASTY,
            "disease_name": NASTY[::-1],
            "prob_treats": [0.9, 0.8, 0.7, 0.6, 0.5],
            "confidence": ["HIGH"] * 5,
            "known": [True, False, False, False, False],
        }
    )
    _, verdict = made_up_verdict()
    work = Workspace(folder, RunSettings(), Watch())
    kg = made_up_kg(kg_name, truth=truth)
    return RunResult(kg, verdict, made_up_metrics(), predictions, folder / "report.html", work)


def words(text: str) -> str:
    """The text with runs of blanks, and so line breaks, as one blank."""
    return " ".join(text.split())


def test_names_that_look_like_markup_are_printed_letter_by_letter(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = made_up_run(tmp_path / "[out]")
    console.print_run(result)
    out = capsys.readouterr().out
    for place, name in enumerate(NASTY[1:], start=1):
        row = words(f"{place + 1} {name} {NASTY[::-1][place]} {0.9 - place / 10:.3f} HIGH")
        assert row in map(words, out.splitlines())
    assert "4 best new pairs of 5" in out  # the first pair is known
    assert out.rstrip().endswith(f"Report: {tmp_path}/[out]/report.html")
    for line in (*result.verdict.problems, *result.verdict.notes):
        assert words(str(line)) in words(out)
    assert "collapsed: Benzo[a]pyrene: " in out


def test_all_metrics_can_be_read_in_eighty_columns(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    truth = Truth(0.9, pl.DataFrame())
    result = made_up_run(tmp_path, truth=truth)
    console.print_run(result)
    out = capsys.readouterr().out
    assert "…" not in out
    lines = out.splitlines()
    assert max(map(len, lines[:-1])) <= 80  # the last one is the report's path
    first, second = lines[lines.index(next(line for line in lines if "AUPRC" in line)) - 1 :][:2]
    assert first.split() == ["disease", "disease", "drug", "drug", "drug"]
    assert second.split() == ["MRR", "Hits@10", "MRR", "Hits@10", "Recall@50", "AUPRC", "AUROC"]
    for name, metrics in result.metrics.items():
        disease, drug = metrics.diseases_given_drug, metrics.drugs_given_disease
        shown = [disease.mrr, disease.hits_at_10, drug.mrr, drug.hits_at_10, drug.recall_at_50]
        numbers = [f"{each.value:.3f}" for each in (*shown, metrics.auprc, metrics.auroc)]
        assert any(words(line) == " ".join([name, *numbers]) for line in lines)
    best = result.metrics["ranker"].auroc.value
    assert f"AUROC 0.900. ranker: {best:.3f}, {best / 0.9:.1%} of it." in words(out)
    for text in ("Embeddings: collapsed", "not medical advice", "2 pairs, filtered"):
        assert text in out


def test_a_long_name_is_folded_not_cut(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = made_up_run(tmp_path)
    name = "".join(f"N[{i}]" for i in range(30))
    assert result.predictions is not None
    long = result.predictions.with_columns(pl.lit(name).alias("drug_name"), pl.lit("d").alias("disease_name"))
    console.print_run(replace(result, predictions=long[:2]))
    out = capsys.readouterr().out
    row = out[out.index(" 2   N[0]") : out.index(console.NOT_ADVICE)]
    folded = "".join(line.split()[1 if i == 0 else 0] for i, line in enumerate(row.splitlines()) if line.strip())
    assert folded == name
    assert "…" not in out


def test_a_name_cannot_steer_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = made_up_run(tmp_path)
    assert result.predictions is not None
    steering = result.predictions.with_columns(pl.lit("a\x1b[31mred\rb").alias("drug_name"))
    console.print_run(replace(result, predictions=steering))
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "\r" not in out
    assert "a\N{REPLACEMENT CHARACTER}[31mred\N{REPLACEMENT CHARACTER}b" in out


def test_the_summary_of_a_run_is_json_even_where_numbers_are_missing(tmp_path: Path) -> None:
    result = made_up_run(tmp_path, truth=Truth(float("nan"), pl.DataFrame()))
    nothing = Estimate(float("nan"), float("nan"), float("nan"))
    metrics = {**result.metrics, "ranker": replace(result.metrics["ranker"], auprc=nothing)}
    summary = json.loads(json.dumps(console.run_summary(replace(result, metrics=metrics)), allow_nan=False))
    assert summary["metrics"]["ranker"]["auprc"] is None
    assert summary["metrics"]["ranker"]["auroc"] == result.metrics["ranker"].auroc.value
    assert summary["oracle_auroc"] is None
    assert summary["problems"] == [str(finding) for finding in result.verdict.problems]
    assert summary["report"] == str(tmp_path / "report.html")


def test_a_verdict_names_node_types_letter_by_letter(capsys: pytest.CaptureFixture[str]) -> None:
    report, verdict = made_up_verdict()
    console.print_verdict(report, verdict)
    out = capsys.readouterr().out
    for measured in report.types:
        row = next(line for line in out.splitlines() if words(line).startswith(words(measured.node_type) + " 20"))
        assert verdict.types[measured.node_type] in row
        assert f"{measured.cosines.mean:.3f}" in row
        assert f"{measured.spread.rankme:.1f}" in row
    assert "…" not in out
    assert max(map(len, out.splitlines())) <= 80
    assert "100 nodes × 16 dimensions" in out
    assert "Embeddings: collapsed" in out


@pytest.mark.parametrize("name", NASTY)
def test_a_load_report_names_files_and_reasons_letter_by_letter(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    console.print_load_report(made_up_kg(name), tmp_path / "[b]")
    out = capsys.readouterr().out
    assert f"{name}: 4 nodes, 2 facts" in words(out)
    for each in NASTY:
        assert f"  {each}.tsv, line 7: what is {each}?\n" in out
        assert f"  Note on {each}.\n" in out
    assert f"Tables, and the ledger of all this: {tmp_path}/[b]\n" in out


def test_every_setting_is_listed_uncut(capsys: pytest.CaptureFixture[str]) -> None:
    console.print_settings()
    out = capsys.readouterr().out
    assert "…" not in out
    assert max(map(len, out.splitlines())) <= 80
    listed = {line.split()[0] for line in out.splitlines() if line.strip()}
    assert set(known_fields()) <= listed


def test_settings_are_explained_letter_by_letter(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    field = FieldInfo(default="[b]", description="Any of [a] :pill: [/c].")
    monkeypatch.setattr(console, "known_fields", lambda: {"load.kg": field})
    console.print_settings()
    assert "load.kg [b] Any of [a] :pill: [/c]." in words(capsys.readouterr().out)


@pytest.mark.parametrize("name", NASTY)
def test_progress_is_told_letter_by_letter(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with console.RichWatch(1) as watch:
        watch.stage(f"stage {name}")
        watch.note(f"note on {name}")
        watch.epoch(Epoch(1, 2.0, 1.0, 0.5, 2.25, 0.1, {"other": 9.0, name: 3.0}))
    captured = capsys.readouterr()
    assert captured.out == ""
    assert f"stage {name}\n" in captured.err
    assert f"  note on {name}\n" in captured.err
    costs = "0.1 s/epoch · 0 s left"
    assert f"  epoch 1/1: link 2.000 contr 0.500 total 2.250 · effective rank {name} 3 · {costs}\n" in captured.err


@pytest.mark.parametrize("name", NASTY)
def test_bars_show_what_is_done_letter_by_letter(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    watch = console.RichWatch(4, quiet=True)

    def drawn() -> str:
        screen = Console(file=io.StringIO(), width=200)
        screen.print(watch.bars)
        return screen.file.getvalue()  # type: ignore[attr-defined]

    watch.progress(name, 0.25)
    assert f"  {name} " in drawn()
    assert " 25/100 " in drawn()
    watch.epoch(Epoch(2, 2.0, 1.0, 0.5, 2.25, 0.1, {name: 3.0}))
    assert " 2/4 " in drawn()
    assert f"effective rank {name} 3" in drawn()


def epoch(number: int, **values: object) -> Epoch:
    return Epoch(number, 2.0, 1.0, 0.5, 2.25, 30.0, **values)


def test_likeness_and_twins_stand_beside_the_ranks_and_each_measurement_is_told(
    small_graph: Graph, capsys: pytest.CaptureFixture[str]
) -> None:
    measured = {
        "effective_rank": {"drug": 211.4, "disease": 79.0},
        "mean_cosine": {"drug": 0.361, "disease": -0.02},
        "duplicate_rate": {"drug": 0.011, "disease": 0.0},
    }
    with console.RichWatch(100) as watch:
        watch.training(small_graph)
        watch.epoch(epoch(3, **measured))
        watch.epoch(epoch(4))
    (line,) = capsys.readouterr().err.rstrip().splitlines()
    assert "effective rank drug 211, disease 79 · cosine 0.36, -0.02 · twins 1.1%, 0.0% · " in line


def test_plain_lines_tell_ranks_of_both_roles_pace_time_left_and_memory(
    small_graph: Graph, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every tenth epoch and the last; ranks are those last measured; a resumed training starts in the middle."""
    ranks = {"drug": 211.4, "disease": 79.0, "pathway": 3.0}
    with console.RichWatch(25) as watch:
        watch.training(small_graph)
        watch.epoch(epoch(18, effective_rank=ranks, peak_memory=3_440_000_000))
        watch.epoch(epoch(19, peak_memory=3_440_000_000))
        watch.epoch(epoch(25, peak_memory=3_440_000_000))
    lines = capsys.readouterr().err.rstrip().splitlines()
    told = "link 2.000 contr 0.500 total 2.250 · effective rank drug 211, disease 79 · 30.0 s/epoch"
    assert lines == [
        f"  epoch 18/25: {told} · 4 min left · peak 3.4 GB",
        f"  epoch 25/25: {told} · 0 s left · peak 3.4 GB",
    ]


@pytest.mark.parametrize("width", [80, 200])
def test_the_live_line_shows_everything_in_any_terminal(small_graph: Graph, width: int) -> None:
    watch = console.RichWatch(100, quiet=True)
    watch.console = Console(file=io.StringIO(), width=width, force_terminal=True)
    watch.training(small_graph)
    watch.epoch(epoch(12, effective_rank={"drug": 211.0, "disease": 79.0}, peak_memory=3_440_000_000))
    screen = Console(file=io.StringIO(), width=width)
    screen.print(watch.bars)
    drawn = screen.file.getvalue()  # type: ignore[attr-defined]
    for text in ("12/100", "total 2.250", "drug 211, disease 79", "30.0 s/epoch", "44 min left", "peak 3.4 GB"):
        assert text in drawn
    assert "…" not in drawn
    assert len(drawn.splitlines()) == (1 if width == 200 else 3)


@pytest.mark.parametrize("name", NASTY)
def test_warnings_stand_out_letter_by_letter(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with console.RichWatch(1) as watch:
        watch.warning(f"{name} collapses")
    assert capsys.readouterr().err.rstrip() == f"  Warning: {name} collapses"


def test_a_watch_that_nobody_wrote_logs_warnings(caplog: pytest.LogCaptureFixture) -> None:
    """A script that does not watch still hears of what may spoil its result."""
    Watch().warning("memory grows")
    Watch().note("nothing much")
    assert [(record.name, record.message) for record in caplog.records] == [("rxweave", "memory grows")]


@pytest.mark.parametrize(("seconds", "told"), [(0.4, "0 s"), (89.0, "89 s"), (91.0, "2 min"), (5401.0, "1.5 h")])
def test_durations_are_short(seconds: float, told: str) -> None:
    assert _duration(seconds) == told


def test_settings_under_a_preset_show_its_values(capsys: pytest.CaptureFixture[str]) -> None:
    console.print_settings(RunSettings(preset="quick"))
    rows = [words(line) for line in capsys.readouterr().out.splitlines()]
    assert any(row.startswith("embed.num_epochs 20 ") for row in rows)
    assert any(row.startswith("load.limit_nodes 5000 ") for row in rows)
    assert any(row.startswith("embed.embedding_dim 512 ") for row in rows)


def test_a_quiet_watch_prints_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with console.RichWatch(1, quiet=True) as watch:
        watch.stage("load")
        watch.progress("counting", 0.5)
        watch.note("something")
    captured = capsys.readouterr()
    assert captured.out + captured.err == ""
