"""What is alive at each stage of training, in bytes, from the sizes of the graph and the settings.

It follows `state.py`, `step.py` and `attention/` line by line: a tensor that those keep longer, or no longer, belongs
here too. Names: N nodes, H hidden_dim, D embedding_dim, L layers; a state of a layer is N × H float32.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from rxweave.config import EmbedSettings
from rxweave.embed.attention.gather import CHUNK_EDGES
from rxweave.embed.layerwise import EDGES_AT_ONCE
from rxweave.embed.link_loss import FACTS_AT_ONCE
from rxweave.embed.memory_drawn import drawn_part
from rxweave.embed.memory_shape import Flow, GraphShape
from rxweave.embed.objective import CONTRASTIVE_NODES
from rxweave.embed.rowwise import ROWS

Parts = dict[str, int]
"""Bytes by what holds them."""

REAL = 4
"""Bytes of a float32, or of a 32-bit index."""
LONG = 8
SVD_OVERSAMPLING = 10
SVD_COPIES = 7
"""Matrices of nodes × (features + oversampling) that the randomised SVD holds at once: measured."""
TEMPORARY = ("attention", "dense maps", "scoring")
"""Parts of a stage that are made of buffers asked for and freed many times within it."""
PIECE_EDGES = 256
"""Edges after which `fused_cuda` cuts a row."""


@dataclass(frozen=True)
class Stage:
    """A stage of training at its peak: what it adds, by name, to what is held before and after it."""

    name: str
    parts: Parts

    @property
    def bytes(self) -> int:
        return sum(self.parts.values())


@dataclass(frozen=True)
class Sizes:
    """The tensors that training is made of, in bytes."""

    shape: GraphShape
    settings: EmbedSettings
    attention: str
    precision: str
    from_file: int = 0
    """Numbers that `feature_file` adds to those of each node (`feature_file.added_width`)."""
    on_gpu: bool = False
    """Whether training has a memory of its own, in which nothing is that numpy holds."""

    @property
    def rounded(self) -> int:
        """Bytes of a number as matrix products take it in."""
        return 2 if self.precision == "bf16" else REAL

    @property
    def state(self) -> int:
        return REAL * self.shape.num_nodes * self.settings.hidden_dim

    @property
    def query_key_value(self) -> int:
        return 3 * self.rounded * self.shape.num_nodes * self.settings.hidden_dim

    @property
    def embeddings(self) -> int:
        return REAL * self.shape.num_nodes * self.settings.embedding_dim

    @property
    def features(self) -> int:
        return REAL * self.shape.num_nodes * self.feature_width

    @property
    def feature_width(self) -> int:
        """Numbers that each node starts from."""
        return self.settings.feature_dim + self.from_file

    @property
    def per_head(self) -> int:
        """One number for each node and head."""
        return REAL * self.shape.num_nodes * self.settings.num_heads

    @property
    def learns_features(self) -> bool:
        return self.settings.features == "learned"

    @property
    def has_input_map(self) -> bool:
        return self.feature_width != self.settings.hidden_dim

    @property
    def weights(self) -> int:
        """Of encoder and decoder, as `HGT` and `DistMult` make them."""
        s, types = self.settings, len(self.shape.type_sizes)
        directed = sum(1 for _ in self.shape.flows())
        hidden, head_dim = s.hidden_dim, s.hidden_dim // s.num_heads
        layer = types * (4 * hidden * hidden + 4 * hidden + 1)
        layer += directed * s.num_heads * (2 * head_dim * head_dim + 1)
        mapped_in = types * (self.feature_width + 1) * hidden if self.has_input_map else 0
        out = (hidden * (s.num_layers + 1) + 1) * s.embedding_dim
        decoder = len(self.shape.relations) * (s.embedding_dim + 1)
        return REAL * (s.num_layers * layer + mapped_in + out + decoder)

    def of(self, num_nodes: int) -> Sizes:
        """Give the sizes of tensors for so many nodes."""
        return replace(self, shape=replace(self.shape, type_sizes=(num_nodes,)))

    def block(self, width: int) -> int:
        """One block of rows in the dense maps."""
        return REAL * min(ROWS, self.shape.num_nodes) * width


def lasting(sizes: Sizes) -> Parts:
    """Give what is held from the preparation to the end: index, known ends of facts, features, weights, optimiser."""
    index = 0 if sizes.settings.batching == "sampled" else message_index(sizes)
    by_numpy = 0 if sizes.on_gpu else sum(lasting_on_host(sizes).values())
    return {"graph index": index + by_numpy, **_saved(sizes)}


def lasting_on_host(sizes: Sizes) -> Parts:
    """Give what numpy holds to the end, wherever the training runs: known ends, edges to draw neighbours from."""
    known = sum(
        2 * LONG * relation.facts * (2 if relation.symmetric else 1)
        + LONG * (relation.source_type + relation.target_type)
        for relation in sizes.shape.relations
    )
    drawn_from = sum(8 * flow.edges + 12 * flow.pairs for flow in sizes.shape.flows())
    return {"known facts": known, "edges to draw": drawn_from if sizes.settings.batching == "sampled" else 0}


def message_index(sizes: Sizes) -> int:
    """Give the bytes of the whole graph's `MessageIndex`."""
    return sum(20 * flow.edges + 12 * (flow.pairs + flow.senders) for flow in sizes.shape.flows())


