"""`rxweave doctor` and `search`: what they print and with which exit code."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from rxweave.cli import app
from rxweave.errors import InputError

DATA = Path(__file__).parent / "data"


def call(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(each) for each in arguments], env={"COLUMNS": "200"})


def test_doctor_prints_every_finding_and_ends_well_for_warnings() -> None:
    result = call("doctor", "--kg", DATA / "primekg")
    assert result.exit_code == 0, result.output
    assert "warning: known treatments: 2 pairs (indication), of 2 of 2 drugs" in result.output
    assert "good: components: 1, the largest with 8 nodes" in result.output
    assert "27,671" in result.output  # published genes
    assert result.output.rstrip().endswith("Graph: warning")
    assert call("doctor", "--kg", DATA / "primekg", "--strict").exit_code == 1


def test_doctor_ends_with_1_where_nothing_can_be_ranked() -> None:
    result = call("doctor", "--kg", DATA / "primekg", "--include-node-types", "disease", "--json")
    assert result.exit_code == 1
    told = json.loads(result.output)
    assert told["level"] == told["findings"][0]["level"] == "problem"
    assert {"node_type", "nodes", "published", "isolated", "median_degree", "max_degree"} == set(told["types"][0])


def test_doctor_takes_another_treatment_relation() -> None:
    result = call("doctor", "--kg", DATA / "primekg", "--treats", "off-label use")
    assert "1 pairs (off-label use)" in result.output


def test_search_shows_name_type_match_and_key() -> None:
    result = call("search", "diab", "--kg", DATA / "primekg")
    assert result.exit_code == 0, result.output
    for shown in ("type 2 diabetes mellitus", "disease", "5148", "begins so: diabetes type II", "disease|MONDO|5148"):
        assert shown in result.output
    told = json.loads(call("search", "5148", "--kg", DATA / "primekg", "--type", "disease", "--json").output)
    assert [node["node_key"] for node in told["found"]] == ["disease|MONDO|5148"]


def test_search_without_a_hit_offers_the_closest_and_ends_with_1() -> None:
    result = call("search", "Metfromin", "--kg", DATA / "primekg")
    assert result.exit_code == 1
    assert "Close to it: 'Metformin' (drug, DrugBank:DB00331) drug|DrugBank|DB00331" in result.output


@pytest.mark.parametrize("command", [("doctor",), ("search", "x")])
def test_a_graph_that_is_not_there_is_an_input_error(command: tuple[str, ...]) -> None:
    assert isinstance(call(*command, "--kg", DATA / "nothing").exception, InputError)
