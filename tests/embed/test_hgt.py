"""Our transformer layer against PyG's HGTConv with the same weights, and the rank of what comes out."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch

from rxweave.embed.attention import build_index
from rxweave.embed.features import svd_features
from rxweave.embed.hgt import HGT, HGTLayer, HGTShape
from rxweave.embed.spectrum import numerical_rank
from rxweave.graph.build import Graph, build_graph
from rxweave.kg.demo import demo_kg

HIDDEN, HEADS = 16, 4


def shape_of(graph: Graph, **sizes: int) -> HGTShape:
    sizes = {"feature_dim": HIDDEN, "hidden_dim": HIDDEN, "embedding_dim": 32, "num_heads": HEADS, **sizes}
    return HGTShape(
        type_offsets=tuple(graph.type_offsets.tolist()),
        num_relations=build_index(graph).num_relations,
        **sizes,
    )


def randomised(layer: torch.nn.Module) -> None:
    generator = torch.Generator().manual_seed(9)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64) * 0.3)


@pytest.fixture
def pyg_conv(small_graph: Graph):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyG announces deprecations of torch at import
        from torch_geometric.nn import HGTConv

        data = small_graph.to_pyg()
        return HGTConv(HIDDEN, HIDDEN, data.metadata(), heads=HEADS).double(), data


@pytest.mark.parametrize("attention", ["csr", "reference"])
def test_layer_agrees_with_pyg_hgtconv_outputs_and_gradients(small_graph: Graph, pyg_conv, attention: str) -> None:
    conv, data = pyg_conv
    layer = HGTLayer(shape_of(small_graph), torch.Generator().manual_seed(0), attention).double()
    randomised(layer)
    edge_types = data.edge_types
    with torch.no_grad():
        for t, node_type in enumerate(small_graph.node_types):
            conv.kqv_lin.lins[node_type].weight.copy_(key_first(layer.query_key_value.weight[t]))
            conv.kqv_lin.lins[node_type].bias.copy_(key_first(layer.query_key_value.bias[t]))
            conv.out_lin.lins[node_type].weight.copy_(layer.output.weight[t])
            conv.out_lin.lins[node_type].bias.copy_(layer.output.bias[t])
            conv.skip[node_type].copy_(layer.skip[t : t + 1])
        ours_of = {edge_type: r for r, edge_type in enumerate(directed_types(small_graph))}
        # PyG keeps the relation matrices head-major: block head * relations + relation.
        for theirs, edge_type in enumerate(edge_types):
            r = ours_of[tuple(edge_type)]
            for head in range(HEADS):
                block = head * len(edge_types) + theirs
                conv.k_rel.weight[block].copy_(layer.to_key[r, head])
                conv.v_rel.weight[block].copy_(layer.to_message[r, head])
            conv.p_rel["__".join(edge_type)].copy_(layer.prior[r][None])

    x = torch.randn(small_graph.num_nodes, HIDDEN, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    ours_in, theirs_in = x.clone().requires_grad_(), x.clone().requires_grad_()
    ours = layer(ours_in, build_index(small_graph))
    rows = {t: small_graph.rows_of(t) for t in small_graph.node_types}
    out = conv({t: theirs_in[r] for t, r in rows.items()}, data.edge_index_dict)
    theirs = torch.cat([out[t] for t in small_graph.node_types])
    torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-10)

    weight = torch.linspace(-1, 1, ours.numel(), dtype=torch.float64).reshape(ours.shape)
    (ours * weight).sum().backward()
    (theirs * weight).sum().backward()
    torch.testing.assert_close(ours_in.grad, theirs_in.grad, rtol=1e-8, atol=1e-9)
    for t, node_type in enumerate(small_graph.node_types):
        for mine, other, ordered in (
            (layer.query_key_value, conv.kqv_lin.lins[node_type], key_first),
            (layer.output, conv.out_lin.lins[node_type], lambda rows: rows),
        ):
            torch.testing.assert_close(ordered(mine.weight.grad[t]), other.weight.grad, rtol=1e-8, atol=1e-9)
            torch.testing.assert_close(ordered(mine.bias.grad[t]), other.bias.grad, rtol=1e-8, atol=1e-9)
        torch.testing.assert_close(layer.skip.grad[t : t + 1], conv.skip[node_type].grad, rtol=1e-8, atol=1e-9)
    for theirs_ix, edge_type in enumerate(edge_types):
        r = ours_of[tuple(edge_type)]
        blocks = [head * len(edge_types) + theirs_ix for head in range(HEADS)]
        torch.testing.assert_close(layer.to_key.grad[r], conv.k_rel.weight.grad[blocks], rtol=1e-8, atol=1e-9)
        torch.testing.assert_close(layer.to_message.grad[r], conv.v_rel.weight.grad[blocks], rtol=1e-8, atol=1e-9)
        torch.testing.assert_close(
            layer.prior.grad[r][None], conv.p_rel["__".join(edge_type)].grad, rtol=1e-8, atol=1e-9
        )


def key_first(rows: torch.Tensor) -> torch.Tensor:
    """Our order is query, key, value; PyG's is key, query, value."""
    query, key, value = rows.chunk(3)
    return torch.cat([key, query, value])


