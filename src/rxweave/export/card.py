"""The text that goes with exported files: what the columns are, where they come from, what they are not."""

from __future__ import annotations

from collections.abc import Sequence

from rxweave import __version__
from rxweave.export.content import NOT_ADVICE, Content

WHAT = {
    "parquet": "`embeddings.parquet`: node columns and `embedding`, a fixed-size list of float32. "
    "`predictions.parquet`: every row of the run's predictions.",
    "csv": "`embeddings.csv`: node columns and `emb_0, emb_1, …`. `predictions.csv`: best new pairs.",
    "npy": "`embeddings.npy`: float32, nodes × dimensions. `embeddings.tsv`: the node of each row, in order.",
    "h5ad": "`embeddings.h5ad`: `X` and `obsm['X_hgt']` the vectors, `obs` the nodes, `uns['rxweave']` how they came.",
    "word2vec": "`embeddings.vec`: word2vec's text format. `words.tsv`: which node a word is.",
    "projector": "`tensors.tsv`, `metadata.tsv`: load both at projector.tensorflow.org or in TensorBoard.",
    "kgx": "`predictions_nodes.tsv`, `predictions_edges.tsv`: best new pairs in Biolink's KGX format, every edge with "
    "`knowledge_level=prediction` and `agent_type=computational_model`; `score` is `prob_treats`.",
    "neo4j": "`nodes.csv`, `predictions.csv`: for `neo4j-admin database import full --nodes=nodes.csv "
    "--relationships=predictions.csv`, or with `load.cypher` (Neo4j) or `load_memgraph.cypher` (Memgraph).",
}


def card(content: Content, formats: Sequence[str]) -> str:
    """Give the README of an export, in Markdown."""
    embeddings = content.embeddings
    listed = "\n".join(f"- `{name}/`: {WHAT[name]}" for name in formats)
    how = "\n".join(
        f"- {key}: {embeddings.metadata[key]}" for key in ("model", "seed", "split") if key in embeddings.metadata
    )
    pairs = (
        "The run has no predictions: it was not ranked."
        if content.predictions_file is None
        else f"Best new pairs: the {content.top:,} best drugs of each disease, without those that the graph "
        "already names as a treatment of it."
    )
    return f"""# {content.graph_name}: embeddings and predictions

Exported by rxweave {__version__} from a run on {content.graph_name}: {embeddings.num_nodes:,} nodes of
{len(embeddings.node_types)} types, {embeddings.dim} dimensions.

**{NOT_ADVICE}** A score says how much a pair looks like known treatments in this graph; nobody has tested it.

## Files

{listed}

{pairs}

## Columns

- `node_key`: unique: type, source and id. `node_id`: as the source writes it; ids of different types may be equal.
- `node_name`, `node_type`, `node_source`: name, type, and the database that the id is from.
- `embedding`, `emb_…`, `X_hgt`: the node's vector. Nodes without facts have one too, but nothing to base it on.
- `rank`: 1 is the best of all pairs. `prob_treats`, `prob_not_treat`, `prob_unknown`: probabilities of the ranker.
- `confidence`: HIGH from 0.7, MEDIUM from 0.4, else LOW. `known`: the pair is a treatment in the graph, no prediction.
- `percentile_for_disease`, `percentile_for_drug`: how many in a hundred of the other drugs (diseases) score lower.

## How they were made

{how}

Quality of this run, with baselines and intervals: its `08_reporting/report.html` and `metrics.json`.

## Licence of the data

{content.licence}
"""
