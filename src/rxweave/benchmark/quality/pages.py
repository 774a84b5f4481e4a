"""The tables of the evaluation: Markdown, CSV, HTML and JSON, each row with the folder that reproduces it."""

from __future__ import annotations

import csv
import io
from dataclasses import asdict
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from typing import Any

from rxweave import __version__
from rxweave.artifacts import plain, write_json, write_text
from rxweave.benchmark.machine import machine
from rxweave.benchmark.quality.study import Study
from rxweave.benchmark.quality.summary import COMPARED, METRICS, STABLE_TOPS, Difference, MethodRow
from rxweave.benchmark.quality.task import MANIFEST, code_sha256
from rxweave.benchmark.tables import NONE, Sheet, number, sheet_markdown
from rxweave.rank.bootstrap import Estimate
from rxweave.rank.pair_table import Side

WORDS = {
    "disease_mrr": "disease MRR",
    "disease_hits_at_1": "disease Hits@1",
    "disease_hits_at_3": "disease Hits@3",
    "disease_hits_at_10": "disease Hits@10",
    "disease_recall_at_50": "disease Recall@50",
    "disease_recall_at_100": "disease Recall@100",
    "auprc_per_drug": "AUPRC per drug",
    "drug_mrr": "drug MRR",
    "drug_hits_at_1": "drug Hits@1",
    "drug_hits_at_3": "drug Hits@3",
    "drug_hits_at_10": "drug Hits@10",
    "drug_recall_at_50": "drug Recall@50",
    "drug_recall_at_100": "drug Recall@100",
    "auprc_per_disease": "AUPRC per disease",
    "auprc": "AUPRC",
    "auroc": "AUROC",
}
MAIN = (*COMPARED, "auroc")
"""The first table; the terminal shows what is `COMPARED`."""
SIDES: dict[Side, str] = {"disease": "the disease given its drug", "drug": "the drug given its disease"}
BEHIND = "The manifests behind each row; `rxweave benchmark repeat MANIFEST` does one again and compares"
SHOWN_TOP = 1_000
"""The n of the table of the whole matrix; the JSON has them all."""
_STYLE = "body{font:15px/1.5 sans-serif;max-width:76em;margin:2em auto;padding:0 1em}table{border-collapse:collapse;\
margin:1em 0}td,th{border-bottom:1px solid #ccc;padding:.25em .7em;text-align:right}td:first-child,th:first-child\
{text-align:left}"


def sheets_of(study: Study, rows: list[MethodRow], reference: str) -> list[Sheet]:
    """Give the tables: ranking, differences to the reference, each side in full, whole matrix and stability, cost, 1:1,
    and what the methods are.
    """
    sheets = [_ranking(study, rows)]
    if any(row.differences for row in rows):
        sheets.append(_against(rows, reference))
    sheets += [_side(rows, side) for side in SIDES]
    sheets += [_matrix(rows), _cost(study, rows), _one_to_one(rows)]
    about = tuple((row.method, row.about) for row in rows)
    sheets.append(Sheet("The methods", ("method", "what it is"), about, (*_features(study), *_failures(study))))
    return sheets


def manifests_of(study: Study, row: MethodRow) -> dict[str, str]:
    """Give, by what it is, where each manifest behind a row lies, as seen from the study's folder."""
    found = {f"seed {seed}": study.scored[row.method, seed].folder for seed in row.seeds}
    kind = next(method.needs for method in study.plan.methods if method.name == row.method)
    for seed in row.seeds:
        if (kind, seed) in study.trained:
            vectors = study.scored[row.method, seed].vectors
            assert vectors is not None  # trained for it
            found[f"training {seed}"] = vectors
    return {what: (folder / MANIFEST).relative_to(study.plan.out).as_posix() for what, folder in found.items()}


def brief_sheets(study: Study, rows: list[MethodRow], reference: str) -> list[Sheet]:
    """Give what fits 80 columns: some measures without intervals, and what of the differences is established."""
    ranking = _ranking(study, rows)
    lines = tuple((row.method, *(f"{row.estimates[name].value:.3f}" for name in COMPARED)) for row in rows)
    sheets = [
        Sheet("Ranking", ("method", *(WORDS[name] for name in COMPARED)), lines, (*ranking.notes, *_features(study)))
    ]
    against = tuple(
        (row.method, *(f"{found.paired.difference.value:+.3f}{_mark(found)}" for found in row.differences))
        for row in rows
        if row.differences
    )
    if against:
        columns = ("method", *(WORDS[name] for name in COMPARED))
        note = "*: established, better or worse by its sign; the others are noise as far as these pairs tell."
        sheets.append(Sheet(f"Paired difference to {reference}", columns, against, (note, *_failures(study))))
    return sheets