def directed_types(graph: Graph) -> list[tuple[str, str, str]]:
    """Edge types in the order our index numbers them."""
    types = []
    for rel in graph.relations:
        types.append((rel.source_type, rel.name, rel.target_type))
        if not rel.symmetric:
            types.append((rel.target_type, f"rev_{rel.name}", rel.source_type))
    return types


def test_output_has_rank_above_hidden_plus_one(small_graph: Graph) -> None:
    shape = shape_of(small_graph, embedding_dim=32)
    encoder = HGT(shape, generator=torch.Generator().manual_seed(0))
    features = torch.randn(small_graph.num_nodes, HIDDEN, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        z = encoder(features, build_index(small_graph))
    assert z.shape == (small_graph.num_nodes, 32)
    assert numerical_rank(z.numpy()) > HIDDEN + 1


def test_full_size_embeddings_use_more_directions_than_the_last_layer_has() -> None:
    """512 dimensions from layers 256 wide: all earlier states are needed, the last one alone ends at rank 257."""
    graph = build_graph(demo_kg(num_nodes=800, num_edges=12000))
    index = build_index(graph)
    shape = HGTShape(tuple(graph.type_offsets.tolist()), index.num_relations)
    assert (shape.feature_dim, shape.hidden_dim, shape.embedding_dim, shape.num_heads) == (256, 256, 512, 8)
    encoder = HGT(shape, generator=torch.Generator().manual_seed(0)).double()
    features = torch.from_numpy(svd_features(graph, 256, seed=0)).double()
    with torch.no_grad():
        z = encoder(features, index)
        last = features
        for layer in encoder.layers:
            last = layer(last, index)
        bias = torch.randn(512, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
        from_last_alone = torch.nn.functional.layer_norm(last @ encoder.output_weight[:, -256:].T + bias, (512,))
    assert numerical_rank(z.numpy()) == 511  # LayerNorm takes the mean out of each row, and with it one direction
    assert numerical_rank(last.numpy()) <= 256
    assert 250 < numerical_rank(from_last_alone.numpy()) <= 257


def test_constant_features_give_every_node_of_a_one_relation_type_one_point(small_graph: Graph) -> None:
    """Why every node needs an identity: attention over equal values is that value, whatever the weights."""
    layer = HGTLayer(shape_of(small_graph), torch.Generator().manual_seed(0)).double()
    randomised(layer)
    pathways = small_graph.rows_of("pathway")  # linked to genes only, by one relation
    linked = np.flatnonzero(small_graph.degrees[pathways] > 0)
    index = build_index(small_graph)
    with torch.no_grad():
        constant = layer(torch.ones(small_graph.num_nodes, HIDDEN, dtype=torch.float64), index)
        features = svd_features(small_graph, HIDDEN, seed=0)
        distinct = layer(torch.from_numpy(features).double(), index)
    assert np.ptp(constant[pathways].numpy()[linked], axis=0).max() < 1e-12
    assert numerical_rank(distinct[pathways].numpy()[linked]) == HIDDEN


def test_input_is_projected_when_feature_and_hidden_sizes_differ(small_graph: Graph) -> None:
    encoder = HGT(shape_of(small_graph, feature_dim=24), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        z = encoder(torch.randn(small_graph.num_nodes, 24), build_index(small_graph))
    assert z.shape == (small_graph.num_nodes, 32)
