"""The report as a page: what it shows for hostile, huge and empty losses files, and which files it may replace."""

import base64
import hashlib
import html
import re
import xml.etree.ElementTree as ElementTree
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from click.testing import CliRunner

from lossaudit.cli.main import main
from lossaudit.engine.table.losses import LossesTable
from lossaudit.review.report import charts
from lossaudit.review.report.figures import PairFigures
from lossaudit.review.report.page import check_report, make_report, render, write_report
from lossaudit.review.sampling import sampled
from lossaudit.review.store import Decision, DecisionStore, utc_now
from tests.review.reporting import losses_table, write_losses

NAMES = ("World", "Sports", "Business", "Sci/Tech")
HOSTILE = '<script>alert(1)</script><img src=x onerror="alert(2)">&amp;{{ 7 * 7 }}</title></style>\u202egnp\x07'


@pytest.fixture
def page_of(tmp_path):
    """The page of a losses table with these names of classes."""

    def make(table, names=NAMES, file="losses.parquet", **facts):
        return render(make_report(LossesTable.open(write_losses(table, tmp_path / file, names, **facts))))

    return make


@pytest.fixture
def table():
    chances = np.random.default_rng(0).dirichlet([0.4] * 4, 300)
    return losses_table([row % 4 for row in range(300)], chances, NAMES)


def words(page):
    """What a person reads."""
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", page[page.index("<body>") :])).split())


def test_a_page_is_sound_and_loads_nothing(page_of, table):
    page = page_of(table)
    for svg in re.findall(r"<svg.*?</svg>", page, re.DOTALL):
        ElementTree.fromstring(svg)
    assert len(re.findall(r'role="img"', page)) == 4
    for name in ("loss", "confusion", "reliability", "length"):
        assert page.count(f'id="{name}-title"') == page.count(f'id="{name}-said"') == 1
    assert not re.search(r"<(script|img|link|iframe|object|base)|\b(src|href|style|on\w+)=|url\(|@import", page)
    assert "nan" not in re.findall(r"[a-z]+", page)
    style = re.search(r"<style>(.*?)</style>", page, re.DOTALL)[1]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"default-src 'none'; style-src 'sha256-{digest}'" in html.unescape(page)


def test_hostile_texts_and_names_are_only_shown(page_of):
    names = [HOSTILE, "b" + HOSTILE, "c"]
    chances = np.random.default_rng(0).dirichlet([0.4] * 3, 60)
    table = losses_table([row % 3 for row in range(60)], chances, names, text=[HOSTILE] * 60, truncated=[True] * 60)
    page = page_of(
        table, names, model=HOSTILE, revision=[HOSTILE], source={"name": HOSTILE, "limit": HOSTILE}, run=HOSTILE
    )
    assert "<script" not in page
    assert "<img" not in page
    assert page.count("</style>") == 1
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "{{ 7 * 7 }}" in page
    assert not {"\u202e", "\x07"} & set(page)


