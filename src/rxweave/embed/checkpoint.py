"""Training that can be taken up again: one file with the whole state and what it is the state of. No pickle.

A resumed training gives the embeddings of an uninterrupted one, bit for bit on the CPU of one machine. So a checkpoint
is only ever continued on the graph, with the seed and with the settings that it was made with.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import count
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from rxweave.artifacts import atomic_path, plain
from rxweave.config import EmbedSettings
from rxweave.embed.feature_file import file_sha256
from rxweave.embed.history import Epoch, epochs_from
from rxweave.embed.state import TrainingState
from rxweave.errors import InputError
from rxweave.graph.build import Graph
from rxweave.graph.pairs import Pairs

SAVED_AS = "rxweave training 3"
"""What a checkpoint says it is."""
FREE = ("device", "attention", "checkpoint_every", "on_collapse", "memory_limit_gb")
"""Settings that do not decide what is learnt: a checkpoint may be continued with others."""
_OS_ERROR = re.compile(r"\(os error (\d+)\)")


class CheckpointError(InputError):
    """A file is not a checkpoint of this training: what is wrong with it, and what to do."""

    def __init__(self, problem: str, next_step: str) -> None:
        super().__init__(f"{problem} {next_step}")
        self.problem = problem


@dataclass(frozen=True)
class Identity:
    """What makes two trainings one and the same."""

    graph: str
    num_nodes: int
    num_facts: int
    graph_sha256: str
    """Of node keys, types, relations, roles and facts."""
    seed: int
    settings: Mapping[str, object]

    @classmethod
    def of(cls, graph: Graph, settings: EmbedSettings, seed: int, held_out: Pairs | None = None) -> Identity:
        decisive = settings.model_dump(mode="json", exclude=set(FREE))
        named = decisive.pop("feature_file")
        if named is not None:  # its content decides, wherever it lies
            decisive["feature_file"] = file_sha256(Path(str(named)))
        if settings.early_stopping is not None and held_out is not None:  # else they decide nothing
            decisive["held-out pairs"] = hashlib.sha256(held_out.astype("<i8").tobytes()).hexdigest()
        return cls(graph.name, graph.num_nodes, graph.num_facts, graph_fingerprint(graph), seed, decisive)

    def differences(self, other: Identity) -> list[str]:
        """Say, item by item, where `other` differs from this one."""
        found = []
        if self.seed != other.seed:
            found.append(f"seed is {self.seed}, not {other.seed}")
        for name in sorted({*self.settings, *other.settings}):
            mine, theirs = (each.settings.get(name, "unknown") for each in (self, other))
            if mine != theirs:
                found.append(f"{name} is {mine}, not {theirs}")
        if self.graph_sha256 != other.graph_sha256:
            mine, theirs = (f"{g.graph} ({g.num_nodes:,} nodes, {g.num_facts:,} facts)" for g in (self, other))
            found.append(f"the graph is {mine}, not {theirs}" if mine != theirs else f"other facts of {mine}")
        return found


@dataclass(frozen=True)
class Made:
    """With what a training was made, where that is chosen by what the machine has."""

    rxweave: str
    attention: str
    precision: str

    def told_beside(self, now: Made) -> str:
        """Say what is another now; precision never is, since a training goes on in its own."""
        other = [
            f"{name} {mine} then, {theirs} now"
            for name, mine, theirs in (
                ("rxweave", self.rxweave, now.rxweave), ("attention", self.attention, now.attention)
            )
            if mine != theirs
        ]  # fmt: skip
        return f"The checkpoint was made with {'; '.join(other)}: its vectors may end with other last digits."


UNKNOWN_MADE = Made("", "", "")


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint in memory; whole, by its own checksum."""

    identity: Identity
    made: Made
    history: list[Epoch]
    numpy_random: dict[str, Any]
    tensors: dict[str, Tensor]

    @property
    def features(self) -> Tensor:
        """What each node starts from: not computed again, since that may differ in last bits."""
        return self.tensors["features"]

    def restore(self, state: TrainingState) -> None:
        """Bring a state that was made for the same training to that of the checkpoint."""
        with torch.no_grad():
            for name, parameter in state.weights().items():
                parameter.copy_(self.tensors[name])
                begin = f"optimiser.{name}."
                state.optimiser.state[parameter] = {
                    key.removeprefix(begin): tensor.to(parameter.device)
                    for key, tensor in self.tensors.items()
                    if key.startswith(begin)
                }
        state.best = {
            key.removeprefix("best."): tensor.to(state.features.device)
            for key, tensor in self.tensors.items()
            if key.startswith("best.")
        }
        state.generator.set_state(self.tensors["torch_random"])
        state.rng.bit_generator.state = self.numpy_random
        state.history[:] = self.history