def _mark(found: Difference) -> str:
    return " " if found.finding == "not established" else "*"


def _ranking(study: Study, rows: list[MethodRow]) -> Sheet:
    lines = []
    for row in rows:
        seeds = f"{len(row.seeds)} of {len(study.plan.seeds)}"
        lines.append((row.method, seeds, *(_told(row.estimates[name]) for name in MAIN)))
    sizes = sorted({len(split.test) for split in study.splits.values()})
    notes = (
        f"Filtered ranks of {' or '.join(map(str, sizes))} held-out treatments per seed, among all "
        f"{study.graph.num_of(study.graph.roles.disease):,} diseases (disease side) and all "
        f"{study.graph.num_of(study.graph.roles.drug):,} drugs (drug side). AUPRC and AUROC over all negatives; AUPRC "
        "per disease over those of each disease, its mean over diseases. Means over the test pairs of all seeds; 95 % "
        "intervals draw diseases again, with their pairs of all seeds.",
        *_folds(study),
    )
    return Sheet("Ranking", ("method", "seeds", *(WORDS[name] for name in MAIN)), tuple(lines), notes)


def _folds(study: Study) -> tuple[str, ...]:
    """Of folds: which of them were tested."""
    split = study.plan.settings.split
    if split.kind != "folds":
        return ()
    tested = ", ".join(f"{seed % split.num_folds} of set {study.plan.split_of(seed)[1]}" for seed in study.plan.seeds)
    return (f"Every seed tests a fold of its own, of {split.num_folds} in a set: {tested}.",)


def _side(rows: list[MethodRow], side: Side) -> Sheet:
    names = [name for name, (whose, _) in METRICS.items() if whose == side]
    lines = tuple((row.method, *(_told(row.estimates[name]) for name in names)) for row in rows)
    words = [WORDS[name].removeprefix(f"{side} ") for name in names]
    note = "As above; AUPRC per drug is a mean over drugs, and its interval draws drugs again." * (side == "disease")
    return Sheet(f"In full: {SIDES[side]}", ("method", *words), lines, (note,) if note else ())


def _against(rows: list[MethodRow], reference: str) -> Sheet:
    lines = []
    for row in rows:
        if row.differences:
            cells = []
            for found in row.differences:
                value, low, high = asdict(found.paired.difference).values()
                p_value = f"p {found.p_adjusted:.4f}" if found.p_adjusted >= 1e-4 else "p < 0.0001"
                cells.append(f"{value:+.3f} ({low:+.3f} to {high:+.3f}), {p_value}: {found.finding}")
            lines.append((row.method, *cells))
    notes = (
        f"Method minus {reference} on the same test pairs of the same seeds. p: sign-flip test over diseases (AUPRC: "
        "their pairs swapped between the methods), adjusted for the number of methods (Holm). A difference that is not "
        "established is noise as far as these pairs tell.",
    )
    return Sheet(
        f"Paired difference to {reference}", ("method", *(WORDS[name] for name in COMPARED)), tuple(lines), notes
    )


def _matrix(rows: list[MethodRow]) -> Sheet:
    columns = ["method", f"Recall@{SHOWN_TOP:,}", "entropy of drugs", "of diseases", "known negatives"]
    columns += [f"overlap@{n:,}" for n in STABLE_TOPS]
    columns += ["rank correlation", "SD disease MRR", "SD drug MRR"]
    lines = []
    for row in rows:
        top: dict[str, Any] = next((each for each in row.top_of_matrix if each["n"] == SHOWN_TOP), {})
        stable = row.stability
        lines.append(
            (
                row.method,
                *(_share(top.get(name)) for name in ("recall", "drug_entropy", "disease_entropy", "negatives_recall")),
                *(_share(None if stable is None else stable.overlap.get(n)) for n in STABLE_TOPS),
                _share(None if stable is None else stable.correlation),
                *(_share(row.spread.get(name)) for name in ("disease_mrr", "drug_mrr")),
            )
        )
    notes = (
        "Recall, entropies (1: as even as can be; low: a few drugs or diseases fill the top) and known negatives are "
        f"of the {SHOWN_TOP:,} best of all pairs that training and validation do not know.",
        "Overlap, rank correlation and deviation (SD) are between seeds, the first two over pairs that are no known "
        "treatment.",
    )
    return Sheet("The whole matrix and stability", tuple(columns), tuple(lines), notes)


