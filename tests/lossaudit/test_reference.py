"""docs/api.md matches the current docstrings and describes every public name, and its examples run."""

import re
import shutil

import lossaudit as la
from lossaudit.engine.table.losses import LossesTable
from lossaudit.review.store import Decision, DecisionStore, utc_now
from tests import api_reference

EXAMPLES = re.compile(r"```python\n(.*?)```", re.DOTALL)


def test_the_page_is_what_the_docstrings_say():
    assert api_reference.PAGE.read_text(encoding="utf-8") == api_reference.page(), "run: make docs"


def test_every_public_name_is_described():
    page = api_reference.page()
    assert not [name for name in la.__all__ if f"la.{name}" not in page]
    members = [name for name in vars(la.Losses) if not name.startswith("_")]
    assert not [name for name in members if f"### losses.{name}\n" not in page]


def test_the_examples_run(checkpoint, encoder_checkpoint, rows, tmp_path, monkeypatch):
    names = ["World", "sport", "Business", "Sci/Tech"]
    lines = [f"{row['text']},{names[row['label']]}\n" for row in rows]
    (tmp_path / "reviews.csv").write_text("text,label\n" + "".join(lines))
    for folder, source in (("my-model", checkpoint), ("my-encoder", encoder_checkpoint)):
        shutil.copytree(source, tmp_path / folder)
    monkeypatch.chdir(tmp_path)
    code = "\n".join(EXAMPLES.findall(api_reference.PAGE.read_text(encoding="utf-8")))
    assert code.count("la.") >= 8
    found = {}
    before, rerank, after = code.partition("losses.rerank()")
    exec(compile(before, "docs/api.md", "exec"), found)
    table = LossesTable.open(tmp_path / "losses.parquet")
    with DecisionStore.open(table) as store:
        rows_of_top = table.top(20)["id"].to_pylist()
        store.add(
            [Decision(row, "keep" if row % 2 else "discard", None, "ada", "page", utc_now()) for row in rows_of_top]
        )
    exec(compile(rerank + after, "docs/api.md", "exec"), found)
    assert len(found["losses"]) == len(found["fitted"]) == len(rows)
    assert found["scores"].loss.shape == (2,)
