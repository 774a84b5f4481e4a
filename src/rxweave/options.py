"""The options that several commands share, each defined once; the values of most become settings (`config/`)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Out = Annotated[Path, typer.Option("--out", help="Folder for everything the run writes.")]
Kg = Annotated[
    str, typer.Option("--kg", help="A graph file or folder, a downloaded source, or demo (demo:6000 for another size).")
]
Override = Annotated[
    list[str] | None,
    typer.Option("--set", "-o", help="Any setting, as stage.name=value; `rxweave settings` lists them."),
]
Seed = Annotated[int | None, typer.Option(help="Seed of every random choice (default: 0).")]
Types = Annotated[
    list[str] | None,
    typer.Option("--include-node-types", help="Keep only this node type; give it again for more."),
]
Limit = Annotated[int | None, typer.Option(help="Sample this many nodes, each type in proportion.")]
Treats = Annotated[
    list[str] | None,
    typer.Option("--treats", help="Relation that means treatment, if the format does not say."),
]
SplitKind = Annotated[
    str | None,
    typer.Option(
        "--split",
        help="What is held out: random pairs (default), disease, area, drug, file or folds; more with -o split.…",
    ),
]
OnError = Annotated[str | None, typer.Option(help="A malformed row: stop (default) or skip, counted and listed.")]
TRAINING = "Training"
Preset = Annotated[
    str | None,
    typer.Option(
        help="quick, full, high_quality or memory_constrained: values for many settings; those given beside it win.",
        rich_help_panel=TRAINING,
    ),
]
Dim = Annotated[int | None, typer.Option(help="Length of each embedding (default: 512).", rich_help_panel=TRAINING)]
Hidden = Annotated[int | None, typer.Option(help="Width of the layers (default: 256).", rich_help_panel=TRAINING)]
Layers = Annotated[int | None, typer.Option(help="Rounds of messages (default: 2).", rich_help_panel=TRAINING)]
Heads = Annotated[int | None, typer.Option(help="Attention heads (default: 8).", rich_help_panel=TRAINING)]
Epochs = Annotated[
    int | None,
    typer.Option("--num-epochs", "--epochs", help="Training epochs (default: 100).", rich_help_panel=TRAINING),
]
Rate = Annotated[float | None, typer.Option(help="Peak learning rate (default: 0.001).", rich_help_panel=TRAINING)]
Facts = Annotated[
    int | None,
    typer.Option(help="Facts scored per relation in a micro-batch (default: 5000).", rich_help_panel=TRAINING),
]
Parts = Annotated[
    int | None, typer.Option(help="Micro-batches in an optimiser step (default: 4).", rich_help_panel=TRAINING)
]
Batching = Annotated[
    str | None,
    typer.Option(
        help="full (default), or sampled: drawn neighbours only, for graphs that do not fit.", rich_help_panel=TRAINING
    ),
]
Contrast = Annotated[
    float | None,
    typer.Option(help="Weight of pulling gene-sharing nodes together (default: 0.5).", rich_help_panel=TRAINING),
]
Similar = Annotated[
    float | None,
    typer.Option(help="Overlap of genes above which two nodes are similar (default: 0.1).", rich_help_panel=TRAINING),
]
Device = Annotated[
    str | None, typer.Option(help="cpu, cuda or mps (default: the best one present).", rich_help_panel=TRAINING)
]
Collapse = Annotated[
    str | None,
    typer.Option(help="When effective ranks say collapse: warn (default) or stop.", rich_help_panel=TRAINING),
]
Resume = Annotated[
    bool | None,
    typer.Option(
        "--resume/--no-resume",
        help="Insist on going on from the checkpoint of a stopped run, or start anew (default: go on if it is of this "
        "very training).",
        rich_help_panel=TRAINING,
    ),
]
TensorBoard = Annotated[
    Path | None,
    typer.Option(
        "--tensorboard",
        help="Folder for TensorBoard's event files: losses, ranks, memory and more of every epoch.",
        rich_help_panel=TRAINING,
    ),
]
Fit = Annotated[
    bool,
    typer.Option(
        "--fit",
        help="Train nothing: print this command with the largest settings that fit the memory of this machine.",
        rich_help_panel=TRAINING,
    ),
]
Force = Annotated[bool, typer.Option("--force", help="Replace the run of another graph in --out.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]
