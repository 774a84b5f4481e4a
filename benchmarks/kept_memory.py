"""What keeping freed memory between training steps gains and costs: `python benchmarks/kept_memory.py --kg FOLDER`.

Trains a few epochs with and without `embed.memory.freed_memory_kept`, each in a process of its own, and prints seconds
and processor seconds of the last epoch and the peak memory.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from contextlib import nullcontext


def measure(kg: str, num_epochs: int, *, kept: bool) -> str:
    """Train and give one row of the table."""
    from rxweave import train
    from rxweave.embed.memory import freed_memory_kept
    from rxweave.embed.train import Epoch
    from rxweave.pipeline import load
    from rxweave.settings import settings_from
    from rxweave.workspace import peak_memory

    settings = settings_from({"load.kg": kg, "embed.num_epochs": num_epochs, "embed.features": "learned"})
    processor, epochs = [time.process_time()], []

    def note(epoch: Epoch) -> None:
        processor.append(time.process_time())
        epochs.append(epoch)

    graph = load(settings)[1]
    with freed_memory_kept() if kept else nullcontext():
        train(graph, settings.embed, seed=0, on_epoch=note)
    cpu = processor[-1] - processor[-2]
    return f"| {'kept' if kept else 'returned'} | {epochs[-1].seconds:.1f} | {cpu:.1f} | {peak_memory() / 1e9:.2f} |"


def main() -> None:
    """Run both and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kg", default="../shared/data/hetionet")
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--one", choices=("kept", "returned"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.one:
        print(measure(asked.kg, asked.epochs, kept=asked.one == "kept"))
        return
    print("| freed memory | epoch s | epoch CPU s | peak GB |\n|---|---|---|---|", flush=True)
    for way in ("returned", "kept", "returned", "kept"):
        command = [sys.executable, __file__, "--kg", asked.kg, "--epochs", str(asked.epochs), "--one", way]
        subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
