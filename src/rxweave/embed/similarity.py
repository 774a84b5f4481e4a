"""Which diseases, and which drugs, are alike because they touch the same genes."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from jaxtyping import Int

from rxweave.graph.build import Graph


def gene_sharing(graph: Graph, node_type: str, *, threshold: float) -> sp.csr_matrix:
    """Give the nodes × nodes boolean matrix of pairs whose gene sets overlap by more than `threshold` (Jaccard).

    Gene sets pool every relation between the type and the gene type. The diagonal is empty; without a gene type,
    or for the gene type itself, so is the matrix.
    """
    size = graph.num_of(node_type)
    if graph.roles.gene is None or node_type == graph.roles.gene or graph.roles.gene not in graph.node_types:
        return _pairs(np.empty(0, np.int64), np.empty(0, np.int64), size)
    rows, genes = graph.rows_of(node_type), graph.rows_of(graph.roles.gene)
    nodes, touched = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    for relation, (source, target) in zip(graph.relations, graph.facts, strict=True):
        if (relation.source_type, relation.target_type) == (node_type, graph.roles.gene):
            nodes.append(source - rows.start)
            touched.append(target - genes.start)
        elif (relation.target_type, relation.source_type) == (node_type, graph.roles.gene):
            nodes.append(target - rows.start)
            touched.append(source - genes.start)
    node, gene = np.concatenate(nodes), np.concatenate(touched)
    touches = sp.csr_matrix((np.ones(len(node)), (node, gene)), shape=(size, genes.stop - genes.start))
    touches.data[:] = 1.0
    shared = (touches @ touches.T).tocoo()
    set_size = np.asarray(touches.sum(1)).ravel()
    jaccard = shared.data / (set_size[shared.row] + set_size[shared.col] - shared.data)
    alike = (jaccard > threshold) & (shared.row != shared.col)
    return _pairs(shared.row[alike], shared.col[alike], size)


def _pairs(row: Int[np.ndarray, " pairs"], column: Int[np.ndarray, " pairs"], size: int) -> sp.csr_matrix:
    return sp.csr_matrix((np.ones(len(row), bool), (row, column)), shape=(size, size))