def _cost(study: Study, rows: list[MethodRow]) -> Sheet:
    lines = tuple(
        (
            row.method,
            number(row.seconds),
            number(row.peak_gb),
            number(row.training_seconds),
            number(row.training_peak_gb),
            ", ".join(f"{row.geometry.count(each)} {each}" for each in dict.fromkeys(row.geometry)) or NONE,
        )
        for row in rows
    )
    note = (
        "Time (mean over seeds) and memory (the most of any) are of the method alone, in a process of its own (memory "
        "with the graph). Training is that of embeddings it shares with others, and geometry the verdict on them, "
        "where they were trained here."
    )
    columns = ("method", "s", "peak GB", "s training", "peak GB training", "geometry")
    return Sheet("Cost", columns, lines, (note, *_resumed(study)))


def _resumed(study: Study) -> tuple[str, ...]:
    """Which trainings were stopped and went on, whose cost is put together of parts."""
    found = [
        f"{kind} of seed {seed} (after epoch {record['results']['earlier']['epochs']})"
        for (kind, seed), record in sorted(study.trained.items())
        if record["results"]["earlier"] is not None
    ]
    if not found:
        return ()
    return (
        f"Stopped on the way and resumed: training {', '.join(found)}. Time is that of all epochs and of what the last "
        "part did beside them; --fresh measures such a training in one piece.",
    )


def _one_to_one(rows: list[MethodRow]) -> Sheet:
    lines = tuple((row.method, *(_share(row.one_to_one[name]) for name in ("auroc", "auprc"))) for row in rows)
    note = (
        "One drawn negative per test pair, 10 draws. FOR COMPARISON ONLY with papers that report nothing else: the "
        "negatives are easy, and methods that rank very differently look alike."
    )
    return Sheet("For comparison only: 1:1", ("method", "1:1 AUROC", "1:1 AUPRC"), lines, (note,))


def _features(study: Study) -> tuple[str, ...]:
    """What trainings said of the feature file they used, and whether it can have seen held-out pairs."""
    seeds: dict[tuple[str, str], list[int]] = {}
    for (kind, seed), record in sorted(study.trained.items()):
        for note in (record["results"]["feature_file"] or {"notes": ()})["notes"]:
            seeds.setdefault((kind, note), []).append(seed)
    found = [f"Training {kind}, seed {', '.join(map(str, of))}: {note}" for (kind, note), of in seeds.items()]
    if study.plan.runs and study.plan.settings.embed.feature_file is not None:
        found.append("Whether their feature file can have seen held-out treatments, finished runs say themselves.")
    return tuple(found)


def _failures(study: Study) -> tuple[str, ...]:
    found = tuple(f"{title}: {reason}." for title, reason in study.failures.items())
    now = code_sha256()
    for what, records in (("Scored", study.records), ("Trained", study.trained)):
        older = sorted({name for (name, _), record in records.items() if record.get("code_sha256") != now})
        if older:
            found += (f"{what} by another state of the code than today's: {', '.join(older)}; --fresh does it again.",)
    if study.plan.runs:
        found += ("Embeddings of finished runs do not tell which code made them.",)
    return found if study.complete or study.failures else (*found, "Not complete: the same command goes on.")


def write_pages(study: Study, rows: list[MethodRow], reference: str) -> list[Path]:
    """Write `quality.json`, `.md`, `.csv` and `.html` into the study's folder; gives their paths."""
    out, sheets = study.plan.out, sheets_of(study, rows, reference)
    about = _about(study)
    links = {row.method: manifests_of(study, row) for row in rows}
    paths = [out / f"quality.{suffix}" for suffix in ("json", "md", "csv", "html")]
    told = {
        "benchmark": "quality",
        "rxweave": __version__,
        "complete": study.complete,
        "command": study.plan.command,
        "seeds": study.plan.seeds,
        "split_seed": study.plan.split_seed,
        "reference": reference,
        "settings": study.plan.settings.model_dump(mode="json"),
        "peers": study.plan.peers.model_dump(mode="json"),
        "inputs": study.kg.report.files,
        "machine": machine(study.plan.threads),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "rows": [{**_row_plain(row), "manifests": links[row.method]} for row in rows],
        "failures": study.failures,
    }
    write_json(paths[0], told)
    lines = [f"- {name}: " + ", ".join(f"[{w}]({at})" for w, at in each.items()) for name, each in links.items()]
    parts = [about, *(part for sheet in sheets for part in sheet_markdown(sheet)), f"**{BEHIND}**", "\n".join(lines)]
    write_text(paths[1], "\n\n".join(parts) + "\n")
    write_text(paths[2], _csv(rows, links))
    write_text(paths[3], _html(about, sheets, links))
    return paths


