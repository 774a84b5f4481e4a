"""What loading costs at PrimeKG's size: a made-up kg.csv with its traps, read from the text and from the cache.

python benchmarks/loading.py --scale 1 --folder /tmp/loading

Each step runs in a process of its own, so that its peak memory is its own; that the facts are exactly those of the
generator is checked in another, so that the check costs the measured steps nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", type=float, default=1.0, help="1 is PrimeKG: 8,100,868 rows")
    parser.add_argument("--folder", type=Path, default=Path("data/benchmarks/loading"))
    parser.add_argument("--step", choices=STEPS, help="run one step only, in this process")
    arguments = parser.parse_args()
    if arguments.step:
        print(json.dumps(STEPS[arguments.step](arguments.folder, arguments.scale)))
        return
    environment = {**os.environ, "RXWEAVE_CACHE": str(arguments.folder / "cache")}
    for step in ("write", "read", "read again", "check"):
        name = step.split()[0]
        command = [sys.executable, __file__, "--scale", str(arguments.scale), "--folder", str(arguments.folder)]
        out = subprocess.run([*command, "--step", name], env=environment, check=True, capture_output=True, text=True)
        print(f"{step}: {out.stdout.strip()}", flush=True)


def write(folder: Path, scale: float) -> dict[str, object]:
    from rxweave.graph.primekg_file import write_primekg
    from rxweave.graph.primekg_shape import primekg_shaped

    written = write_primekg(primekg_shaped(scale, seed=0), folder / "kg.csv", seed=0)
    return {"rows": written.rows, "facts": written.facts, "bytes": (folder / "kg.csv").stat().st_size}


def read(folder: Path, scale: float) -> dict[str, object]:
    from rxweave.embed.usage import peak_memory
    from rxweave.kg.sources import load_kg

    before, started, processor = peak_memory(), time.perf_counter(), time.process_time()
    report = load_kg(folder / "kg.csv").report
    return {
        "rows": report.rows_read,
        "facts": report.facts,
        "swapped": report.swapped_duplicates,
        "exact": report.exact_duplicates,
        "seconds": round(time.perf_counter() - started, 1),
        "cpu_seconds": round(time.process_time() - processor, 1),
        "peak_gb": round(peak_memory() / 1e9, 2),
        "peak_gb_before": round(before / 1e9, 2),
    }


def check(folder: Path, scale: float) -> dict[str, object]:
    import numpy as np

    from rxweave.graph.primekg_file import facts_by_key, primekg_nodes
    from rxweave.graph.primekg_shape import primekg_shaped
    from rxweave.kg.sources import load_kg
    from rxweave.kg.tables import EDGE_COLUMNS

    graph = primekg_shaped(scale, seed=0)
    expected = np.sort(facts_by_key(graph, primekg_nodes(graph)).hash_rows().to_numpy())
    found = np.sort(load_kg(folder / "kg.csv").edges.select(EDGE_COLUMNS).hash_rows().to_numpy())
    return {"exactly the facts of the generator": bool(np.array_equal(expected, found)), "facts": len(found)}


STEPS = {"write": write, "read": read, "check": check}

if __name__ == "__main__":
    main()
