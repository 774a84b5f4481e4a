"""One measurement in a process of its own: `python -m rxweave.benchmark.worker TASK JOURNAL`, both of them JSON.

The journal gets one line for each thing that happened, at once, so that a worker that is stopped leaves what it has
measured so far.
"""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from rxweave.benchmark.machine import Since
from rxweave.benchmark.memory import forget_peak, peak, resident
from rxweave.benchmark.node_order import NodeOrder, reordered
from rxweave.benchmark.watched import end_with_parent
from rxweave.config import EmbedSettings
from rxweave.embed.attention import build_index
from rxweave.embed.features import FEATURE_RMS
from rxweave.embed.hgt import HGT, HGTShape
from rxweave.embed.memory import freed_memory_kept
from rxweave.errors import ConfigError
from rxweave.graph.build import Graph
from rxweave.graph.primekg_shape import primekg_shaped

PYG = ("pyg-patched", "pyg-kept", "pyg")
"""PyTorch Geometric's HGTConv: with its relation transform as one product per edge type, and as shipped."""
PLAIN = "fused_cpu-plain"
"""`fused_cpu` on plain Numba loops in place of its vector instructions."""
Workload = Literal["encoder", "epoch"]
Tell = Callable[..., None]
"""Writes a line of the journal: the name of what happened, and its figures."""


@dataclass(frozen=True)
class Task:
    """What a worker measures; everything it needs to know."""

    implementation: str = "csr"
    workload: Workload = "encoder"
    """`encoder`: forward, backward of a fixed output gradient, AdamW. `epoch`: an epoch of `rxweave.embed.train`."""
    scale: float = 0.125
    epochs: int = 3
    threads: int = 1
    heads: int = 8
    hidden_dim: int = 256
    embedding_dim: int = 512
    layers: int = 2
    features: str = "learned"
    """Of the workload `epoch`, as in `embed.features`; the encoder's are frozen random numbers."""
    precision: str = "fp32"
    """As in `embed.precision`; PyTorch Geometric's encoder is always in float32."""
    node_order: NodeOrder = "key"
    device: str = "cpu"
    seed: int = 0

    def embed_settings(self, **more: Any) -> EmbedSettings:
        """Give the settings of a training of these sizes; ConfigError for sizes that do not go together."""
        return EmbedSettings(
            hidden_dim=self.hidden_dim,
            embedding_dim=self.embedding_dim,
            num_layers=self.layers,
            num_heads=self.heads,
            feature_dim=self.hidden_dim,
            features=self.features,
            precision=self.precision,
            device=self.device,
            **more,
        )


def run_task(task: Task, tell: Tell) -> None:
    """Measure one task. Tells `ready`, then `epoch` for each epoch, then `done`."""
    torch.set_num_threads(task.threads)
    if task.implementation == PLAIN:
        from rxweave.benchmark.plain_steps import put_in_place

        put_in_place()
        task = replace(task, implementation="fused_cpu")
    graph = reordered(primekg_shaped(task.scale, seed=task.seed), task.node_order)
    if task.workload == "epoch":
        _measure_training(task, graph, tell)
    elif task.implementation in PYG:
        _measure_pyg(task, graph, tell)
    else:
        _measure_encoder(task, graph, tell)


def _measure_encoder(task: Task, graph: Graph, tell: Tell) -> None:
    started = time.perf_counter()
    index = build_index(graph).to(task.device)
    index_seconds = time.perf_counter() - started
    shape = HGTShape(
        type_offsets=tuple(graph.type_offsets.tolist()),
        num_relations=index.num_relations,
        feature_dim=task.hidden_dim,
        hidden_dim=task.hidden_dim,
        embedding_dim=task.embedding_dim,
        num_layers=task.layers,
        num_heads=task.heads,
    )
    generator = torch.Generator().manual_seed(task.seed)
    encoder = HGT(shape, generator=generator, attention=task.implementation, precision=task.precision).to(task.device)
    features, gradient = _features_and_gradient(task, graph)
    _measure_passes(task, lambda: [encoder(features, index)], encoder.parameters(), [gradient], tell, index_seconds)


