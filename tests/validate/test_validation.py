from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from embeddings_made import embeddings_of, gaussian, on_nodes_of
from PIL import Image

from rxweave import cli
from rxweave.config import EmbedSettings
from rxweave.embed.features import svd_features
from rxweave.embed.store import Embeddings, write_embeddings
from rxweave.embed.train import train
from rxweave.errors import InputError
from rxweave.graph.build import Graph
from rxweave.validate import page as page_module
from rxweave.validate.control import untrained_vectors
from rxweave.validate.page import PICTURES, render_page, write_page
from rxweave.validate.validation import Validation, summary_of, validate

NASTY = "<b>Benzo[a]pyrene</b> & $x$"


@pytest.fixture(scope="module")
def spectral(small_graph: Graph) -> Embeddings:
    nodes = small_graph.nodes.with_columns(
        node_name=pl.when(pl.int_range(pl.len()) % 7 == 0).then(pl.lit(NASTY)).otherwise("node_name")
    )
    return Embeddings(nodes, svd_features(small_graph, 64, seed=0), {})


@pytest.fixture(scope="module")
def whole(spectral: Embeddings, small_graph: Graph) -> Validation:
    return validate(spectral, graph=small_graph, inspect=["drug"])


def test_the_graphs_roles_stand_in_for_missing_ones(whole: Validation, spectral: Embeddings) -> None:
    gates = {(f.node_type, f.measure): f.threshold for f in whole.verdict.findings}
    assert gates["drug", "mean_cosine"].good == 0.57
    assert gates["pathway", "mean_cosine"].good == 0.80
    alone = validate(spectral)
    assert alone.graph is None
    assert {f.threshold.good for f in alone.verdict.findings if f.measure == "mean_cosine"} == {0.80, 0.60}


def test_with_a_graph_only_nodes_with_facts_are_measured(whole: Validation, small_graph: Graph) -> None:
    assert whole.collapse.overall.num_active == int((small_graph.degrees > 0).sum())
    assert [check.what.split(":")[0] for check in whole.meaning] == ["disease", "disease"]
    assert [each.node_type for each in whole.inspections] == ["drug"]


def test_twins_and_lonely_nodes_without_the_graph_get_a_note() -> None:
    drugs = gaussian(60, 16)
    drugs[0] = drugs[1]
    notes = validate(embeddings_of(drug=drugs)).verdict.notes
    assert any("--graph" in note for note in notes)
    assert not any("--graph" in note for note in validate(embeddings_of(drug=drugs[1:])).verdict.notes)


