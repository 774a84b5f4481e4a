"""Score every drug with every disease at full size, kill it once, and compare with a run that nobody disturbed.

`python benchmarks/whole_matrix.py [--scale 1] [--draws 10] [--kill-after 60] [--out FOLDER]`

The graph is the PrimeKG-shaped one (7,957 drugs, 17,080 diseases at scale 1) with random 512-dimensional embeddings:
what is measured is time and memory, not quality. Each step is a process of its own: fitting, scoring and writing all
pairs, the same killed and taken up again. Printed: seconds and peak memory of each, and whether the files are the same.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from rxweave.config import RankSettings
from rxweave.embed.store import Embeddings
from rxweave.embed.usage import peak_memory
from rxweave.graph.build import Graph
from rxweave.graph.leaks import split_fingerprint
from rxweave.graph.primekg_shape import primekg_shaped
from rxweave.graph.split import Split, random_split, training_graph
from rxweave.rank.matrix_files import write_scores
from rxweave.rank.model import Ranker
from rxweave.rank.ranker import fit_ranker
from rxweave.rank.whole_matrix import score_all


def task(scale: float) -> tuple[Graph, Split, Embeddings]:
    """The graph, its split, and embeddings that know nothing."""
    graph = primekg_shaped(scale, seed=0)
    split = random_split(graph, seed=0)
    training = training_graph(graph, split)
    vectors = np.random.default_rng(0).normal(size=(graph.num_nodes, 512)).astype(np.float32)
    return training, split, Embeddings(graph.nodes, vectors, {"split": split_fingerprint(split, training)})


def tell(what: str, share: float) -> None:
    """One line a step, so that the log of a long one shows where it is."""
    print(f"{time.strftime('%H:%M:%S')} {what} {share:.1%}", file=sys.stderr, flush=True)


def fit(scale: float, draws: int, folder: Path) -> None:
    """Fit the ranker and save it."""
    training, split, embeddings = task(scale)
    fit_ranker(training, split, embeddings, RankSettings(num_draws=draws), seed=0, progress=tell).save(
        folder / "ranker"
    )


def score(scale: float, folder: Path, out: Path) -> None:
    """Score all pairs and write them."""
    training, split, embeddings = task(scale)
    ranker = Ranker.load(folder / "ranker")
    started = time.perf_counter()
    scores = score_all(ranker, ranker.features(training, embeddings), out / "parts", progress=tell, most=0)
    scored = time.perf_counter()
    _, note = write_scores(ranker, scores, training, split.known, out, most=0, progress=tell)
    told = {"score_s": scored - started, "write_s": time.perf_counter() - scored, "note": note}
    (out / "told.json").write_text(json.dumps(told), encoding="utf-8")


def run(*arguments: object, kill_after: float | None = None) -> tuple[float, float]:
    """Run a step as a process; give its seconds and peak memory in GB."""
    started = time.perf_counter()
    process = subprocess.Popen([sys.executable, __file__, *map(str, arguments)], start_new_session=True)
    if kill_after is not None:
        time.sleep(kill_after)
        os.killpg(process.pid, signal.SIGKILL)
    _, status, usage = os.wait4(process.pid, 0)
    if kill_after is None and status:
        raise SystemExit(f"{arguments} ended with {status}")
    return time.perf_counter() - started, usage.ru_maxrss * 1024 / 1e9


def digest(folder: Path) -> str:
    """Give one checksum of every table."""
    told = hashlib.sha256()
    for file in sorted(folder.rglob("*.parquet")):
        told.update(file.relative_to(folder).as_posix().encode() + file.read_bytes())
    return told.hexdigest()[:16]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("step", nargs="?", choices=["fit", "score"])
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--draws", type=int, default=RankSettings().num_draws)
    parser.add_argument("--kill-after", type=float, default=60.0)
    parser.add_argument("--out", type=Path, default=Path("data/benchmarks/whole_matrix"))
    parser.add_argument("--into", type=Path)
    asked = parser.parse_args()
    common = ("--scale", asked.scale, "--draws", asked.draws, "--out", asked.out)
    if asked.step == "fit":
        fit(asked.scale, asked.draws, asked.out)
    elif asked.step == "score":
        score(asked.scale, asked.out, asked.into)
    else:
        if not (asked.out / "ranker" / "ranker.json").is_file():
            print("fit: {:.0f} s, {:.2f} GB".format(*run("fit", *common)), flush=True)
        for name in ("whole", "killed"):
            shutil.rmtree(asked.out / name, ignore_errors=True)
            (asked.out / name).mkdir(parents=True)
        print("whole: {:.0f} s, {:.2f} GB".format(*run("score", *common, "--into", asked.out / "whole")), flush=True)
        run("score", *common, "--into", asked.out / "killed", kill_after=asked.kill_after)
        left = len(list((asked.out / "killed").rglob("*.npy")))
        again = run("score", *common, "--into", asked.out / "killed")
        print("killed with {} blocks done, then: {:.0f} s, {:.2f} GB".format(left, *again), flush=True)
        print((asked.out / "whole" / "told.json").read_text())
        same = digest(asked.out / "whole") == digest(asked.out / "killed")
        print("every file the same" if same else "FILES DIFFER", f"({peak_memory() / 1e9:.2f} GB here)")
        raise SystemExit(0 if same else 1)


if __name__ == "__main__":
    main()
