"""The yardstick: the patched HGTConv is the shipped one, only faster, and the network is ours in size."""

from __future__ import annotations

import warnings

import pytest
import torch

from rxweave.embed.attention import build_index
from rxweave.embed.hgt import HGT, HGTShape
from rxweave.graph.build import Graph
from rxweave.graph.primekg_shape import primekg_shaped

pytest.importorskip("torch_geometric", exc_type=ImportError)
SIZES = {"hidden_dim": 16, "embedding_dim": 24, "num_layers": 2, "num_heads": 4}


@pytest.fixture(scope="module")
def graph() -> Graph:
    return primekg_shaped(0.0005, seed=0)


@pytest.fixture(scope="module")
def encoders(graph: Graph):
    """The shipped and the patched encoder with the same weights, and what to put in."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch_geometric announces deprecations of torch at import
        from rxweave.benchmark.pyg_baseline import PyGEncoder

        data = graph.to_pyg()
    shipped, patched = (PyGEncoder(data.metadata(), **SIZES, patched=patched).double() for patched in (False, True))
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in shipped.parameters():
            weight.copy_(torch.randn(weight.shape, generator=generator, dtype=torch.float64) * 0.3)
    patched.load_state_dict(shipped.state_dict())
    features = {
        node_type: torch.randn(graph.num_of(node_type), 16, generator=generator, dtype=torch.float64)
        for node_type in graph.node_types
    }
    return shipped, patched, features, dict(data.edge_index_dict)


def outputs_and_gradients(encoder, features, edges) -> list[torch.Tensor]:
    inputs = {node_type: x.clone().requires_grad_() for node_type, x in features.items()}
    out = list(encoder(inputs, edges).values())
    torch.autograd.backward(out, [torch.linspace(-1, 1, z.numel(), dtype=z.dtype).reshape(z.shape) for z in out])
    found = [*out, *(x.grad for x in inputs.values()), *(weight.grad for weight in encoder.parameters())]
    encoder.zero_grad()
    return found


def test_patched_hgtconv_equals_the_shipped_one_outputs_and_all_gradients(encoders) -> None:
    shipped, patched, features, edges = encoders
    expected, got = (outputs_and_gradients(encoder, features, edges) for encoder in (shipped, patched))
    assert len(expected) > 100
    for ours, theirs in zip(got, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-11)


def test_a_wrong_order_of_the_matrices_would_be_seen(encoders, monkeypatch: pytest.MonkeyPatch) -> None:
    shipped, patched, features, edges = encoders
    conv = type(patched.layers[0])
    by_type = conv._per_edge_type
    monkeypatch.setattr(conv, "_per_edge_type", lambda self, weight: by_type(self, weight)[::-1])
    with torch.no_grad():
        right, wrong = shipped(features, edges), patched(features, edges)
    assert any((right[node_type] - wrong[node_type]).abs().max() > 1e-3 for node_type in right)


def test_both_encoders_have_as_many_weights_and_the_same_output_size(graph: Graph, encoders) -> None:
    _, patched, features, edges = encoders
    shape = HGTShape(tuple(graph.type_offsets.tolist()), build_index(graph).num_relations, feature_dim=16, **SIZES)
    ours = HGT(shape, generator=torch.Generator().manual_seed(0))
    assert sum(p.numel() for p in ours.parameters()) == sum(p.numel() for p in patched.parameters())
    with torch.no_grad():
        theirs = torch.cat(list(patched(features, edges).values()))
        z = ours(torch.cat(list(features.values())).float(), build_index(graph))
    assert theirs.shape == z.shape == (graph.num_nodes, 24)