def test_classes_are_asked_of_drugs(small_graph: Graph, spectral: Embeddings) -> None:
    keys = spectral.nodes.filter(node_type="drug")["node_key"]
    classes = pl.DataFrame({"node_key": keys, "class": ["a", "b"] * (len(keys) // 2)})
    assert (
        validate(spectral, graph=small_graph, classes=classes).meaning[-1].what.startswith("drug: mean cosine within")
    )


def test_the_summary_is_json_and_says_what_the_verdict_says(whole: Validation) -> None:
    told = json.loads(json.dumps(summary_of(whole), allow_nan=False))
    assert told["verdict"] == whole.verdict.level
    assert told["judged"] == whole.verdict.types
    assert told["findings"] == [str(finding) for finding in whole.verdict.problems]
    assert len(told["checks"]) == len(whole.verdict.findings)
    assert told["graph"]["link_auroc"] == whole.graph.link_auroc
    first = told["types"][0]
    assert first["spread"]["isoscore"] == pytest.approx(whole.collapse.types[0].spread.isoscore)
    assert "occurrences" not in first["neighbours"]
    assert told["inspections"][0]["nearest"][0][0]["cosine"] > 0
    undefined = summary_of(validate(embeddings_of(drug=gaussian(20, 4))))
    assert json.loads(json.dumps(undefined, allow_nan=False))["overall"]["across_type_cosine"] is None


def test_the_page_holds_every_picture_table_and_name_and_loads_nothing(
    whole: Validation, small_graph: Graph, tmp_path: Path
) -> None:
    page = write_page(whole, tmp_path, title=NASTY, graph=small_graph, summary=summary_of(whole))
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        ["validation.html", "validation.json", *(f"{name}.png" for name in PICTURES)]
    )
    for name in PICTURES:
        with Image.open(tmp_path / f"{name}.png") as picture:
            assert min(picture.size) > 500
    html = page.read_text(encoding="utf-8")
    assert html.count("data:image/png;base64,") == len(PICTURES)
    assert not re.findall(r"(?:src|href)=\"(?!data:)", html)
    assert "<b>Benzo" not in html
    assert "&lt;b&gt;Benzo[a]pyrene&lt;/b&gt; &amp; $x$" in html
    for node_type in small_graph.node_types:
        assert f'<th scope="row">{node_type}</th>' in html
    assert "Embeddings: " + whole.verdict.level in html
    assert "Spearman" in html
    assert "nan" not in re.sub(r"base64,[^\"]*", "", html).lower().replace("banner", "")


def test_problems_come_with_causes_and_what_to_change() -> None:
    bad = validate(embeddings_of(drug=gaussian(1, 32) + 0.01 * gaussian(60, 32), disease=gaussian(60, 32, 1)))
    html = render_page(bad, "bad", {})
    assert "What to change" in html
    assert "features=svd" in html
    assert "nodes start from one and the same vector" in html
    good = validate(embeddings_of(drug=gaussian(60, 32), disease=gaussian(60, 32, 1)))
    assert good.verdict.problems == ()
    assert "What to change" not in render_page(good, "good", {})


def test_a_failing_picture_leaves_no_page(whole: Validation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_module, "draw", lambda *arguments: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write_page(whole, tmp_path, title="x")
    assert list(tmp_path.iterdir()) == []


def test_an_untrained_model_has_fresh_weights_and_the_same_input(small_graph: Graph) -> None:
    settings = EmbedSettings(embedding_dim=16, hidden_dim=16, feature_dim=16, num_heads=2, num_epochs=1)
    trained = train(small_graph, settings.but(learning_rate=1e-12), seed=5)
    control = untrained_vectors(trained, seed=5)
    # The same seed gives the weights that this training started from, and hardly moved.
    assert control == pytest.approx(trained.vectors, abs=1e-3)
    other = untrained_vectors(trained, seed=6)
    assert other.shape == control.shape
    assert np.abs(other - control).max() > 0.1


def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *words: object) -> tuple[int, str, str]:
    monkeypatch.setattr("sys.argv", ["rxweave", *map(str, words)])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    told = capsys.readouterr()
    return int(stop.value.code or 0), told.out, told.err


@pytest.fixture(scope="module")
def good_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("good") / "good.parquet"
    drug, disease = gaussian(80, 32), gaussian(70, 32, 1)
    drug[0] = drug[1]
    write_embeddings(embeddings_of(drug=drug, disease=disease), path)
    return path


def test_strict_turns_a_warning_into_exit_code_1(good_file: Path, capsys, monkeypatch) -> None:
    code, out, _ = run(capsys, monkeypatch, "validate", good_file)
    assert (code, "Embeddings: warning" in out) == (0, True)
    assert run(capsys, monkeypatch, "validate", good_file, "--strict")[0] == 1


def test_single_nodes_and_the_page_on_the_command_line(good_file: Path, tmp_path: Path, capsys, monkeypatch) -> None:
    code, out, _ = run(capsys, monkeypatch, "validate", good_file, "--inspect", "drug", "--out", tmp_path / "page")
    assert code == 0
    assert "drug: most alike" in out
    assert re.search(r"drug\|0\s+drug\|1\s+1\.0000", out)
    assert "validation.html" in out
    assert json.loads((tmp_path / "page" / "validation.json").read_text())["verdict"] == "warning"
    again = run(capsys, monkeypatch, "validate", good_file, "--json", "--seed", "1", "--inspect", "disease")
    assert json.loads(again[1])["inspections"][0]["node_type"] == "disease"


def test_a_type_or_graph_that_is_not_there_exits_2(good_file: Path, tmp_path: Path, capsys, monkeypatch) -> None:
    for words in (
        ["--inspect", "drugs"],
        ["--graph", tmp_path / "absent.csv"],
        ["--graph", "demo:400"],
        ["--classes", "absent.csv", "--drug-type", "drug"],
        ["--classes", "absent.csv"],
    ):
        code, out, err = run(capsys, monkeypatch, "validate", good_file, *words)
        assert (code, out) == (2, "")
        assert err.startswith("rxweave: ")
        assert "Traceback" not in err


def test_with_the_graph_it_is_all_told(tmp_path: Path, capsys, monkeypatch) -> None:
    from rxweave.graph.build import build_graph
    from rxweave.kg.sources import load_kg

    graph = build_graph(load_kg("demo:400"))
    path = tmp_path / "e.parquet"
    write_embeddings(on_nodes_of(graph, svd_features(graph, 64, seed=0)), path)
    code, out, _ = run(
        capsys,
        monkeypatch,
        "validate",
        path,
        "--graph",
        "demo:400",
        "--classes",
        "gene/protein",
        "--inspect",
        "disease",
    )
    assert code == 0, out
    assert "Facts of demo told from pairs of the same degrees: AUROC" in out
    assert "Spearman" in out
    assert "drug: mean cosine within a class minus between" in out
    assert "shared neighbours" in out


def test_unknown_types_are_named_with_the_closest() -> None:
    with pytest.raises(InputError, match="Closest: 'drug'"):
        validate(embeddings_of(drug=gaussian(20, 4)), inspect=["drugs"])
