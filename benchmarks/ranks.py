"""What a step costs each of several ranks: run it with python, or with `torchrun --standalone --nproc-per-node 2`.

One thread each, on the demo graph, with default settings: wall and processor seconds of an optimiser step, median after
the first.
"""

from __future__ import annotations

import statistics
import time
from unittest import mock

import torch

from rxweave.config import EmbedSettings
from rxweave.embed import train
from rxweave.embed.place import this_place
from rxweave.graph.build import build_graph
from rxweave.kg.demo import demo_kg

STEPS = 12


def main() -> None:
    torch.set_num_threads(1)
    take, embed_all = train.WAYS["full"]
    wall: list[float] = []
    processor: list[float] = []

    def timed(*arguments: object) -> object:
        before = time.perf_counter(), time.process_time()
        taken = take(*arguments)
        wall.append(time.perf_counter() - before[0])
        processor.append(time.process_time() - before[1])
        return taken

    settings = EmbedSettings(num_epochs=1, steps_per_epoch=STEPS, device="cpu")
    with mock.patch.dict(train.WAYS, full=(timed, embed_all)):
        train.train(build_graph(demo_kg(seed=0)), settings, seed=0)
    seconds, cpu_seconds = (statistics.median(each[1:]) for each in (wall, processor))
    print(f"{this_place()}: {seconds:.2f} s, {cpu_seconds:.2f} processor s a step")


if __name__ == "__main__":
    main()