def _row_plain(row: MethodRow) -> dict[str, Any]:
    found: dict[str, Any] = plain(row)
    for told, difference in zip(found["differences"], row.differences, strict=True):
        told["finding"] = difference.finding
    return found


def _about(study: Study) -> str:
    facts = machine(study.plan.threads)
    kept = ", ".join(str(folder) for folder in study.plan.runs)
    embeddings = f" Embeddings of finished runs: {kept}." if kept else ""
    return (
        f"`{study.plan.command}`: {study.graph.name}, {study.graph.num_nodes:,} nodes and {study.graph.num_facts:,} "
        f"facts; {facts['processor']}, {facts['cores']} cores, {study.plan.jobs} at a time with {study.plan.threads} "
        f"threads, {facts['memory_gb']} GB; {datetime.now(UTC).date().isoformat()}.{embeddings} Predictions are "
        "research leads, not medical advice."
    )


def _csv(rows: list[MethodRow], links: dict[str, dict[str, str]]) -> str:
    """A row for each method and measure: value, interval, spread between seeds, difference, and the manifests."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(
        ["method", "measure", "num_seeds", "value", "low", "high", "sd_over_seeds", "difference", "difference_low",
         "difference_high", "p", "p_adjusted", "finding", "manifests"]
    )  # fmt: skip
    for row in rows:
        against = {found.metric: found for found in row.differences}
        for name in (*METRICS, "auprc", "auroc"):
            line: list[object] = [row.method, name, len(row.seeds), *asdict(row.estimates[name]).values()]
            line.append(row.spread.get(name, ""))
            found = against.get(name)
            if found is not None:
                line += [
                    *asdict(found.paired.difference).values(),
                    found.paired.p_value,
                    found.p_adjusted,
                    found.finding,
                ]
            table.writerow([*line, *[""] * (13 - len(line)), " ".join(links[row.method].values())])
        for name, value in _other_measures(row).items():
            table.writerow([row.method, name, len(row.seeds), "" if value is None else value, *[""] * 10])
    return text.getvalue()


def _other_measures(row: MethodRow) -> dict[str, float | None]:
    """What has a value and no interval: the top of the whole matrix, stability, cost, and 1:1."""
    found: dict[str, float | None] = {}
    for top in row.top_of_matrix:
        found |= {f"matrix_{name}_at_{top['n']}": value for name, value in top.items() if name != "n"}
    if row.stability is not None:
        found |= {f"overlap_at_{n}": value for n, value in row.stability.overlap.items()}
        found["rank_correlation"] = row.stability.correlation
    found |= {"seconds": row.seconds, "peak_gb": row.peak_gb}
    found |= {"training_seconds": row.training_seconds, "training_peak_gb": row.training_peak_gb}
    return found | {f"one_to_one_{name} (comparison only)": value for name, value in row.one_to_one.items()}


def _html(about: str, sheets: list[Sheet], links: dict[str, dict[str, str]]) -> str:
    parts = [f"<p>{escape(about)}</p>"]
    for sheet in sheets:
        head = "".join(f"<th>{escape(column)}</th>" for column in sheet.columns)
        body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in sheet.rows)
        parts.append(f"<h2>{escape(sheet.title)}</h2><table><tr>{head}</tr>{body}</table>")
        parts += [f"<p>{escape(note)}</p>" for note in sheet.notes]
    behind = "".join(
        f"<li>{escape(name)}: " + ", ".join(f'<a href="{escape(at)}">{escape(what)}</a>' for what, at in each.items())
        for name, each in links.items()
    )
    parts.append(f"<h2>{escape(BEHIND)}</h2><ul>{behind}</ul>")
    title = "rxweave: quality beside the peers"
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title><style>{_STYLE}</style>'
        f"<h1>{title}</h1>{''.join(parts)}</html>\n"
    )


def _told(estimate: Estimate) -> str:
    return f"{estimate.value:.3f} ({estimate.low:.2f}–{estimate.high:.2f})"


def _share(value: float | None) -> str:
    return NONE if value is None else f"{value:.3f}"
