"""A trained encoder and decoder on disk: safetensors for the weights, JSON for what they mean. No pickle."""

from __future__ import annotations

from pathlib import Path

from safetensors.torch import save_file

from rxweave.artifacts import atomic_path, write_json
from rxweave.config import EmbedSettings
from rxweave.embed.train import Trained


def save_model(trained: Trained, settings: EmbedSettings, folder: Path) -> None:
    """Write `model.safetensors` (encoder and decoder), `config.json` and `history.json` into a folder."""
    weights = {
        f"{part}.{name}": tensor.detach().cpu().contiguous()
        for part, module in (("encoder", trained.encoder), ("decoder", trained.decoder))
        for name, tensor in module.state_dict().items()
    }
    with atomic_path(folder / "model.safetensors") as temporary:
        save_file(weights, temporary)
    write_json(
        folder / "config.json",
        {"model": "hgt", "settings": settings.model_dump(mode="json"), "shape": trained.encoder.shape},
    )
    write_json(folder / "history.json", trained.history)