def _saved(sizes: Sizes) -> Parts:
    """What a checkpoint holds."""
    learnt = sizes.weights + (sizes.features if sizes.learns_features else 0)
    return {
        "features": sizes.features,
        "weights": sizes.weights,
        "optimiser": 2 * learnt,
        "best weights": learnt if sizes.settings.early_stopping is not None else 0,
    }


def stages_on_host(sizes: Sizes) -> Iterator[Stage]:
    """Give the stages of a training on a GPU that take most of the machine's own memory, beside `lasting_on_host`."""
    if sizes.settings.batching == "full":
        # Relation by relation, then joined; on the GPU it is before the features are made.
        yield Stage("laying out the graph", {"graph index": 2 * message_index(sizes)})
    made = _preparation(sizes)
    yield Stage(made.name, {**made.parts, "features": made.parts["features"] + sizes.features})
    yield Stage("saving a checkpoint", _saved(sizes))
    of_layer = sizes.state + 2 * sizes.query_key_value // 3 if sizes.settings.batching == "sampled" else 0
    yield Stage("embedding all nodes", {"layers": of_layer, "embeddings": sizes.embeddings})


def stages(sizes: Sizes) -> Iterator[Stage]:
    """Give every stage whose peak may be that of the training. All but the first stand on `lasting`."""
    s, layers = sizes.settings, sizes.settings.num_layers
    if not sizes.on_gpu:
        yield _preparation(sizes)
    if s.batching == "sampled":
        yield from _of_drawn_part(sizes)
        yield _layer_by_layer(sizes)
        return
    index = _visible_index(sizes)
    kept = _kept_by_forward(sizes)
    forward, backward = _attention_scratch(sizes, list(sizes.shape.flows(s)))
    block_in, block_out = sizes.block(s.hidden_dim), sizes.block(s.embedding_dim)
    through = {"graph index": index, "layers": kept}
    # The last layer's forward pass: its result does not exist yet, or what attention needed is gone.
    in_turn = sizes.query_key_value  # of one layer at a time: the backward pass makes it again
    yield Stage(
        "passing messages",
        {**through, "layers": kept - sizes.state + in_turn, "attention": max(forward, sizes.state + 4 * block_in)},
    )
    yield Stage("making embeddings", {**through, "embeddings": sizes.embeddings, "dense maps": 4 * block_out})
    scored = {**through, "embeddings": sizes.embeddings, "gradients": sizes.embeddings}
    yield Stage("scoring facts", {**scored, "scoring": _scoring(sizes)})
    yield Stage("likeness of nodes", {**scored, "scoring": _contrast(sizes)})
    of_states = sizes.state * (layers + int(sizes.learns_features or sizes.has_input_map))
    yield Stage(
        "passing gradients to the layers",
        {**scored, "gradients": sizes.embeddings + of_states, "dense maps": 4 * block_out},
    )
    # Of the last layer, which comes first: gradients of its input, of what it received, of queries, keys and values.
    in_layer = 2 * sizes.state + 3 * sizes.state + sizes.per_head
    rounding = sizes.query_key_value if sizes.precision == "bf16" else 0
    yield Stage(
        "passing gradients through the layers",
        {
            **through,
            "layers": kept + in_turn,
            "gradients": of_states + in_layer + sizes.weights // layers,
            "attention": max(backward, rounding, 6 * block_in),
        },
    )
    whole, _ = _attention_scratch(sizes, list(sizes.shape.flows()))
    states = (layers + 1) * sizes.state
    yield Stage(
        "embedding all nodes",
        {
            "layers": states,
            "embeddings": sizes.embeddings,
            "dense maps": max(4 * block_out, sizes.query_key_value + whole - sizes.embeddings),
        },
    )


