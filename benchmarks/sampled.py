"""What `embed.batching=sampled` holds in memory, beside full: `python benchmarks/sampled.py --scale 0.125`.

Trains on a graph of PrimeKG's shape, each way in a process of its own, on all facts and on a part of them (the nodes
stay), and prints what was held before training, the most held while it ran beyond that, and processor seconds of its
last epoch, in which all nodes are embedded as well.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time

WAYS = {"full": ("full", "10"), "10 neighbours": ("sampled", "10"), "10 then 3": ("sampled", "10,3")}


def measure(way: str, share: float, scale: float, overrides: list[str]) -> str:
    """Train and give one row of the table."""
    import numpy as np

    from rxweave import train
    from rxweave.benchmark.memory import forget_peak, peak, resident
    from rxweave.embed.memory import give_back_holes
    from rxweave.graph.primekg_shape import primekg_shaped
    from rxweave.settings import settings_from

    batching, neighbours = WAYS[way]
    named = {"embed.batching": batching, "embed.num_neighbours": neighbours.split(","), "embed.features": "learned"}
    settings = settings_from({"embed.num_epochs": 1, **named}, overrides)
    graph, rng = primekg_shaped(scale, seed=0), np.random.default_rng(0)
    graph = graph.keep_facts({r: rng.random(fact.shape[1]) < share for r, fact in enumerate(graph.facts)})
    give_back_holes()
    before = resident() or 0
    forget_peak()
    processor = [time.process_time()]
    train(graph, settings.embed, seed=0, on_epoch=lambda epoch: processor.append(time.process_time()))
    seconds = processor[-1] - processor[-2]
    held, more = before / 1e9, ((peak() or 0) - before) / 1e9
    return f"| {way} | {graph.num_nodes:,} | {graph.num_facts:,} | {held:.2f} | {more:.2f} | {seconds:.0f} |"


def main() -> None:
    """Run all ways and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scale", type=float, default=0.125)
    parser.add_argument("--share", type=float, action="append", help="of the facts; 0.25 and 1 by default")
    parser.add_argument("--way", action="append", choices=list(WAYS), help="all by default")
    parser.add_argument("--set", action="append", default=[], help="a setting for every way, stage.name=value")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.one:
        print(measure(asked.way[0], asked.share[0], asked.scale, asked.set))
        return
    print("| batching | nodes | facts | held before, GB | more in training, GB | last epoch, CPU s |")
    print("|---|---|---|---|---|---|", flush=True)
    for share in asked.share or (0.25, 1.0):
        for way in asked.way or WAYS:
            command = [sys.executable, __file__, "--one", "--way", way, "--share", str(share)]
            command += ["--scale", str(asked.scale), *(f"--set={each}" for each in asked.set)]
            subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
