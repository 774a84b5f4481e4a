"""The picture of an explanation: every node and relation in it, boxes that do not cover one another."""

from __future__ import annotations

import re
from itertools import combinations, pairwise
from pathlib import Path

import pytest

from rxweave.errors import ConfigError
from rxweave.explain.drawing import draw_paths, write_figure
from rxweave.explain.explanation import ExplainingPath, Explanation, PathStep, ScoreParts
from rxweave.explain.layout import lay_out
from rxweave.kg.names import Node


def node(name: str, node_type: str = "gene") -> Node:
    return Node(f"{node_type}|Test|{name}", name, name, node_type, "Test")


DRUG, DISEASE = node("a drug", "drug"), node("a disease with a name of many words", "disease")


def path(*between: Node, weight: float = 1.0, relation: str = "binds") -> ExplainingPath:
    nodes = (DRUG, *between, DISEASE)
    ways = ("along", "both ways", "against")
    steps = tuple(
        PathStep(relation, ways[place % 3], source, target) for place, (source, target) in enumerate(pairwise(nodes))
    )
    return ExplainingPath("drug … disease", steps, 0.1, weight, 0.5, 3)


def explanation(*paths: ExplainingPath) -> Explanation:
    return Explanation(DRUG, DISEASE, "not recorded", ScoreParts(0.0, 0.1, 0.0, ()), paths, len(paths), 1, 0, ())


PATHS = (
    path(node("G1"), weight=4.0),
    path(node("G1"), weight=3.0, relation="changes"),
    path(node("G2"), node("G3")),
    path(node("G2"), node("another disease", "disease")),
    path(node("another drug", "drug"), node("G1")),
    path(node("$5 & <b>"), node("G4")),
)


def test_names_relations_and_the_warning_stand_in_the_picture() -> None:
    svg = draw_paths(explanation(*PATHS)).decode()
    words = " ".join(re.findall(r"<text[^>]*>([^<]*)</text>", svg))
    for each in PATHS:
        for one in each.nodes[1:-1]:
            assert one.node_name.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;") in words
    assert "binds, changes" in words
    assert "not medical advice" in words
    assert draw_paths(explanation(*PATHS)) == svg.encode(), "the same picture every time"


def test_boxes_do_not_cover_one_another() -> None:
    many = [path(node(f"gene {i}"), node(f"a gene of a longer name {i % 7}")) for i in range(12)]
    for paths in (PATHS, many):
        boxes = lay_out(paths).boxes.values()
        for one, other in combinations(boxes, 2):
            apart = abs(one.y - other.y) >= (one.height + other.height) / 2
            assert apart or abs(one.x - other.x) >= (one.width + other.width) / 2, (one, other)
        assert min(box.y - box.height / 2 for box in boxes) == pytest.approx(0)


def test_a_node_stands_where_its_paths_have_it() -> None:
    boxes = lay_out(PATHS).boxes
    assert boxes[DRUG].x < boxes[node("G2")].x < boxes[node("G3")].x < boxes[DISEASE].x
    assert boxes[node("G2")].x < boxes[node("G1")].x < boxes[DISEASE].x


def test_no_path_is_a_picture_that_says_so() -> None:
    assert "no path" in draw_paths(explanation()).decode()


def test_the_ending_says_the_kind_and_another_is_refused(tmp_path: Path) -> None:
    write_figure(explanation(*PATHS), tmp_path / "a.PNG")
    assert (tmp_path / "a.PNG").read_bytes().startswith(b"\x89PNG")
    write_figure(explanation(*PATHS), tmp_path / "a.svg")
    assert "<svg" in (tmp_path / "a.svg").read_text()
    with pytest.raises(ConfigError, match=r"ends in '.jpg'. Give a file that ends in .svg or .png"):
        write_figure(explanation(*PATHS), tmp_path / "a.jpg")