def _preparation(sizes: Sizes) -> Stage:
    """Features by SVD, or the pairs of nodes that share genes: both before there is a model."""
    shape = sizes.shape
    adjacency = 2 * REAL * shape.num_edges
    width = sizes.settings.feature_dim + SVD_OVERSAMPLING
    svd = SVD_COPIES * REAL * shape.num_nodes * width + 4 * adjacency if sizes.settings.features == "svd" else 0
    shared = max(shape.gene_meetings, default=0) if sizes.settings.contrastive_weight else 0
    # float64 counts with row and column; their coordinates again; the overlap; what passes the threshold
    # The file's vectors as read, in float64 to be centred, and as they are kept; features without them, and with.
    read = 5 * REAL * shape.num_nodes * sizes.from_file
    return Stage("preparing the graph", {"features": svd, "feature file": read, "likeness": 48 * shared})


def _of_drawn_part(sizes: Sizes) -> Iterator[Stage]:
    """Under batching=sampled: a micro-batch on its part of the graph; see `sampled_step.py`."""
    s, hops = sizes.settings, drawn_part(sizes.shape, sizes.settings)
    seeds, first = hops[-1].kept, hops[0].known
    wide = REAL * s.hidden_dim
    index = sum(20 * hop.edges + 12 * hop.rows for hop in hops)
    most_edges = max(hop.edges for hop in hops)
    # Of each draw: places of edges, relation by relation; what passed; the block sorted both ways.
    drawn = 0 if sizes.on_gpu else 60 * most_edges
    yield Stage("drawing neighbours", {"graph index": index, "drawn edges": drawn, **_gradients(sizes)})
    features = REAL * first * sizes.feature_width
    dropped = 2 * features if s.dropout else features
    kept = [dropped + (wide * first if sizes.has_input_map else 0)]
    for number, hop in enumerate(hops):
        # What was received, of all; of the kept: that, what stood before, what comes after, earlier states.
        kept.append(wide * (hop.known + (3 + number) * hop.kept) + REAL * s.num_heads * hop.known)
    through = {"graph index": index, **_gradients(sizes)}
    for number, hop in enumerate(hops):
        part = sizes.of(hop.known)
        forward, backward = _attention_scratch(part, list(hop.flows))
        rounding = part.query_key_value if sizes.precision == "bf16" else 0
        yield Stage(
            "passing messages",
            {**through, "layers": sum(kept[: number + 2]) + part.query_key_value, "attention": forward},
        )
        # Of the layer: gradients of what it received, of queries, keys and values, and of its input.
        of_layer = wide * (hop.known + 2 * hop.kept) + 3 * part.state + part.state
        yield Stage(
            "passing gradients through the layers",
            {
                **through,
                "layers": sum(kept[: number + 2]) + part.query_key_value,
                "gradients": of_layer + (number + 1) * wide * hop.kept + sizes.weights,
                "attention": max(backward, rounding),
            },
        )
    z = REAL * seeds * s.embedding_dim
    scored = {**through, "layers": sum(kept), "embeddings": z, "gradients": z + sizes.weights}
    yield Stage("scoring facts", {**scored, "scoring": _scoring(sizes)})
    yield Stage("likeness of nodes", {**scored, "scoring": _contrast(sizes)})


def _gradients(sizes: Sizes) -> Parts:
    """Between micro-batches: the sums of those before; a learnt table's is as large as all features, and another's."""
    return {"gradients": sizes.weights + (2 * sizes.features if sizes.learns_features else 0)}


def _layer_by_layer(sizes: Sizes) -> Stage:
    """Under batching=sampled: states of one layer, keys and values there, the embeddings, and what a block of edges
    takes; see `layerwise.py`.
    """
    s = sizes.settings
    carried = 2 * sizes.query_key_value // 3
    part = sizes.of(min(sizes.shape.num_nodes, EDGES_AT_ONCE))
    share = min(1.0, EDGES_AT_ONCE / max(sizes.shape.num_edges, 1))
    flows = [
        Flow(*(round(getattr(flow, name) * share) for name in ("edges", "pairs", "senders")))
        for flow in sizes.shape.flows()
    ]
    attention, _ = _attention_scratch(part, flows)
    block = part.query_key_value + 2 * part.query_key_value // 3 + part.state
    on_cpu = {"layers": sizes.state + carried, "embeddings": sizes.embeddings}
    return Stage(
        "embedding all nodes",
        {
            **({} if sizes.on_gpu else on_cpu),
            "dense maps": max(4 * sizes.block(max(s.embedding_dim, 3 * s.hidden_dim)), block),
            "attention": attention,
        },
    )


