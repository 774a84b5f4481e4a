"""The search box of the page: its data, within their bound, and in a real browser where there is one."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import polars as pl
import pytest
from report_data import Element

from rxweave.report.page import ReportData
from rxweave.report.search import LENGTHS, search_data


def test_every_disease_has_its_likeliest_new_drugs(data: ReportData, page: Element) -> None:
    assert data.predictions is not None
    found = json.loads(page.find("script", id="every-disease").text)
    for name, identifier, recorded, leads in found["diseases"]:
        of_disease = data.predictions.filter(pl.col("disease_id") == identifier).sort("rank")
        expected = of_disease.filter(~pl.col("known")).head(LENGTHS[0])
        assert name == of_disease["disease_name"][0]
        assert recorded == of_disease["known"].sum()
        rows = [leads[i : i + 4] for i in range(0, len(leads), 4)]
        assert [found["drugs"][row[0]] for row in rows] == [
            list(row) for row in expected.select("drug_name", "drug_id").rows()
        ]
        for row, told in zip(rows, expected.iter_rows(named=True), strict=True):
            assert row[1] == round(1000 * told["prob_treats"])
            assert row[2:] == [round(10 * told[f"percentile_for_{end}"]) for end in ("disease", "drug")]
    assert len(found["diseases"]) == data.predictions["disease_key"].n_unique()
    names = [each[0].lower() for each in found["diseases"]]
    assert names == sorted(names)


@pytest.mark.parametrize("most_bytes", [3000, 2200, 1500, 700])
def test_data_that_are_too_long_are_cut_to_the_bound_and_say_so(data: ReportData, most_bytes: int) -> None:
    assert data.predictions is not None
    whole = search_data(data.predictions)
    found = search_data(data.predictions, most_bytes=most_bytes)
    assert whole is not None
    assert found is not None
    assert len(found.json.encode()) <= most_bytes < len(whole.json.encode())
    assert found.length < whole.length
    assert found.diseases + found.left_out == whole.diseases
    assert len(json.loads(found.json)["diseases"]) == found.diseases
    if found.left_out:
        assert found.length == LENGTHS[-1]
        best = data.predictions.filter(~pl.col("known")).sort("rank")["disease_id"].unique(maintain_order=True)
        assert {each[1] for each in json.loads(found.json)["diseases"]} == set(best.head(found.diseases))


def test_nothing_is_searched_where_all_is_known(data: ReportData) -> None:
    assert data.predictions is not None
    assert search_data(data.predictions.with_columns(known=pl.lit(value=True))) is None


def test_typing_a_name_shows_the_drugs_in_a_real_browser(data: ReportData, html: str, tmp_path: Path) -> None:
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("chromium is not installed")
    typed = """<script>
      var box = document.getElementById("words"); box.value = "disease 1"; box.dispatchEvent(new Event("input"));
      document.querySelectorAll("#hits button")[1].click();
    </script></body>"""
    (tmp_path / "page.html").write_text(html.replace("</body>", typed), encoding="utf-8")
    shown = subprocess.run(
        [chromium, "--headless", "--no-sandbox", f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom",
         (tmp_path / "page.html").as_uri()],
        capture_output=True, text=True, timeout=60, check=True,
    ).stdout  # fmt: skip
    listed = shown[shown.index('<ul id="hits"') : shown.index("</ul>", shown.index('<ul id="hits"'))]
    assert [name for name in ("disease 1<", "disease 10<", "disease 11<", "disease 2<") if name in listed] == [
        "disease 1<", "disease 10<", "disease 11<",
    ]  # fmt: skip
    assert "3 diseases" in shown
    found = shown[shown.index('<div id="found"') :]
    found = found[found.index("<tbody>") : found.index("</table>")]
    assert data.predictions is not None
    best = data.predictions.filter(~pl.col("known") & (pl.col("disease_name") == "disease 10")).sort("rank")
    places = [found.index(f">{drug}</small>") for drug in best["drug_id"].head(LENGTHS[0])]
    assert places == sorted(places)
    assert f"{best['prob_treats'][0]:.3f}" in found
    assert "<script>alert" not in found
