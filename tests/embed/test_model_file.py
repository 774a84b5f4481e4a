"""A saved model gives its embeddings again, bit for bit, and a damaged one is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from rxweave.config import EmbedSettings
from rxweave.embed.attention import build_index
from rxweave.embed.features import svd_features
from rxweave.embed.model_file import load_model, save_model
from rxweave.embed.train import Trained, train
from rxweave.errors import InputError
from rxweave.graph.build import Graph

SETTINGS = EmbedSettings(
    embedding_dim=48, hidden_dim=32, feature_dim=24, num_heads=4, num_epochs=2, num_negatives=16, device="cpu"
)
SEED = 5


@pytest.fixture(scope="module")
def trained(small_graph: Graph) -> Trained:
    return train(small_graph, SETTINGS, seed=SEED)


@pytest.fixture
def saved(trained: Trained, small_graph: Graph, tmp_path: Path) -> Path:
    save_model(trained, small_graph, SETTINGS, SEED, tmp_path)
    return tmp_path


def change_config(folder: Path, **values: object) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def test_a_loaded_model_with_spectral_features_gives_the_same_vectors(
    saved: Path, trained: Trained, small_graph: Graph
) -> None:
    encoder, decoder, features, config = load_model(saved)
    assert features is None
    again = svd_features(small_graph, config["settings"]["feature_dim"], seed=config["seed"])
    with torch.no_grad():
        vectors = encoder(torch.from_numpy(again), build_index(small_graph)).numpy()
    np.testing.assert_array_equal(vectors, trained.vectors)
    for name, tensor in trained.decoder.state_dict().items():
        assert torch.equal(decoder.state_dict()[name], tensor)


def test_learned_features_are_saved_too(small_graph: Graph, tmp_path: Path) -> None:
    settings = SETTINGS.but(features="learned")
    trained = train(small_graph, settings, seed=SEED)
    save_model(trained, small_graph, settings, SEED, tmp_path)
    encoder, _, features, _ = load_model(tmp_path)
    assert features is not None
    with torch.no_grad():
        vectors = encoder(features, build_index(small_graph)).numpy()
    np.testing.assert_array_equal(vectors, trained.vectors)


def test_the_configuration_says_what_the_rows_mean(saved: Path, small_graph: Graph) -> None:
    *_, config = load_model(saved)
    assert config["seed"] == SEED
    assert EmbedSettings(**config["settings"]) == SETTINGS
    assert config["node_types"] == list(small_graph.node_types)
    assert config["shape"]["type_offsets"] == small_graph.type_offsets.tolist()
    relations = [(r["source_type"], r["name"], r["target_type"], r["symmetric"]) for r in config["relations"]]
    assert relations == [(r.source_type, r.name, r.target_type, r.symmetric) for r in small_graph.relations]


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_a_missing_file_is_named(saved: Path, name: str) -> None:
    (saved / name).unlink()
    with pytest.raises(InputError, match=rf"holds no trained model \({name} is missing\)"):
        load_model(saved)


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.999])
def test_truncated_weights_are_refused(saved: Path, share: float) -> None:
    path = saved / "model.safetensors"
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(InputError, match=r"model\.safetensors is cut short"):
        load_model(saved)


def test_a_truncated_configuration_is_refused(saved: Path) -> None:
    path = saved / "config.json"
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(InputError, match="does not hold a complete model"):
        load_model(saved)


@pytest.mark.parametrize("text", ["[]", "{}", '{"saved_as": "another tool"}', "\udcff"])
def test_a_configuration_of_something_else_is_refused(saved: Path, text: str) -> None:
    (saved / "config.json").write_text(text, encoding="utf-8", errors="surrogateescape")
    with pytest.raises(InputError, match="does not hold a complete model"):
        load_model(saved)


def test_weights_of_another_model_are_refused(saved: Path, trained: Trained, small_graph: Graph) -> None:
    other = saved / "other"
    save_model(train(small_graph, SETTINGS, seed=SEED + 1), small_graph, SETTINGS, SEED + 1, other)
    (other / "model.safetensors").replace(saved / "model.safetensors")
    with pytest.raises(InputError, match=r"not the file that config\.json was written for"):
        load_model(saved)


def replace_weights(folder: Path, weights: dict[str, torch.Tensor]) -> None:
    """Other weights, and a checksum that fits them: only their names and shapes can be wrong."""
    import hashlib

    save_file(weights, folder / "model.safetensors")
    change_config(folder, model_sha256=hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest())


def test_weights_with_wrong_names_shapes_or_features_are_refused(saved: Path) -> None:
    weights = load_file(saved / "model.safetensors")
    without = {name: tensor for name, tensor in weights.items() if name != "decoder.relation"}
    replace_weights(saved, without)
    with pytest.raises(InputError, match=r"Missing key.*relation"):
        load_model(saved)
    replace_weights(saved, weights | {"encoder.output_bias": torch.zeros(3)})
    with pytest.raises(InputError, match=r"size mismatch for output_bias"):
        load_model(saved)
    replace_weights(saved, weights | {"features": torch.zeros(3, 24)})
    with pytest.raises(InputError, match="features are 'svd', but"):
        load_model(saved)
    change_config(saved, settings=SETTINGS.but(features="learned").model_dump())
    with pytest.raises(InputError, match=r"features have the shape \(3, 24\)"):
        load_model(saved)


def test_a_configuration_that_contradicts_itself_is_refused(saved: Path) -> None:
    config = json.loads((saved / "config.json").read_text())
    change_config(saved, node_types=config["node_types"][1:])
    with pytest.raises(InputError, match=r"names 4 node types for 5 blocks"):
        load_model(saved)
    change_config(saved, node_types=config["node_types"], relations=config["relations"][1:])
    with pytest.raises(InputError, match="relations have"):
        load_model(saved)
    change_config(saved, relations=config["relations"], settings=config["settings"] | {"num_heads": 0})
    with pytest.raises(InputError, match="num_heads"):
        load_model(saved)
