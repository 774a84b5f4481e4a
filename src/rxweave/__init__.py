"""Drug-repurposing evidence from biomedical knowledge graphs that can be trusted.

Start with `rxweave.run(RunSettings(), Path("data"))`, or `rxweave run` on the command line; `pipeline.py` reads top
to bottom. Names are imported when first used, so that `import rxweave` is quick.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from rxweave.added_nodes import Added as Added
    from rxweave.added_nodes import add_nodes as add_nodes
    from rxweave.api import generate_hgt_embeddings as generate_hgt_embeddings
    from rxweave.cluster.clusters import Clusters as Clusters
    from rxweave.cluster.clusters import cluster_nodes as cluster_nodes
    from rxweave.config import ClusterSettings as ClusterSettings
    from rxweave.config import EmbedSettings as EmbedSettings
    from rxweave.config import LoadSettings as LoadSettings
    from rxweave.config import RunSettings as RunSettings
    from rxweave.config import SplitSettings as SplitSettings
    from rxweave.embed.model_file import load_model as load_model
    from rxweave.embed.store import Embeddings as Embeddings
    from rxweave.embed.train import train as train
    from rxweave.errors import RxweaveError as RxweaveError
    from rxweave.explain_run import explain_pair as explain_pair
    from rxweave.export.export import export_run as export_run
    from rxweave.graph.build import Graph as Graph
    from rxweave.graph.build import build_graph as build_graph
    from rxweave.graph.make_split import make_split as make_split
    from rxweave.graph.split import Split as Split
    from rxweave.graph.split import random_split as random_split
    from rxweave.graph.split import training_graph as training_graph
    from rxweave.kg.sources import load_kg as load_kg
    from rxweave.kg.tables import KnowledgeGraph as KnowledgeGraph
    from rxweave.leads import leads_for as leads_for
    from rxweave.pipeline import run as run
    from rxweave.rank.estimator import PairRanker as PairRanker
    from rxweave.rank.metrics import evaluate_ranking as evaluate_ranking
    from rxweave.rank.ranker import fit_ranker as fit_ranker
    from rxweave.readiness.devices import compare_devices as compare_devices
    from rxweave.readiness.quick_test import quick_test as quick_test
    from rxweave.validate.collapse import measure_collapse as measure_collapse
    from rxweave.validate.read import read_embeddings as read_embeddings
    from rxweave.validate.verdict import judge as judge

_HOME = {
    "Added": "rxweave.added_nodes",
    "add_nodes": "rxweave.added_nodes",
    "generate_hgt_embeddings": "rxweave.api",
    "Clusters": "rxweave.cluster.clusters",
    "cluster_nodes": "rxweave.cluster.clusters",
    "ClusterSettings": "rxweave.config",
    "EmbedSettings": "rxweave.config",
    "LoadSettings": "rxweave.config",
    "RunSettings": "rxweave.config",
    "SplitSettings": "rxweave.config",
    "load_model": "rxweave.embed.model_file",
    "Embeddings": "rxweave.embed.store",
    "train": "rxweave.embed.train",
    "RxweaveError": "rxweave.errors",
    "explain_pair": "rxweave.explain_run",
    "export_run": "rxweave.export.export",
    "Graph": "rxweave.graph.build",
    "build_graph": "rxweave.graph.build",
    "make_split": "rxweave.graph.make_split",
    "Split": "rxweave.graph.split",
    "random_split": "rxweave.graph.split",
    "training_graph": "rxweave.graph.split",
    "load_kg": "rxweave.kg.sources",
    "KnowledgeGraph": "rxweave.kg.tables",
    "leads_for": "rxweave.leads",
    "run": "rxweave.pipeline",
    "PairRanker": "rxweave.rank.estimator",
    "evaluate_ranking": "rxweave.rank.metrics",
    "fit_ranker": "rxweave.rank.ranker",
    "compare_devices": "rxweave.readiness.devices",
    "quick_test": "rxweave.readiness.quick_test",
    "measure_collapse": "rxweave.validate.collapse",
    "read_embeddings": "rxweave.validate.read",
    "judge": "rxweave.validate.verdict",
}
__all__ = sorted([*_HOME, "__version__"])


def __getattr__(name: str) -> object:
    if name in _HOME:
        return getattr(importlib.import_module(_HOME[name]), name)
    raise AttributeError(f"module 'rxweave' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