def save_checkpoint(path: Path, identity: Identity, state: TrainingState, made: Made) -> None:
    """Write the state atomically. Raises OSError, for example of a full disk; an older file then stays as it was."""
    tensors = {"features": state.features, "torch_random": state.generator.get_state()}
    for name, parameter in state.weights().items():
        tensors[name] = parameter
        for key, value in state.optimiser.state[parameter].items():
            tensors[f"optimiser.{name}.{key}"] = value
    tensors |= {f"best.{name}": kept for name, kept in state.best.items()}
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    told = {
        "saved_as": SAVED_AS,
        "identity": asdict(identity),
        "made": asdict(made),
        "history": plain(state.history),
        "numpy_random": plain(state.rng.bit_generator.state),
        "tensors_sha256": _sha256(tensors),
    }
    try:
        with atomic_path(path) as temporary:
            text = json.dumps(told)
            save_file(tensors, temporary, metadata={"checkpoint": text, "checkpoint_sha256": _sha256_of(text)})
    except SafetensorError as error:
        number = _OS_ERROR.search(str(error))
        if number is None:
            raise
        raise OSError(int(number[1]), os.strerror(int(number[1])), str(path)) from error


def read_checkpoint(path: Path) -> Checkpoint:
    """Read and verify a checkpoint. Raises CheckpointError for a file that is absent, cut short, or no checkpoint."""
    check_present(path)
    try:
        with safe_open(path, framework="pt") as file:
            told = _told(file.metadata())
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # not a dict
        if told["tensors_sha256"] != _sha256(tensors):
            raise ValueError("its numbers are not those that were saved")
        identity = Identity(**told["identity"])
        made = Made(**told["made"])
        return Checkpoint(identity, made, epochs_from(told["history"]), told["numpy_random"], tensors)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, SafetensorError) as error:
        reason = f"it has no {error}" if isinstance(error, KeyError) else " ".join(str(error).split())
        raise CheckpointError(
            f"{path} is not a whole checkpoint of a training: {reason.removesuffix('.')}.",
            "Delete it, or give --no-resume, to train from the start.",
        ) from error


def put_aside(path: Path) -> Path:
    """Rename the file at `path` so that nothing is overwritten; gives its new place."""
    places = (path.with_name(f"previous.{number}.{path.name}") for number in count(1))
    return path.replace(next(place for place in places if not place.exists()))


def all_aside(path: Path) -> list[Path]:
    """Give the files that were put aside from `path`."""
    name = re.compile(rf"previous\.\d+\.{re.escape(path.name)}")
    return sorted(each for each in path.parent.glob("previous.*") if name.fullmatch(each.name))


def identity_in(path: Path) -> Identity | None:
    """Give what a file says that it is a checkpoint of, None if it is none; its numbers are not read."""
    try:
        with safe_open(path, framework="pt") as file:
            return Identity(**_told(file.metadata())["identity"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError, SafetensorError):
        return None


def _told(metadata: Mapping[str, str] | None) -> dict[str, Any]:
    """What a file says of itself; ValueError or KeyError where that is not what was saved."""
    text = (metadata or {})["checkpoint"]
    told: dict[str, Any] = json.loads(text)
    if told["saved_as"] != SAVED_AS:
        raise ValueError(f"it says it is {told['saved_as']!r}, where {SAVED_AS!r} was expected")
    if (metadata or {})["checkpoint_sha256"] != _sha256_of(text):
        raise ValueError("what it says of itself is not what was saved")
    return told


def check_present(path: Path) -> None:
    """Raise CheckpointError unless there is a file there, or one that was put aside."""
    if not path.is_file() and not all_aside(path):
        raise CheckpointError(
            f"There is no checkpoint at {path}: nothing to resume (a finished run keeps none).",
            "Leave --resume out to train from the start.",
        )


def check_same_training(checkpoint: Checkpoint, identity: Identity, path: Path) -> None:
    """Raise CheckpointError, with everything that differs, for the checkpoint of another training."""
    differing = checkpoint.identity.differences(identity)
    if differing:
        raise CheckpointError(
            f"{path} is the checkpoint of another training: in it {'; '.join(differing)}.",
            "Resume it with what it was made with, or give --no-resume to train from the start.",
        )


def graph_fingerprint(graph: Graph) -> str:
    """Give the SHA-256, in hexadecimal, of all that training sees of a graph: not the names of its nodes."""
    digest = hashlib.sha256()
    kinds = [graph.node_types, graph.type_offsets.tolist(), [asdict(r) for r in graph.relations], asdict(graph.roles)]
    digest.update(json.dumps(kinds).encode())
    digest.update("\n".join(graph.nodes["node_key"].to_list()).encode())
    for fact in graph.facts:
        digest.update(fact.astype("<i8").tobytes())
    return digest.hexdigest()


def _sha256_of(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _sha256(tensors: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.contiguous().view(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
