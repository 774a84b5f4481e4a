"""A small made-up run for the tests of this folder, with names that would break a careless page, and a reader
of HTML that knows nothing of how the page is made.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser

import numpy as np
import polars as pl
from jaxtyping import Float32
from scipy.special import expit

from rxweave.embed.store import Embeddings
from rxweave.embed.train import Epoch
from rxweave.graph.build import Graph, build_graph
from rxweave.graph.split import Split, random_split, training_graph
from rxweave.kg.tables import (
    NODE_COLUMNS,
    FoldedRow,
    InputFile,
    KnowledgeGraph,
    LoadReport,
    RejectedRow,
    Relation,
    Roles,
    Truth,
)
from rxweave.rank.baselines import degree_prior, drug_popularity
from rxweave.rank.metrics import evaluate_ranking
from rxweave.rank.reliability import Reliability, held_out_pairs, measure_reliability
from rxweave.report.page import ReportData
from rxweave.validate.collapse import measure_collapse
from rxweave.validate.verdict import RankingEvidence, SideEvidence, judge

NASTY = '<script>alert(1)</script> & "co"'
DRUGS, DISEASES, GENES = 16, 12, 20
TREATS = Relation("drug", "indication", "disease")
HARMS = Relation("drug", "contraindication", "disease")
OFF_LABEL = Relation("disease", "off-label <use>", "drug")
BINDS = Relation("drug", "target", "gene")
INTERACTS = Relation("gene", "interacts", "gene", symmetric=True)
ROLES = Roles("drug", "disease", "gene", treats=("indication",), contraindicated=("contraindication",))


def made_up_kg(*, seed: int = 0, truth: Truth | None = None, name: str = "made-up") -> KnowledgeGraph:
    """Drugs, diseases, genes and one place without facts; every drug is called something nasty."""
    rng = np.random.default_rng(seed)
    sizes = {"drug": DRUGS, "disease": DISEASES, "gene": GENES, "place": 1}
    nodes = [
        (f"{t}|Test|{i}", f"{t[0].upper()}{i}", f"{t} {i}" + (f" {NASTY}" if t == "drug" else ""), t, "Test")
        for t, size in sizes.items()
        for i in range(size)
    ]
    edges = []
    for relation, share in ((TREATS, 0.3), (HARMS, 0.2), (OFF_LABEL, 0.2), (BINDS, 0.2), (INTERACTS, 0.1)):
        there = rng.random((sizes[relation.source_type], sizes[relation.target_type])) < share
        for s, t in np.argwhere(np.triu(there, 1) if relation.symmetric else there):
            ends = (f"{relation.source_type}|Test|{s}", f"{relation.target_type}|Test|{t}")
            source, target = sorted(ends) if relation.symmetric else ends
            edges.append((source, relation.name, target))
    report = LoadReport(
        source="made up",
        files=(InputFile("folder/edges & more.tsv", 123_456_789, "ab" * 32),),
        rows_read=len(edges) + 6,
        facts=len(edges),
        exact_duplicates=1,
        swapped_duplicates=2,
        rejected_rows=3,
        self_loops=0,
        nodes=len(nodes),
        isolated_nodes=1,
        empty_names=4,
        renamed_ids=5,
        renamed_examples=("D1 is <one> and <another>",),
        rejected_examples=(RejectedRow("edges.tsv", 1234, "relation <b>unknown</b>"),),
        folded_examples=(FoldedRow("exact duplicate", "edges.tsv", 77, "a <i>row</i>"),),
        notes=("Left out: & nothing.",),
    )
    columns = ("source_key", "relation", "target_key")
    return KnowledgeGraph(
        name=name,
        nodes=pl.DataFrame(nodes, schema=dict.fromkeys(NODE_COLUMNS, pl.String), orient="row"),
        edges=pl.DataFrame(edges, schema=dict.fromkeys(columns, pl.String), orient="row"),
        relations=(TREATS, HARMS, OFF_LABEL, BINDS, INTERACTS),
        roles=ROLES,
        report=report,
        truth=truth,
    )


def made_up_run(
    *, collapsed: bool = False, beats_prior: bool = True, truth: Truth | None = None, name: str = "made-up"
) -> ReportData:
    """A run whose vectors and scores are random numbers; collapsed, its vectors are nearly one point."""
    rng = np.random.default_rng(1)
    kg = made_up_kg(truth=truth, name=name)
    graph = build_graph(kg)
    split = random_split(graph, seed=0)
    training = training_graph(graph, split)
    vectors = rng.normal(size=(graph.num_nodes, 8))
    if collapsed:
        vectors = 1 + 1e-3 * vectors[:, :2] @ rng.normal(size=(2, 8))
    embeddings = Embeddings(graph.nodes, vectors.astype(np.float32), {})
    collapse = measure_collapse(embeddings, active=training.degrees > 0)
    side = SideEvidence("MRR", 0.4 if beats_prior else 0.05, 0.1)
    verdict = judge(collapse, ranking=RankingEvidence(side, side), drug_type="drug", disease_type="disease")
    scores = rng.normal(size=(DRUGS, DISEASES)).astype(np.float32)
    by_method = {
        "ranker": scores,
        "HGT <decoder>": rng.normal(size=(DRUGS, DISEASES)).astype(np.float32),
        "degree prior": degree_prior(split.train, DRUGS, DISEASES),
        "drug popularity": drug_popularity(split.train, DRUGS, DISEASES),
    }
    metrics = {
        method: evaluate_ranking(matrix, split.test, split.known, seed=0, num_bootstraps=30)
        for method, matrix in by_method.items()
    }
    ranks = dict.fromkeys(graph.node_types, 5.0)
    return ReportData(
        kg=kg,
        graph=graph,
        training=training,
        split=split,
        history=tuple(Epoch(i, 3 / i, 2 / i, 1 / i, 4 / i, 0.5, ranks) for i in range(1, 5)),
        embeddings=embeddings,
        collapse=collapse,
        verdict=verdict,
        metrics=metrics,
        predictions=None if verdict.level == "collapsed" else predictions_of(scores, graph, split),
        manifest={
            "settings": {"load": {"kg": "folder & more"}, "embed": {"dropout": 0.3, "device": None}, "seed": 7},
            "inputs": kg.report.files,
            "versions": {"torch": "2.6 <nightly>"},
            "stages": [{"stage": "embed", "seconds": 12.5, "peak_memory_gb": 1.25}],
            "results": {},
        },
        reliability=None if verdict.level == "collapsed" else reliability_of(scores, split, graph),
    )


def reliability_of(scores: Float32[np.ndarray, "drugs diseases"], split: Split, graph: Graph) -> Reliability:
    pairs, treated = held_out_pairs(split, graph, ratio=3, rng=np.random.default_rng(0))
    probability = expit(scores[tuple(pairs.T)])
    return measure_reliability(probability, treated, negatives_per_positive=3, calibrated_on=12)


def predictions_of(scores: Float32[np.ndarray, "drugs diseases"], graph: Graph, split: Split) -> pl.DataFrame:
    """The columns of `rank.matrix.predictions_table`, worked out pair by pair."""
    known = set(map(tuple, split.known.tolist()))
    nodes = graph.nodes
    drugs, diseases = nodes[graph.rows_of("drug")], nodes[graph.rows_of("disease")]
    rows = []
    for place, flat in enumerate(np.argsort(-scores, axis=None)):
        drug, disease = divmod(int(flat), scores.shape[1])
        score = scores[drug, disease]
        probability = 1 / (1 + np.exp(-float(score)))
        rows.append(
            {
                "rank": place + 1,
                "drug_name": drugs["node_name"][drug],
                "disease_name": diseases["node_name"][disease],
                "prob_treats": probability,
                "confidence": "HIGH" if probability >= 0.7 else "MEDIUM" if probability >= 0.4 else "LOW",
                "prob_not_treat": None,
                "prob_unknown": 1 - probability,
                "drug_id": drugs["node_id"][drug],
                "disease_id": diseases["node_id"][disease],
                "drug_key": drugs["node_key"][drug],
                "disease_key": diseases["node_key"][disease],
                "known": (drug, disease) in known,
                "percentile_for_disease": 100 * float((scores[:, disease] < score).mean()),
                "percentile_for_drug": 100 * float((scores[drug] < score).mean()),
            }
        )
    return pl.DataFrame(rows)


def number(text: str) -> float:
    """A number as the page writes it."""
    return float(text.replace("−", "-").replace(",", ""))


VOID = {"meta", "link", "img", "br", "input"}


@dataclass
class Element:
    """A tag with its attributes, the text in it, and the tags in it."""

    tag: str
    attributes: dict[str, str]
    children: list[Element | str] = field(default_factory=list)

    @property
    def text(self) -> str:
        """The text as a reader sees it, runs of blanks as one."""
        parts = [c if isinstance(c, str) else c.text for c in self.children]
        return " ".join(" ".join(parts).split())

    def find_all(self, tag: str | None = None, **attributes: str) -> list[Element]:
        """Every tag in this one, at any depth, with this name and these attributes (`class_` for class)."""
        wanted = {name.rstrip("_"): value for name, value in attributes.items()}
        found = []
        for child in self.children:
            if isinstance(child, Element):
                if (tag is None or child.tag == tag) and all(
                    value in child.attributes.get(name, "").split() for name, value in wanted.items()
                ):
                    found.append(child)
                found += child.find_all(tag, **attributes)
        return found

    def find(self, tag: str | None = None, **attributes: str) -> Element:
        (found,) = self.find_all(tag, **attributes)
        return found

    def rows(self) -> list[list[Element]]:
        """The cells of a table's body, row by row."""
        return [
            [cell for cell in row.children if isinstance(cell, Element)]
            for body in self.find_all("tbody")
            for row in body.find_all("tr")
        ]


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open = [Element("", {})]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(tag, {name: value or "" for name, value in attrs})
        self.open[-1].children.append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_endtag(self, tag: str) -> None:
        closed = self.open.pop()
        assert closed.tag == tag, f"<{closed.tag}> is closed by </{tag}>"

    def handle_data(self, data: str) -> None:
        self.open[-1].children.append(data)


def read_html(html: str) -> Element:
    """Read a page; fails on tags that are not closed in their order."""
    reader = _Reader()
    reader.feed(html)
    reader.close()
    assert len(reader.open) == 1, f"<{reader.open[-1].tag}> is never closed"
    return reader.open[0]
