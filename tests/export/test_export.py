"""Every exported format, opened by the tool it is for: pandas, anndata, gensim's rules, DuckDB, our own KGX reader."""

from __future__ import annotations

import csv
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from rxweave import Embeddings, export_run
from rxweave.cli import main
from rxweave.errors import ConfigError, InputError
from rxweave.export import export as exporting
from rxweave.export.content import Content, licence_of, read_content
from rxweave.export.curies import category, curies
from rxweave.export.vectors import write_word2vec
from rxweave.kg.sources import load_kg
from rxweave.kg.tables import Roles
from rxweave.validate.read import read_embeddings

ROLES = Roles("drug", "disease", "gene/protein", ("indication",))


@pytest.fixture(scope="module")
def made(finished_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("anndata", reason="anndata is not installed")
    out = tmp_path_factory.mktemp("made")
    done = export_run(finished_run, list(exporting.FORMATS), out, top=3)
    assert sorted(done.files) == sorted(exporting.FORMATS)
    return out


@pytest.fixture(scope="module")
def truth(finished_run: Path) -> Embeddings:
    return read_content(finished_run).embeddings


def test_pandas_opens_the_wide_csv(made: Path, truth: Embeddings) -> None:
    pandas = pytest.importorskip("pandas")
    table = pandas.read_csv(made / "csv" / "embeddings.csv", dtype={"node_id": str})
    assert table["node_key"].tolist() == truth.nodes["node_key"].to_list()
    numbers = table[[f"emb_{i}" for i in range(truth.dim)]].to_numpy(np.float32)
    np.testing.assert_array_equal(numbers, truth.vectors)
    leads = pandas.read_csv(made / "csv" / "predictions.csv")
    assert not leads["known"].any()
    assert (leads.groupby("disease_key").size() == 3).all()


def test_duckdb_opens_the_parquet_files(made: Path, truth: Embeddings) -> None:
    duckdb = pytest.importorskip("duckdb", reason="DuckDB is not installed")
    file = made / "parquet" / "embeddings.parquet"
    found = duckdb.sql(f"SELECT node_key, embedding FROM '{file}' ORDER BY node_key LIMIT 5").fetchall()
    order = truth.nodes["node_key"].arg_sort()[:5].to_numpy()
    assert [row[0] for row in found] == truth.nodes["node_key"][order].to_list()
    np.testing.assert_array_equal(np.array([row[1] for row in found], np.float32), truth.vectors[order])
    pairs = duckdb.sql(f"SELECT count(*), min(rank) FROM '{made / 'parquet' / 'predictions.parquet'}'").fetchall()
    drugs, diseases = (truth.of_type(kind) for kind in ("drug", "disease"))
    assert pairs == [(len(drugs) * len(diseases), 1)]


def test_numpy_opens_the_matrix_and_its_ids(made: Path, truth: Embeddings) -> None:
    np.testing.assert_array_equal(np.load(made / "npy" / "embeddings.npy", allow_pickle=False), truth.vectors)
    ids = pl.read_csv(made / "npy" / "embeddings.tsv", separator="\t", infer_schema=False)
    assert ids["node_key"].to_list() == truth.nodes["node_key"].to_list()
    np.testing.assert_array_equal(read_embeddings(made / "npy" / "embeddings.npy").vectors, truth.vectors)


def test_anndata_opens_the_h5ad(made: Path, truth: Embeddings) -> None:
    anndata = pytest.importorskip("anndata", reason="anndata is not installed")
    found = anndata.read_h5ad(made / "h5ad" / "embeddings.h5ad")
    assert found.obs_names.tolist() == truth.nodes["node_key"].to_list()
    assert found.obs["node_type"].astype(str).tolist() == truth.nodes["node_type"].to_list()
    np.testing.assert_array_equal(found.X, truth.vectors)
    np.testing.assert_array_equal(found.obsm["X_hgt"], truth.vectors)
    assert "made up" in found.uns["rxweave"]["licence"]


def test_word2vec_text_is_read_by_gensims_rules(made: Path, truth: Embeddings) -> None:
    """As `KeyedVectors.load_word2vec_format` reads it: two counts, then lines parted at single blanks."""
    with (made / "word2vec" / "embeddings.vec").open(encoding="utf-8") as file:
        num, dim = (int(part) for part in file.readline().split())
        rows = [file.readline().rstrip().split(" ") for _ in range(num)]
        assert file.read() == ""
    assert {len(row) for row in rows} == {dim + 1}
    np.testing.assert_array_equal(np.array([row[1:] for row in rows], np.float32), truth.vectors)
    words = pl.read_csv(made / "word2vec" / "words.tsv", separator="\t", infer_schema=False)
    assert words["word"].to_list() == [row[0] for row in rows]
    assert words["node_key"].to_list() == truth.nodes["node_key"].to_list()


def test_the_projector_gets_as_many_lines_as_nodes(made: Path, truth: Embeddings) -> None:
    tensors = np.loadtxt(made / "projector" / "tensors.tsv", delimiter="\t", dtype=np.float32)
    np.testing.assert_array_equal(tensors, truth.vectors)
    lines = (made / "projector" / "metadata.tsv").read_text(encoding="utf-8").splitlines()
    assert lines[0].split("\t") == ["node_name", "node_type", "node_id", "node_key"]
    assert len(lines) == 1 + truth.num_nodes
    assert {line.count("\t") for line in lines} == {3}


def test_our_own_reader_opens_the_kgx_graph(made: Path, finished_run: Path) -> None:
    kg = load_kg(made / "kgx")
    leads = read_content(finished_run, top=3).leads
    assert (kg.roles.drug, kg.roles.disease, kg.roles.treats) == ("Drug", "Disease", ("treats",))
    assert kg.report.facts == len(leads)
    names = dict(kg.nodes.select("node_key", "node_name").iter_rows())
    pairs = {
        (names[source], names[target]) for source, target in kg.edges.select("source_key", "target_key").iter_rows()
    }
    assert pairs == set(leads.select("drug_name", "disease_name").iter_rows())
    edges = pl.read_csv(made / "kgx" / "predictions_edges.tsv", separator="\t")
    assert edges["knowledge_level"].unique().to_list() == ["prediction"]
    assert edges["agent_type"].unique().to_list() == ["computational_model"]
    assert edges["score"].is_between(0, 1).all()


def test_the_graph_database_gets_nodes_that_its_edges_name(made: Path, truth: Embeddings) -> None:
    """As `neo4j-admin database import` reads them: heads with types, arrays parted by ";"."""
    with (made / "neo4j" / "nodes.csv").open(encoding="utf-8", newline="") as file:
        nodes = list(csv.DictReader(file))
    with (made / "neo4j" / "predictions.csv").open(encoding="utf-8", newline="") as file:
        edges = list(csv.DictReader(file))
    vectors = np.array([row["embedding:float[]"].split(";") for row in nodes], np.float32)
    np.testing.assert_array_equal(vectors, truth.vectors)
    ids = [row["id:ID"] for row in nodes]
    assert ids == truth.nodes["node_key"].to_list()
    assert {edge[end] for edge in edges for end in (":START_ID", ":END_ID")} <= set(ids)
    assert {edge[":TYPE"] for edge in edges} == {"PREDICTED_TREATS"}
    for name in ("load.cypher", "load_memgraph.cypher"):
        script = (made / "neo4j" / name).read_text(encoding="utf-8")
        assert all(f":`{label}`" in script for label in truth.node_types)
        assert "not medical advice" in script


def test_the_card_says_what_the_files_are(made: Path) -> None:
    text = (made / "README.md").read_text(encoding="utf-8")
    assert all(f"`{name}/`" in text for name in exporting.FORMATS)
    assert "not medical advice" in text
    assert "made up by rxweave" in text


def test_nothing_appears_when_one_format_fails(
    finished_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise OSError("the disk is full")

    monkeypatch.setitem(exporting.FORMATS, "npy", fails)
    with pytest.raises(OSError, match="full"):
        export_run(finished_run, ["parquet", "npy"], tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_what_is_there_is_replaced_only_when_forced(finished_run: Path, tmp_path: Path) -> None:
    export_run(finished_run, ["npy"], tmp_path)
    (tmp_path / "npy" / "embeddings.npy").write_bytes(b"other")
    with pytest.raises(ConfigError, match="--force"):
        export_run(finished_run, ["npy"], tmp_path)
    export_run(finished_run, ["npy"], tmp_path, force=True)
    assert np.load(tmp_path / "npy" / "embeddings.npy").ndim == 2


def test_a_run_without_predictions_says_which_formats_remain(finished_run: Path, tmp_path: Path) -> None:
    copy = tmp_path / "run"
    shutil.copytree(finished_run, copy)
    (copy / "07_model_output" / "predictions.parquet").unlink()
    with pytest.raises(InputError, match="npy, h5ad, word2vec, projector"):
        export_run(copy, ["kgx"], tmp_path / "out")
    export_run(copy, ["parquet", "csv"], tmp_path / "out")
    assert [file.name for file in (tmp_path / "out" / "csv").iterdir()] == ["embeddings.csv"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--run", "RUN", "--to", "parqet"], "Closest: 'parquet'"),
        (["--run", "RUN", "--to", ","], "Name a format"),
        (["--run", "/nowhere", "--to", "npy"], "no output folder"),
    ],
)
def test_the_command_line_refuses_what_cannot_work(
    arguments: list[str],
    message: str,
    finished_run: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    given = [str(finished_run) if each == "RUN" else each for each in arguments]
    monkeypatch.setattr(sys, "argv", ["rxweave", "export", *given, "--out", str(tmp_path / "out")])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert message in capsys.readouterr().err


def test_the_command_line_tells_as_json(
    finished_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["rxweave", "export", "--run", str(finished_run), "--to", "npy,kgx", "--out", str(tmp_path), "--json"]
    monkeypatch.setattr(sys, "argv", command)
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code
    told = json.loads(capsys.readouterr().out)
    assert all(Path(file).is_file() for files in told["files"].values() for file in files)


def test_h5ad_without_anndata_says_what_to_install(
    finished_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rxweave.export.vectors.find_spec", lambda _: None)
    with pytest.raises(ConfigError, match=r"rxweave\[anndata\]"):
        export_run(finished_run, ["h5ad"], tmp_path)


@pytest.mark.parametrize(
    ("key", "node_id", "source", "expected"),
    [
        ("drug|DrugBank|DB00945", "DB00945", "DrugBank", "DRUGBANK:DB00945"),
        ("disease|MONDO|5148", "5148", "MONDO", "MONDO:0005148"),
        ("disease|MONDO_grouped|13924_12592", "13924_12592", "MONDO_grouped", "MONDO_grouped:13924_12592"),
        ("gene/protein|NCBI|5148", "5148", "NCBI", "NCBIGene:5148"),
        ("Compound|Hetionet|DB00014", "Compound::DB00014", "Hetionet", "DRUGBANK:DB00014"),
        ("Disease|Hetionet|DOID:0050156", "Disease::DOID:0050156", "Hetionet", "DOID:0050156"),
        ("Pathway|Hetionet|PC7_103", "Pathway::PC7_103", "Hetionet", "Hetionet:PC7_103"),
        ("Disease|MONDO|0005148", "MONDO:0005148", "MONDO", "MONDO:0005148"),
        ("drug|my list|a b", "a b", "my list", "my_list:a_b"),
    ],
)
def test_curies(key: str, node_id: str, source: str, expected: str) -> None:
    nodes = pl.DataFrame({"node_key": [key], "node_id": [node_id], "node_type": ["x"], "node_source": [source]})
    assert curies(nodes, ROLES).to_list() == [expected]


def test_equal_ids_of_two_types_stay_apart() -> None:
    nodes = pl.DataFrame(
        {"node_key": ["a|S|1", "b|S|1"], "node_id": ["1", "1"], "node_type": ["a", "b"], "node_source": ["S", "S"]}
    )
    assert curies(nodes, ROLES).to_list() == ["rxweave:a.S.1", "rxweave:b.S.1"]


def test_words_that_blanks_made_equal_are_refused(tmp_path: Path) -> None:
    nodes = pl.DataFrame({"node_key": ["a b", "a_b"], **{name: ["x", "y"] for name in ("node_id", "node_name")}})
    nodes = nodes.with_columns(node_type=pl.lit("t"), node_source=pl.lit("s"))
    embeddings = Embeddings(nodes, np.ones((2, 2), np.float32), {})
    content = Content(tmp_path, "made", ROLES, embeddings, None, 1, "")
    with pytest.raises(InputError, match="'a_b'"):
        write_word2vec(content, tmp_path, lambda what, share: None)


@pytest.mark.parametrize(
    ("node_type", "expected"),
    [
        ("drug", "Drug"),
        ("Side Effect", "PhenotypicFeature"),
        ("biological_process", "BiologicalProcess"),
        ("SmallMolecule", "SmallMolecule"),
        ("Pharmacologic Class", "NamedThing"),
    ],
)
def test_categories(node_type: str, expected: str) -> None:
    assert category(node_type, ROLES) == f"biolink:{expected}"


def test_licences_are_those_of_the_catalogue() -> None:
    assert "CC0" in licence_of("hetionet")
    assert "Not known" in licence_of("my graph")
