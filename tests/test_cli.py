"""The command line: what it prints, its exit codes, and one clear message for every kind of bad input."""

from __future__ import annotations

import gzip
import json
import re
import shutil
import subprocess
import sys
import weakref
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from rxweave.cli import main
from rxweave.embed.store import Embeddings, write_embeddings
from rxweave.errors import InputError

DATA = Path(__file__).parent / "data"
QUICK = ["--embedding-dim", "64", "--num-epochs", "2", "-o", "embed.hidden_dim=32", "-o", "embed.feature_dim=32"]
QUICK += ["-o", "rank.num_trees=10", "-o", "rank.num_draws=2", "-o", "embed.accumulation_steps=1"]


class Outcome:
    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err


@pytest.fixture
def rxweave(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Run the command line in this process; gives exit code, standard output and standard error."""
    monkeypatch.setenv("COLUMNS", "200")

    def call(*arguments: str | Path) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["rxweave", *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            main()
        captured = capsys.readouterr()
        return Outcome(int(stopped.value.code or 0), captured.out, captured.err)

    return call


def files_under(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def assert_refused(outcome: Outcome, out: Path, *patterns: str) -> None:
    """One message, exit code 2, no traceback, nothing written."""
    assert outcome.code == 2
    assert outcome.out == ""
    message = re.sub(r"\s+", " ", outcome.err)
    assert "Traceback" not in message
    assert message.count("rxweave: ") == 1
    for pattern in patterns:
        assert re.search(pattern, message), message
    assert not out.exists() or files_under(out) == []


@pytest.fixture(scope="module")
def embeddings_file(tmp_path_factory: pytest.TempPathFactory):
    """Writes embeddings whose two types have the given spread around one point."""
    folder = tmp_path_factory.mktemp("embeddings")

    def write(name: str, spread: float) -> Path:
        rng = np.random.default_rng(0)
        vectors = (np.ones(128) + spread * rng.standard_normal((400, 128))).astype(np.float32)
        kinds = ["drug"] * 200 + ["disease"] * 200
        ids = [str(i) for i in range(400)]
        nodes = pl.DataFrame(
            {
                "node_key": [f"{kind}|x|{i}" for kind, i in zip(kinds, ids, strict=True)],
                "node_id": ids,
                "node_name": ids,
                "node_type": kinds,
            }
        )
        path = folder / f"{name}.parquet"
        write_embeddings(Embeddings(nodes, vectors, {}), path, path.with_suffix(".csv"))
        return path

    return write


@pytest.mark.parametrize("suffix", [".parquet", ".csv"])
def test_validate_exits_0_for_good_and_1_for_collapsed(rxweave, embeddings_file, suffix: str) -> None:
    good = rxweave("validate", embeddings_file("good", 30.0).with_suffix(suffix))
    assert (good.code, "Embeddings: good" in good.out) == (0, True)
    assert "Usefulness was not tested" in good.out
    bad = rxweave("validate", embeddings_file("bad", 0.01).with_suffix(suffix))
    assert (bad.code, "Embeddings: collapsed" in bad.out) == (1, True)
    assert "Change: " in bad.out


def test_validate_speaks_json(rxweave, embeddings_file) -> None:
    outcome = rxweave("validate", embeddings_file("bad", 0.01), "--json")
    told = json.loads(outcome.out)
    assert told["verdict"] == "collapsed"
    assert {each["node_type"] for each in told["types"]} == {"drug", "disease"}
    assert told["findings"]


def test_validate_exits_2_for_what_it_cannot_read(rxweave, tmp_path: Path) -> None:
    notes = tmp_path / "notes.csv"
    notes.write_text("a,b\n1,2\n")
    assert_refused(rxweave("validate", notes), tmp_path / "none", "notes.csv")
    assert_refused(rxweave("validate", tmp_path / "absent.parquet"), tmp_path / "none", "absent.parquet")


def test_a_missing_file_is_named(rxweave, tmp_path: Path) -> None:
    outcome = rxweave("run", "--kg", tmp_path / "kg.csv", "--out", tmp_path / "out")
    assert_refused(outcome, tmp_path / "out", r"kg\.csv")


def test_wrong_columns_are_listed(rxweave, tmp_path: Path) -> None:
    header, *rows = next(DATA.glob("primekg/*.csv")).read_text(encoding="utf-8-sig").splitlines(keepends=True)
    kg = tmp_path / "kg.csv"
    kg.write_text("".join([header.replace("y_source", "y_origin"), *rows]))
    assert_refused(rxweave("run", "--kg", kg, "--out", tmp_path / "out"), tmp_path / "out", "y_source", "y_origin")


def test_a_truncated_gzip_is_refused(rxweave, tmp_path: Path) -> None:
    whole = gzip.compress("".join(f"Gene::{i}\tbinds\tDrug::{i * 7}\n" for i in range(5000)).encode())
    triples = tmp_path / "triples.tsv.gz"
    triples.write_bytes(whole[: len(whole) // 2])
    outcome = rxweave("run", "--kg", triples, "--out", tmp_path / "out")
    assert_refused(outcome, tmp_path / "out", r"triples\.tsv\.gz", "cut short|truncated|damaged|ends")


def test_a_row_with_too_few_fields_is_named_by_line(rxweave, tmp_path: Path) -> None:
    triples = tmp_path / "triples.tsv"
    triples.write_text("Drug::1\ttreats\tDisease::1\nDrug::2\ttreats\nDrug::3\ttreats\tDisease::3\n")
    outcome = rxweave("run", "--kg", triples, "--out", tmp_path / "out")
    assert_refused(outcome, tmp_path / "out", r"triples\.tsv", r"line 2")


def test_an_unknown_node_type_gets_the_closest(rxweave, tmp_path: Path) -> None:
    outcome = rxweave("run", "--kg", "demo:400", "--include-node-types", "diseases", "--out", tmp_path / "out")
    assert_refused(outcome, tmp_path / "out", "'diseases' is not in demo", "Closest: 'disease'")


def test_a_dimension_the_heads_cannot_share_is_refused_before_any_work(rxweave, tmp_path: Path) -> None:
    outcome = rxweave("run", "--kg", "demo:400", "--embedding-dim", "511", "--out", tmp_path / "out")
    assert_refused(outcome, tmp_path / "out", "embedding_dim is 511", "8 heads", "for example 512")


def test_a_misspelt_setting_or_option_is_refused(rxweave, tmp_path: Path) -> None:
    outcome = rxweave("run", "-o", "embed.num_epoch=3", "--out", tmp_path / "out")
    assert_refused(outcome, tmp_path / "out", "Closest: 'embed.num_epochs'")
    outcome = rxweave("run", "--epoch", "3")
    assert outcome.code == 2
    assert "--epochs" in outcome.err
    assert "Traceback" not in outcome.err


def test_a_graph_without_treatments_says_which_relations_there_are(rxweave, tmp_path: Path) -> None:
    triples = tmp_path / "triples.tsv"
    triples.write_text("".join(f"Drug::{i}\thelps_with\tDisease::{i % 7}\n" for i in range(40)))
    outcome = rxweave("run", "--kg", triples, "--out", tmp_path / "out")
    assert_refused(outcome, tmp_path / "out", "no treatments", "helps_with")


def test_build_tells_what_happened_to_every_row(rxweave, tmp_path: Path) -> None:
    outcome = rxweave("build", "--kg", DATA / "hetionet", "--out", tmp_path)
    assert outcome.code == 0
    assert "exact duplicates folded" in outcome.out
    folder = next((tmp_path / "02_graph").iterdir())
    tables = {"nodes.parquet", "edges.parquet", "synonyms.parquet", "ledger.parquet"}
    assert {path.name for path in folder.iterdir()} == tables | {"load_report.json", "manifest.json"}


def test_build_strict_refuses_what_it_would_fold(rxweave, tmp_path: Path) -> None:
    outcome = rxweave("build", "--kg", DATA / "primekg", "--out", tmp_path, "--strict")
    assert_refused(outcome, tmp_path, r"is not clean.*exact duplicate: 5 \(first, line 5")


@pytest.fixture
def earlier(finished_run: Path, tmp_path: Path) -> Path:
    """A folder with the run of an earlier day."""
    return Path(shutil.copytree(finished_run, tmp_path / "out"))


def test_run_writes_every_stage_and_prints_what_matters(rxweave, tmp_path: Path) -> None:
    outcome = rxweave("run", "--kg", "demo:400", "--out", tmp_path, *QUICK)
    assert outcome.code == 0, outcome.err
    written = files_under(tmp_path)
    for name in (
        "02_graph/demo/nodes.parquet",
        "02_graph/demo/edges.parquet",
        "02_graph/demo/split.parquet",
        "02_graph/demo/ledger.parquet",
        "02_graph/demo/load_report.json",
        "06_models/embeddings/hgt_embeddings.parquet",
        "06_models/embeddings/hgt_embeddings.csv",
        "06_models/embeddings/model.safetensors",
        "06_models/embeddings/manifest.json",
        "06_models/ranker/manifest.json",
        "07_model_output/predictions.parquet",
        "07_model_output/predictions.csv",
        "08_reporting/report.html",
        "08_reporting/metrics.json",
        "08_reporting/training.png",
    ):
        assert name in written
    for text in ("Embeddings: ", "degree prior", "Oracle", "10 best new pairs", "not medical advice"):
        assert text in outcome.out
    assert outcome.out.rstrip().endswith(str(tmp_path / "08_reporting" / "report.html"))
    predictions = pl.read_parquet(tmp_path / "07_model_output" / "predictions.parquet")
    columns = "rank drug_name disease_name prob_treats confidence prob_not_treat prob_unknown drug_id disease_id"
    columns += " drug_key disease_key known percentile_for_disease percentile_for_drug"
    assert predictions.columns == columns.split()
    manifest = json.loads((tmp_path / "08_reporting" / "manifest.json").read_text())
    assert [each["stage"] for each in manifest["stages"]] == ["load", "split", "embed", "validate", "rank", "report"]
    assert manifest["settings"]["embed"]["num_epochs"] == 2


def test_collapsed_embeddings_are_reported_never_ranked_and_exit_1(rxweave, tmp_path: Path) -> None:
    outcome = rxweave("run", "--kg", "demo:400", "--out", tmp_path, *QUICK, "-o", "embed.features=constant", "--json")
    assert outcome.code == 1
    assert json.loads(outcome.out)["verdict"] == "collapsed"
    written = files_under(tmp_path)
    assert "08_reporting/report.html" in written
    assert not [name for name in written if name.startswith(("07_model_output", "06_models/ranker"))]


def test_a_second_run_replaces_the_first_and_touches_nothing_else(rxweave, earlier: Path) -> None:
    thesis = earlier / "08_reporting" / "thesis.pdf"
    thesis.write_text("mine")
    assert [name for name in files_under(earlier) if "predictions" in name or "ranker" in name]
    collapsed = rxweave("run", "--kg", "demo:400", "--out", earlier, *QUICK, "-o", "embed.features=constant")
    assert collapsed.code == 1
    written = files_under(earlier)
    assert not [name for name in written if "predictions" in name or "ranker" in name]
    assert thesis.read_text() == "mine"
    assert not [name for name in written if "unfinished" in name]


def test_a_run_that_fails_leaves_the_earlier_one_whole(rxweave, earlier: Path, monkeypatch) -> None:
    before = {name: (earlier / name).read_bytes() for name in files_under(earlier)}
    refused = rxweave("run", "--kg", "demo:400", "--out", earlier, *QUICK, "--device", "gpu")
    assert (refused.code, "expected cpu" in refused.err) == (2, True)
    monkeypatch.setattr("rxweave.pipeline.fit_ranker", broken)
    late = rxweave("run", "--kg", "demo:400", "--out", earlier, *QUICK)
    assert (late.code, "too late" in late.err) == (2, True)
    (earlier / ".checkpoint" / "training.safetensors").unlink()  # what was trained is not lost
    assert {name: (earlier / name).read_bytes() for name in files_under(earlier)} == before


def test_ctrl_c_says_so_and_leaves_nothing_half_written(rxweave, tmp_path: Path, monkeypatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("rxweave.pipeline.train", interrupted)
    stopped = rxweave("run", "--kg", "demo:400", "--out", tmp_path, *QUICK)
    assert stopped.code == 130
    assert "Stopped by Ctrl-C" in stopped.err
    assert files_under(tmp_path) == []


def broken(*_: object, **__: object) -> None:
    raise InputError("too late")


def test_a_folder_of_someone_else_is_refused_before_any_training(rxweave, tmp_path: Path) -> None:
    mine = tmp_path / "08_reporting" / "report.html"
    mine.parent.mkdir(parents=True)
    mine.write_text("of another tool")
    (tmp_path / "08_reporting" / "manifest.json").write_text('{"name": "a web app"}')
    refused = rxweave("run", "--kg", "demo:400", "--out", tmp_path, *QUICK)
    assert (refused.code, "is in the way" in refused.err) == (2, True)
    assert mine.read_text() == "of another tool"


def test_the_run_of_another_graph_is_not_replaced_unless_forced(rxweave, earlier: Path) -> None:
    refused = rxweave("run", "--kg", "demo:420", "--out", earlier, *QUICK)
    assert (refused.code, "holds the run of 'demo:400'" in refused.err) == (2, True)
    assert rxweave("run", "--kg", "demo:420", "--out", earlier, *QUICK, "--force").code == 0
    manifest = json.loads((earlier / "08_reporting" / "manifest.json").read_text())
    assert manifest["settings"]["load"]["kg"] == "demo:420"


def test_a_sampled_run_stores_the_sampled_graph(rxweave, tmp_path: Path) -> None:
    assert rxweave("run", "--kg", "demo:600", "--limit-nodes", "500", "--out", tmp_path, *QUICK).code == 0
    nodes = pl.read_parquet(tmp_path / "02_graph" / "demo" / "nodes.parquet")
    edges = pl.read_parquet(tmp_path / "02_graph" / "demo" / "edges.parquet")
    assert len(nodes) == 500
    assert set(edges["source_key"]) | set(edges["target_key"]) <= set(nodes["node_key"])


def test_equal_drug_and_disease_types_are_refused(rxweave, tmp_path: Path) -> None:
    types = ["-o", "load.drug_type=drug", "-o", "load.disease_type=drug"]
    outcome = rxweave("run", "--kg", "demo:400", "--out", tmp_path / "out", *types)
    assert_refused(outcome, tmp_path / "out", "both 'drug'")


@pytest.mark.parametrize("name", ["e.parquet", "e.csv.gz", "kg.csv"])
def test_embed_refuses_outputs_that_would_be_lost_or_lose_the_input(rxweave, tmp_path: Path, name: str) -> None:
    kg = tmp_path / "kg.csv"
    shutil.copy(DATA / "primekg" / "kg.csv", kg)
    outcome = rxweave("embed", kg, tmp_path / name, *QUICK[:8])
    assert outcome.code == 2
    assert re.search(r"expected a name that ends in \.csv|is the input graph itself", outcome.err)
    assert files_under(tmp_path) == ["kg.csv"]
    assert kg.read_bytes() == (DATA / "primekg" / "kg.csv").read_bytes()


def test_embed_writes_both_files_and_names_them(rxweave, tmp_path: Path) -> None:
    folder = tmp_path / "graph"
    shutil.copytree(DATA / "hetionet", folder)
    outcome = rxweave("embed", folder, tmp_path / "e.csv", *QUICK[:8])
    assert outcome.code in (0, 1), outcome.err  # nine nodes may well collapse
    facts = json.loads(outcome.out)
    assert facts["embedding_dim"] == 64
    assert facts["output_file"] == str(tmp_path / "e.csv")
    header = (tmp_path / "e.csv").read_text().splitlines()[0]
    assert header == "node_id,node_name,node_type,embedding"
    assert len(pl.read_parquet(tmp_path / "e.parquet")) == facts["total_nodes"]


@pytest.mark.parametrize("command", ["run", "build", "embed", "validate", "settings"])
def test_every_command_explains_itself(rxweave, command: str) -> None:
    outcome = rxweave(command, "--help")
    assert outcome.code == 0
    assert re.search(rf"Usage: .*rxweave {command}", outcome.out)  # under `python -m pytest` click names that, too


def test_fit_proposes_the_command_itself_where_it_fits_and_trains_nothing(rxweave, tmp_path: Path) -> None:
    out = tmp_path / "out"
    asked = ["run", "--kg", "demo:600", "--out", str(out), *QUICK]
    outcome = rxweave(*asked[:3], "--fit", *asked[3:])
    assert outcome.code == 0
    assert outcome.out.split() == ["rxweave", *asked]
    assert "It fits as it is" in outcome.err
    assert not out.exists()


def test_embed_speaks_json_of_what_fits(rxweave, tmp_path: Path) -> None:
    graph, out = tmp_path / "graph.tsv", tmp_path / "out.csv"
    graph.write_text("Drug::a\ttreats\tDisease::b\nDrug::c\ttreats\tDisease::d\n")
    told = json.loads(rxweave("embed", str(graph), str(out), "--fit", "--json").out)
    assert told["changes"] == {}
    assert told["memory"]["predicted_peak"] > 0
    assert not out.exists()


def test_fit_holds_the_tables_that_a_run_holds_while_it_trains(rxweave, tmp_path: Path, monkeypatch) -> None:
    """Of Hetionet they are 140 MB: without them what fits by --fit could be refused by the run."""
    from rxweave import pipeline
    from rxweave.embed import memory_fit

    loads, proposes, held = pipeline.load, memory_fit.propose, []

    def load(settings):
        tables, graph = loads(settings)
        held.append(weakref.ref(tables))
        return tables, graph

    def propose(graph, settings):
        held.append(held[0]() is not None)
        return proposes(graph, settings)

    monkeypatch.setattr(pipeline, "load", load)
    monkeypatch.setattr(memory_fit, "propose", propose)
    assert rxweave("run", "--kg", "demo:600", "--out", str(tmp_path / "out"), *QUICK, "--fit").code == 0
    assert held[1] is True


def test_what_does_not_fit_is_refused_and_what_fit_proposes_is_not(tmp_path: Path) -> None:
    """Each in a process of its own, which holds what a user's holds."""
    out = tmp_path / "out"

    def rxweave(*arguments: str) -> Outcome:
        done = subprocess.run([sys.executable, "-m", "rxweave", *arguments], capture_output=True, text=True)
        return Outcome(done.returncode, done.stdout, done.stderr)

    asked = ["run", "--kg", "demo:1500", "--out", str(out), *QUICK, "-o", "embed.hidden_dim=256"]
    asked += ["-o", "embed.features=learned", "-o", "embed.feature_dim=1024", "-o", "embed.attention=gather"]
    held = json.loads(rxweave(*asked, "--fit", "--json").out)["memory"]
    limit = (0.3 * held["parts"]["process"] + 0.7 * held["predicted_peak"]) / 1e9
    asked += ["-o", f"embed.memory_limit_gb={limit}"]
    refused = rxweave(*asked)
    assert_refused(refused, out, "Training would hold about", "are available", "Dimensions are never changed", "-o ")
    proposed = rxweave(*asked, "--fit", "--json")
    assert proposed.code == 0, proposed.err
    changes = json.loads(proposed.out)["changes"]
    assert changes
    assert not set(changes) & {"embed.embedding_dim", "embed.hidden_dim", "embed.num_layers", "embed.num_heads"}
    accepted = rxweave(*asked, *(word for name, value in changes.items() for word in ("-o", f"{name}={value}")))
    assert accepted.code == 0, accepted.err
    assert (out / "08_reporting/report.html").is_file()


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".training.parquet", ".checkpoint.safetensors"])
def test_an_output_of_embed_that_is_a_folder_is_refused_before_any_work(rxweave, tmp_path: Path, suffix: str) -> None:
    in_the_way = tmp_path / f"x{suffix}"
    in_the_way.mkdir()
    refused = rxweave("embed", "demo:400", str(tmp_path / "x.csv"), *QUICK[:4])
    assert refused.code == 2
    assert f"The output {in_the_way} cannot be written: it is a folder" in refused.err
    assert list(tmp_path.iterdir()) == [in_the_way]


