"""Methods that count: known treatments, facts, shared genes. They take seconds and learn nothing."""

from __future__ import annotations

import numpy as np

from rxweave.benchmark.quality.method import Context, Method, Scores
from rxweave.graph.build import Graph
from rxweave.graph.split import Split
from rxweave.rank.baselines import degree_prior, disease_popularity, drug_popularity, graph_degree_prior
from rxweave.rank.shared_genes import adamic_adar, common_neighbours


def _size(training: Graph) -> tuple[int, int]:
    return training.num_of(training.roles.drug), training.num_of(training.roles.disease)


def _degree_prior(training: Graph, split: Split, _seed: int, _context: Context) -> Scores:
    return degree_prior(split.train, *_size(training))


def _drug_popularity(training: Graph, split: Split, _seed: int, _context: Context) -> Scores:
    return np.array(drug_popularity(split.train, *_size(training)))


def _disease_popularity(training: Graph, split: Split, _seed: int, _context: Context) -> Scores:
    return np.array(disease_popularity(split.train, *_size(training)))


def _graph_degrees(training: Graph, _split: Split, _seed: int, _context: Context) -> Scores:
    return graph_degree_prior(training)


def _common_neighbours(training: Graph, _split: Split, _seed: int, _context: Context) -> Scores:
    return common_neighbours(training)


def _adamic_adar(training: Graph, _split: Split, _seed: int, _context: Context) -> Scores:
    return adamic_adar(training)


COUNTING = (
    Method("degree-prior", "Known treatments of the drug times those of the disease.", _degree_prior),
    Method("drug-popularity", "Known treatments of the drug; all diseases alike.", _drug_popularity),
    Method("disease-popularity", "Known treatments of the disease; all drugs alike.", _disease_popularity),
    Method("graph-degrees", "Facts of the drug times facts of the disease, over all relations.", _graph_degrees),
    Method("common-neighbours", "Genes that drug and disease share.", _common_neighbours),
    Method("adamic-adar", "The same, genes with many facts counting less.", _adamic_adar),
)