def _visible_index(sizes: Sizes) -> int:
    """The index of a step: edge arrays anew, pairs and senders shared with the whole index."""
    flows = list(sizes.shape.flows(sizes.settings))
    edges, rows = sum(flow.edges for flow in flows), sum(flow.pairs + flow.senders for flow in flows)
    written_out = 0 if sizes.attention.startswith("fused") else REAL * edges
    return 20 * edges + REAL * rows + written_out


def _kept_by_forward(sizes: Sizes) -> int:
    """What the forward pass leaves for the backward pass."""
    dropped = sizes.features if sizes.settings.dropout else 0
    if sizes.learns_features and sizes.settings.dropout:
        dropped += sizes.features  # what was kept, as a mask
    layer = 2 * sizes.state + sizes.per_head
    if sizes.attention == "reference":
        head_dim = sizes.settings.hidden_dim // sizes.settings.num_heads
        edges = sum(flow.edges for flow in sizes.shape.flows(sizes.settings))
        layer += REAL * edges * sizes.settings.hidden_dim * (2 * head_dim + 8)
    return dropped + (sizes.state if sizes.has_input_map else 0) + sizes.settings.num_layers * layer


def _attention_scratch(sizes: Sizes, flows: list[Flow]) -> tuple[int, int]:
    """What attention holds beside its inputs, its result and its gradients: forward, backward."""
    hidden, heads = sizes.settings.hidden_dim, sizes.settings.num_heads
    nodes, head_dim = sizes.shape.num_nodes, sizes.settings.hidden_dim // sizes.settings.num_heads
    edges, pairs, senders = (sum(getattr(flow, name) for flow in flows) for name in ("edges", "pairs", "senders"))
    if sizes.attention == "fused_cpu":
        most_edges, most_pairs = (max((getattr(f, name) for f in flows), default=0) for name in ("edges", "pairs"))
        keys = 2 * max((flow.senders for flow in flows if flow.senders < flow.pairs), default=0)
        forward = REAL * hidden * (2 * most_pairs + keys) + 2 * sizes.per_head
        return forward, REAL * hidden * (4 * most_pairs + 2 * keys) + 2 * REAL * heads * most_edges
    if sizes.attention == "csr":
        forward = REAL * (head_dim * (2 * pairs + 4 * nodes) + 6 * edges)
        return forward, REAL * (head_dim * (4 * pairs + senders + 6 * nodes) + 8 * edges)
    if sizes.attention == "fused_cuda":
        pieces = edges // PIECE_EDGES
        forward = REAL * hidden * (2 * pairs + pieces) + 8 * LONG * pairs
        both = REAL * hidden * (2 * pairs + max(2 * pairs + 2 * pieces, 2 * senders + pieces))
        return forward, both + 2 * REAL * heads * pairs
    if sizes.attention == "gather":
        chunk = REAL * hidden * CHUNK_EDGES
        return 5 * chunk + 2 * sizes.per_head, 6 * chunk
    return 2 * REAL * edges * hidden * head_dim, 4 * REAL * edges * hidden * head_dim


def _scoring(sizes: Sizes) -> int:
    """The largest batch of facts with its negatives; see `link_loss.py`."""
    s, most = sizes.settings, 0
    for relation in sizes.shape.relations:
        facts = sizes.shape.scored(relation, s)
        negatives = relation.negatives(s)
        together = min(facts, FACTS_AT_ONCE)
        group = REAL * together * (9 * s.embedding_dim + 3 * max(negatives))
        others = (REAL + sizes.rounded) * s.embedding_dim * sum(negatives)
        masks = facts * (sum(negatives) + max(negatives))
        most = max(most, group + others + masks)
    return most


def _contrast(sizes: Sizes) -> int:
    """Of the contrastive loss: matrices of nodes × nodes, and vectors of these nodes."""
    if not sizes.settings.contrastive_weight:
        return 0
    nodes = [
        min(size, CONTRASTIVE_NODES)
        for size, shared in zip(sizes.shape.alike_types, sizes.shape.gene_meetings, strict=True)
        if shared
    ]
    most = max(nodes, default=0)
    return REAL * most * (7 * most + 6 * sizes.settings.embedding_dim)