def _measure_pyg(task: Task, graph: Graph, tell: Tell) -> None:
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch_geometric announces deprecations of torch at import
        from rxweave.benchmark.pyg_baseline import PyGEncoder

        started = time.perf_counter()
        data: Any = graph.to_pyg().to(task.device)
    edges = dict(data.edge_index_dict)
    index_seconds = time.perf_counter() - started
    with torch.random.fork_rng(devices=[]):  # torch_geometric takes no generator of its own
        torch.manual_seed(task.seed)
        encoder = PyGEncoder(
            data.metadata(),
            hidden_dim=task.hidden_dim,
            embedding_dim=task.embedding_dim,
            num_layers=task.layers,
            num_heads=task.heads,
            patched=task.implementation != "pyg",
        ).to(task.device)
    rows = {node_type: graph.rows_of(node_type) for node_type in graph.node_types}
    features, gradient = _features_and_gradient(task, graph)
    of_types = {node_type: features[row] for node_type, row in rows.items()}
    gradients = [gradient[row] for row in rows.values()]
    with freed_memory_kept() if task.implementation == "pyg-kept" else contextlib.nullcontext():
        _measure_passes(
            task,
            lambda: list(encoder(of_types, edges).values()),
            encoder.parameters(),
            gradients,
            tell,
            index_seconds,
        )


def _features_and_gradient(task: Task, graph: Graph) -> tuple[Tensor, Tensor]:
    """Frozen features of every node and the gradient of its output, random and the same for all implementations."""
    generator = torch.Generator().manual_seed(task.seed)
    features = FEATURE_RMS * torch.randn(graph.num_nodes, task.hidden_dim, generator=generator)
    gradient = torch.randn(graph.num_nodes, task.embedding_dim, generator=generator) / graph.num_nodes
    return features.to(task.device), gradient.to(task.device)


def _measure_passes(
    task: Task,
    forward: Callable[[], Sequence[Tensor]],
    parameters: Iterable[nn.Parameter],
    gradients: Sequence[Tensor],
    tell: Tell,
    index_seconds: float,
) -> None:
    """Forward, backward from given output gradients, and an optimiser step, `epochs` times."""
    optimiser = torch.optim.AdamW(parameters, lr=1e-3, fused=True)
    finish = _begin(task, tell, index_seconds=index_seconds)
    for _ in range(task.epochs):
        started, processor = time.perf_counter(), time.process_time()
        torch.autograd.backward(forward(), gradients)
        optimiser.step()
        optimiser.zero_grad()
        _wait_for_device(task)
        tell("epoch", seconds=time.perf_counter() - started, cpu_seconds=time.process_time() - processor)
    finish()


class _Enough(Exception):
    """Ends a training from within, when as many epochs as wanted have been measured."""


def _measure_training(task: Task, graph: Graph, tell: Tell) -> None:
    """Epochs of the real training loop, as it runs by default and ended early: its rare extras stay rare."""
    from rxweave.embed.train import Epoch, train

    finish = _begin(task, tell)
    started, processor = time.perf_counter(), [time.process_time()]

    def on_epoch(epoch: Epoch) -> None:
        if epoch.number == 1:
            tell("set_up", seconds=time.perf_counter() - started - epoch.seconds)
        spent = time.process_time() - processor[-1]
        # The first one's processor time holds the set-up too, which nothing outside the loop can tell apart.
        tell("epoch", seconds=epoch.seconds, cpu_seconds=None if epoch.number == 1 else spent)
        if epoch.number == task.epochs:
            raise _Enough
        processor.append(time.process_time())

    settings = task.embed_settings(attention=task.implementation)
    try:
        train(graph, settings.but(num_epochs=max(settings.num_epochs, task.epochs)), seed=task.seed, on_epoch=on_epoch)
    except _Enough:
        finish()


def _begin(task: Task, tell: Tell, **figures: float) -> Callable[[], None]:
    """Tell that the work begins and what is held by now; gives what to call when it is done."""
    device = torch.device(task.device)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else ""
    before, peak_before = resident(), peak()
    forget_peak()
    since = Since.now()
    tell("ready", resident=before, device_name=name, **figures)

    def finish() -> None:
        during = peak()
        tell(
            "done",
            peak=None if during is None else max(during, peak_before or 0),
            growth=None if during is None or before is None else during - before,
            share_of_others=since.share_of_others(),
            device_peak=torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None,
        )

    return finish


def _wait_for_device(task: Task) -> None:
    if torch.device(task.device).type == "cuda":
        torch.cuda.synchronize(task.device)


def main() -> None:
    """Measure the task given on the command line into the journal given on the command line."""
    task, journal = Task(**json.loads(sys.argv[1])), Path(sys.argv[2])
    end_with_parent()

    def tell(what: str, **figures: int | float | str | None) -> None:
        with journal.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"what": what, **figures}) + "\n")

    try:
        run_task(task, tell)
    except (ConfigError, ImportError) as error:  # not for this machine, or not with these sizes: not a failure
        tell("unavailable", reason=str(error))


def command(task: Task, journal: Path) -> list[str]:
    """Give the command line that measures a task in a new process."""
    return [sys.executable, "-m", "rxweave.benchmark.worker", json.dumps(asdict(task)), str(journal)]


if __name__ == "__main__":
    main()