def test_a_hostile_page_runs_nothing(browser, page_of, tmp_path):
    table = losses_table([0, 1] * 30, [[0.3, 0.7]] * 60, [HOSTILE, "b"], text=[HOSTILE] * 60)
    (tmp_path / "report.html").write_text(page_of(table, [HOSTILE, "b"]), encoding="utf-8")
    page, problems, asked = browser.new_page(), [], []
    page.on("dialog", lambda dialog: problems.append(dialog.message))
    page.on("console", lambda message: problems.append(message.text))
    page.on("request", lambda request: asked.append(request.url))
    page.goto((tmp_path / "report.html").as_uri())
    assert page.locator(".card").first.evaluate("e => getComputedStyle(e).borderRadius") != "0px", "its style is on"
    for width in (1280, 390):
        page.set_viewport_size({"width": width, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.close()
    assert problems == []
    assert asked == [(tmp_path / "report.html").as_uri()]


def test_long_names_and_texts_leave_it_small(page_of):
    names = [f"{index} " + "very long " * 2000 for index in range(30)]
    chances = np.random.default_rng(0).dirichlet([0.1] * 30, 400)
    text = ["a text without an end " * 5000] * 400
    table = losses_table([row % 30 for row in range(400)], chances, names, text=text, truncated=[True] * 400)
    assert len(page_of(table, names, model="m" * 100_000).encode()) < 300_000


def test_five_thousand_classes(page_of):
    names = [f"class {index}" for index in range(5000)]
    draw = np.random.default_rng(0)
    true = draw.integers(0, 5000, 600)
    chances = np.full((600, 5000), 0.1 / 4999, dtype=np.float32)
    chances[np.arange(600), true] = 0.9
    page = page_of(losses_table(np.where(draw.random(600) < 0.1, 7, true), chances, names), names)
    assert len(page.encode()) < 300_000
    said = words(page)
    assert re.search(r"only 12 of \d+ labels, those of the most frequent pairs", said)
    assert re.search(r"The 25 of \d+ given labels", said)
    assert re.search(r"the 12 most frequent pairs of \d+", said)


def test_one_class(page_of):
    said = words(page_of(losses_table([0] * 20, [[1.0]] * 20, ["only"]), ["only"]))
    assert "The model has only one class" in said
    assert "so there are no suspicious pairs" in said
    assert "20 rows, all with a loss" in said


def test_all_labels_right(page_of):
    said = words(page_of(losses_table([0, 1] * 20, [[0.99, 0.01], [0.01, 0.99]] * 20, "ab"), "ab"))
    assert "that the model doubts 0 0% of 40" in said
    assert "for 100% of these" in said
    assert "so there are no suspicious pairs" in said


def test_no_row_with_a_loss(page_of):
    page = page_of(losses_table([], [], NAMES, unlabelled=3))
    said = words(page)
    assert "3 rows, 0 of them with a loss" in said
    assert said.count("No row has a loss") == 7
    assert "missing_label 3 100% 0" in said
    assert 'role="img"' not in page


def test_no_rows_at_all(page_of):
    assert "0 rows, 0 of them with a loss" in words(page_of(losses_table([], [], NAMES)))


def test_losses_beyond_the_scale_are_counted_at_its_ends(page_of):
    assert "less than 1.6e-06 1" in words(page_of(losses_table([0], [[1.0, 0.0]], "ab", loss=[0.0]), "ab"))
    said = words(page_of(losses_table([0] * 3, [[1.0, 0.0]] * 3, "ab", loss=[0.0, 1e-300, 690.0]), "ab"))
    assert "less than 1.6e-06 2 63 or more 1" in said


def test_without_probabilities_it_says_why(page_of, table):
    said = words(page_of(table.drop_columns(["probabilities"])))
    assert "not estimated The losses file lacks the probabilities of all classes" in said
    assert "Doubted labels aren't counted" in said


def test_a_file_without_facts_says_so(page_of, table):
    said = words(page_of(table, None, "losses.csv"))
    assert "The file says nothing else about its run" in said
    assert "Labels that the model doubts" in said
    assert "not estimated" not in said


def test_the_facts_of_the_run(page_of, table):
    run = {"versions": {"lossaudit": "1.2", "cpu": "3.4"}, "scored": 300, "seconds": 1.5}
    source = {"name": "ag_news", "config": None, "split": "train", "limit": 300, "fingerprint": "abc"}
    facts = {"model": "acme/model", "max_length": 512, "precision": "exact-top", "exact_top": 50, "graph": "int8"}
    said = words(page_of(table, NAMES, **facts, backend="cpu", source=source, run=run))
    for fact in (
        "Model acme/model",
        "Dataset ag_news",
        "Split train",
        "Rows read the first 300",
        "Longest text 512 tokens",
        "Precision exact-top: the top 50 rows are those of fp32",
        "Graph int8 on cpu",
        "Speed 200 rows/s (300 rows in 1.5 s)",
        "Versions lossaudit 1.2, onnxruntime 3.4",
        "top 50: loss",
    ):
        assert fact in said


def decide(path, *verdicts):
    with DecisionStore.open(LossesTable.open(path)) as store:
        store.add(
            Decision(row, verdict, "World" if verdict == "relabel" else None, "Ada", "page", utc_now())
            for row, verdict in enumerate(verdicts)
        )


def test_decisions_are_told_with_their_interval(table, tmp_path):
    path = write_losses(table, tmp_path / "losses.parquet", NAMES)
    decide(path, *["relabel"] * 6, *["keep"] * 2, "unsure", "discard")
    said = words(render(make_report(LossesTable.open(path))))
    assert "6 of 8 judged labels were wrong" in said
    assert "75.0%, 95 % interval: 40.9% to 92.9%" in said
    assert "10 rows reviewed: 6 relabelled, 2 kept, 1 unsure, 1 discarded." in said


def test_a_random_sample_is_told_with_its_interval(table, tmp_path):
    path = write_losses(table, tmp_path / "losses.parquet", NAMES)
    losses = LossesTable.open(path)
    drawn = sampled(losses, 40).drawn.tolist()
    with DecisionStore.open(losses) as store:
        store.add(Decision(row, "keep", None, "Ada", "page", utc_now()) for row in drawn)
    said = words(render(make_report(losses)))
    assert f"0% of all {len(table):,} labels are wrong 95 % interval: 0% to" in said
    assert "estimated from 40 random rows" in said
    assert "--sample 100" not in said


def test_after_a_new_audit_only_decisions_about_texts_that_are_there_are_told(table, tmp_path):
    path = write_losses(table, tmp_path / "losses.parquet", NAMES)
    decide(path, "relabel", "keep")
    texts = [f"another {text}" if text == "example 0" else text for text in table["text"].to_pylist()]
    for name, column in {"text": pa.chunked_array([texts]), "loss": pc.add(table["loss"], 1e-6)}.items():
        table = table.set_column(table.schema.get_field_index(name), name, column)
    write_losses(table, path, NAMES)
    said = words(render(make_report(LossesTable.open(path))))
    assert "1 row reviewed: 0 relabelled, 1 kept" in said


def test_only_unsure_decisions(table, tmp_path):
    path = write_losses(table, tmp_path / "losses.parquet", NAMES)
    decide(path, "unsure")
    assert "none judged" in words(render(make_report(LossesTable.open(path))))


def test_the_heat_map_takes_the_labels_of_the_most_frequent_pairs():
    pairs = [PairFigures(f"a{n}", f"b{n}", 40 - n, 1.0) for n in range(20)] + [PairFigures("a0", "b3", 1, 1.0)]
    names = charts.confused_labels(pairs)
    assert names == [name for n in range(6) for name in (f"a{n}", f"b{n}")]
    chart = charts.heat_map(pairs)
    assert [m.text for m in chart.marks if m.kind == "label" and "value" in m.css] == [
        "40",
        "1",
        "39",
        "38",
        "37",
        "36",
        "35",
    ]


def test_the_heat_maps_legend_covers_every_count_once():
    for most in (1, 2, 3, 5, 31, 218, 10**6):
        chart = charts.heat_map([PairFigures("a", "b", most, 1.0), PairFigures("b", "a", 1, 1.0)])
        spans = [[int(end.replace(",", "")) for end in text.split("–")] for _, text in chart.legend]
        assert spans[0][0] == 1
        assert spans[-1][-1] == most
        assert all(later[0] == sooner[-1] + 1 for sooner, later in pairwise(spans))
        for css, text in chart.legend:
            ends = [int(end.replace(",", "")) for end in text.split("–")]
            assert {charts.level(rows, most) for rows in ends} == {int(css[-1])}


def test_a_report_is_replaced_and_nothing_else(table, tmp_path, refused):
    losses = write_losses(table, tmp_path / "losses.parquet", NAMES)
    path = tmp_path / "new folder" / "report.html"
    write_report(losses, path)
    first = path.read_text()
    write_report(losses, path, 5)
    assert path.read_text() != first
    path.write_text("<!doctype html>\n<p>my own page")
    with refused("report.html", "isn't a lossaudit report", "name another file"):
        write_report(losses, path)
    assert path.read_text() == "<!doctype html>\n<p>my own page"
    assert [file.name for file in path.parent.iterdir()] == ["report.html"]


def test_names_that_are_refused(tmp_path, refused):
    (tmp_path / "folder.html").mkdir()
    (tmp_path / "file").write_text("")
    for name, why in (
        ("report.pdf", "must end in .html"),
        ("report", "must end in .html"),
        ("folder.html", "is a folder"),
        ("file/report.html", "is not a folder"),
    ):
        with refused(name, why):
            check_report(tmp_path / name)


def test_the_command(table, tmp_path):
    losses = write_losses(table, tmp_path / "losses.parquet", NAMES)
    done = CliRunner().invoke(main, ["report", str(losses), "-o", str(tmp_path / "report.html"), "--top", "20"])
    assert done.exit_code == 0
    assert re.search(r"disagrees confidently with about \d+ labels\.", done.stdout)
    assert "--sample 100" in done.stdout
    assert "top 20: loss" in (tmp_path / "report.html").read_text()
    refused = CliRunner().invoke(main, ["report", str(losses), "-o", str(losses)])
    assert refused.exit_code == 2
    assert "must end in .html" in refused.stderr


def test_audit_writes_it_in_one_go(bundle_folder, data_csv, tmp_path):
    output, report = tmp_path / "losses.parquet", tmp_path / "report.html"
    command = ["audit", str(bundle_folder), str(data_csv), "-o", str(output), "--report", str(report), "--no-tune"]
    done = CliRunner().invoke(main, command)
    assert done.exit_code == 0, done.output
    assert f"Wrote {report}" in done.stdout
    assert "60 rows, all with a loss" in words(report.read_text())
    output.unlink()
    report.write_text("mine")
    again = CliRunner().invoke(main, command)
    assert again.exit_code == 2
    assert "isn't a lossaudit report" in again.stderr
    assert not output.exists(), "refused before the work"


def test_the_page_shows_conflicts_or_says_that_there_are_none(page_of, table):
    assert "None: rows with the same text have the same given label." in page_of(table)
    texts = [HOSTILE] * 2 + [f"t{row}" for row in range(298)]
    page = page_of(table.set_column(table.column_names.index("text"), "text", [texts]))
    assert "<b>1 text has</b> different given labels, in 2 rows, so at least 1 of these labels is wrong" in page
    assert "lossaudit top losses.parquet --conflicts -n 2" in page
    assert "<script" not in page
    without = page_of(table.drop_columns(["text"]), text_column=None)
    assert "The losses file has no column with the texts." in without


def test_the_page_shows_leaks_or_says_that_there_are_none(page_of, table):
    at = table.column_names.index("probabilities") + 1
    assert "several splits" not in page_of(table)
    splits = pa.array(["train"] * 200 + [HOSTILE] * 100)
    one = table.add_column(at, "split", [splits]).add_column(at + 1, "also_in", [pa.nulls(300, pa.string())])
    assert "None: no text of a row with a loss is in two splits." in page_of(one)
    texts = ["the same"] + [f"t{row}" for row in range(298)] + ["the same"]
    page = page_of(one.set_column(one.column_names.index("text"), "text", [texts]))
    assert "<b>1 text is</b> in several splits, in 2 rows" in page
    assert "lossaudit top losses.parquet --leaks -n 2" in page
    assert "2 rows in <bdi>" in page
    assert "<script" not in page