def test_an_output_of_embed_beneath_a_file_is_refused_as_that(rxweave, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    refused = rxweave("embed", "demo:400", str(tmp_path / "file" / "x.csv"), *QUICK[:4])
    assert refused.code == 2
    assert f"cannot be written: {tmp_path / 'file'} is a file" in refused.err


def test_two_trainings_for_one_output_are_not_done_at_once(rxweave, tmp_path: Path) -> None:
    from rxweave.claim import Claim

    claim = Claim.of(tmp_path / "x.checkpoint.safetensors")
    try:
        refused = rxweave("embed", "demo:400", str(tmp_path / "x.csv"), *QUICK[:4])
    finally:
        claim.release()
    assert refused.code == 2
    assert f"Another run writes to {tmp_path}" in refused.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ("embed.memory_limit_gb=inf", "memory_limit_gb"),
        ("embed.num_neighbours=1180591620717411303424", "2,147,483,647"),
    ],
)
def test_numbers_beyond_all_bounds_are_refused(rxweave, tmp_path: Path, setting: str, told: str) -> None:
    refused = rxweave("embed", "demo:400", str(tmp_path / "x.csv"), "-o", setting)
    assert refused.code == 2
    assert told in refused.err
    assert "Traceback" not in refused.err


def test_a_graph_in_which_every_pair_is_a_treatment_is_refused_before_training(rxweave, tmp_path: Path) -> None:
    graph = tmp_path / "graph.tsv"
    pairs = [f"Drug::{a}\ttreats\tDisease::{b}" for a in range(25) for b in range(20)]
    graph.write_text("\n".join(pairs) + "\n")
    out = tmp_path / "out"
    assert_refused(rxweave("run", "--kg", str(graph), "--out", str(out), *QUICK), out, "All 500 pairs of a drug")


@pytest.mark.parametrize("command", ["quick-test", "compare-devices"])
def test_what_is_measured_is_not_measured_by_ranks(rxweave, monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    started = {"RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "1", "MASTER_ADDR": "localhost", "MASTER_PORT": "29500"}
    for name, value in started.items():
        monkeypatch.setenv(name, value)
    refused = rxweave(command, "--kg", "demo:400")
    assert refused.code == 2
    assert "This is rank 1 of 2, started by torchrun" in refused.err
