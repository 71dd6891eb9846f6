"""Runs every `lossaudit` command line of the documents and the commands' examples, in their order, in a folder with
the files that they name. Lines that need an unavailable hub or server must say so.
"""

import gzip
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import datasets
import pytest
from click.testing import CliRunner

from lossaudit.cli.main import main
from lossaudit.engine.doctor import speed
from lossaudit.engine.table.formats import write_table
from lossaudit.engine.table.losses import LossesTable
from lossaudit.review.store import Decision, DecisionStore, utc_now
from tests.documents import HOUSE, command_lines, examples, scripts

LABELS = ("World", "Business", "Billing", "Other")
FAR = {
    r"rubrix|argilla|label-studio": r"can't be reached|there is no key",
    r"distilbert-base-uncased-finetuned-sst-2-english|andi611/|\bag_news\b": r"can't be (had|downloaded)",
    r"--provider cuda": r"no CUDA provider",
}
"""Lines that ask for something on the network or for a GPU, and what they say where there is none."""
HERE = {"sentence-transformers/all-MiniLM-L6-v2": "my-encoder"}
"""What stands for a hub's model where the lines after it need one."""
ELSEWHERE = {r"--ray": "tests/e2e/test_ray.py", r"^demo": "tests/e2e/test_demo.py"}
"""Lines that take a cluster or minutes, and the test that runs them."""


@pytest.fixture(scope="module")
def materials(make_checkpoint, encoder_checkpoint, rows, tmp_path_factory):
    """What the documents speak of: models, a bundle, datasets, a losses file with a decision, a file of records."""
    folder = tmp_path_factory.mktemp("materials")
    checkpoint = make_checkpoint(labels=LABELS)
    for name in ("my-model", "my-finetuned-model", "my-tagger"):
        shutil.copytree(checkpoint, folder / name)
    shutil.copytree(encoder_checkpoint, folder / "my-encoder")
    made("export", folder / "my-model", "-o", folder / "bundle")
    onnx = shutil.copytree(folder / "bundle", folder / "optimums-onnx-folder")
    for extra in (*onnx.glob("*.int8*"), onnx / "manifest.json"):
        extra.unlink()
    shutil.copy(checkpoint / "config.json", onnx)
    (folder / "reviews.csv").write_text("text,label\n" + "".join(f"{r['text']},{r['label']}\n" for r in rows))
    given = ("refund", "3", "World", "Business")
    (folder / "tickets.csv").write_text("text,label\n" + "".join(f"{r['text']},{given[r['label']]}\n" for r in rows))
    shutil.copy(folder / "reviews.csv", folder / "articles.csv")
    (folder / "pairs.csv").write_text(
        "premise,hypothesis,label\n" + "".join(f"{r['text']},the bank,{r['label']}\n" for r in rows)
    )
    (folder / "posts.csv").write_text(
        "text,tags\n" + "".join(f"{r['text']},{LABELS[r['label']]};World\n" for r in rows)
    )
    splits = {"train": rows[10:], "test": rows[:20]}
    datasets.DatasetDict({name: datasets.Dataset.from_list(of_it) for name, of_it in splits.items()}).save_to_disk(
        folder / "my-dataset"
    )
    (folder / "parts").mkdir()
    for part in range(2):
        lines = [json.dumps({"text": r["text"], "category": LABELS[r["label"]]}) + "\n" for r in rows[part::2]]
        (folder / "parts" / f"{part}.jsonl.gz").write_bytes(gzip.compress("".join(lines).encode()))
    made("audit", folder / "bundle", folder / "reviews.csv", "-o", folder / "losses.parquet")
    made("audit", folder / "bundle", folder / "my-dataset", "--split", "all", "-o", folder / "splits.parquet")
    table = LossesTable.open(folder / "losses.parquet").top(60)
    # A random model may predict one label alone, and the documents ask for pairs of them.
    names = [LABELS[row % len(LABELS)] for row in range(len(table))]
    table = table.set_column(table.schema.get_field_index("prediction_name"), "prediction_name", [names])
    write_table([table], table.schema, folder / "losses.parquet")
    shutil.copy(folder / "losses.parquet", folder / "other.parquet")
    with DecisionStore.open(LossesTable.open(folder / "other.parquet")) as store:
        store.add([Decision(0, "keep", None, "ada", "page", utc_now())])
    made("decisions", "export", folder / "other.parquet", "-o", folder / "decisions.jsonl")
    labelled = "".join(f"{r['text']},{LABELS[r['label']]}\n" for r in rows)
    (folder / "labelled.csv").write_text("text,label\n" + labelled)
    (folder / "labels.md").write_text("# World\n\nConflicts, elections and disasters.\n")
    made("log", folder / "losses.parquet", "--to", "jsonl", "-o", folder / "records.jsonl", "-n", 5)
    return folder


def call(*arguments):
    result = CliRunner().invoke(main, [str(argument) for argument in arguments], input="y\n")
    return result.exit_code, " ".join(result.output.split())


def made(*arguments):
    code, said = call(*arguments)
    assert code == 0, said


def review(arguments):
    """Opens the page in a process of its own, and ends it as people do."""
    command = [sys.executable, "-m", "lossaudit", *arguments, *(["--port", "0"] if "--port" not in arguments else [])]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ | {"BROWSER": "true"})
    said = []
    for line in process.stdout:
        said.append(line)
        if line.startswith("http"):
            break
    process.send_signal(signal.SIGINT)
    said.append(process.communicate(timeout=60)[0])
    return process.returncode, "".join(said)


def run(arguments):
    if arguments[0] == "review":
        return review(arguments)
    if arguments[0] in ("apply", "rerank", "decisions"):  # by now a person has looked
        losses = Path(next(argument for argument in arguments if argument.endswith(".parquet")))
        with DecisionStore.open(LossesTable.open(losses)) as store:
            row = LossesTable.open(losses).top(1)["id"][0].as_py()
            store.add([Decision(row, "discard", None, "ada", "page", utc_now())])
    return call(*arguments)


def matching(patterns, line):
    return next((value for pattern, value in patterns.items() if re.search(pattern, line)), None)


SCRIPTS = {where: script for where, script in [*scripts(), *examples(main)] if any(command_lines(script))}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of argilla's own libraries
@pytest.mark.parametrize("script", SCRIPTS.values(), ids=SCRIPTS)
def test_what_a_document_says_can_be_typed(script, materials, tmp_path, monkeypatch):
    here = shutil.copytree(materials, tmp_path / "here", symlinks=True)
    monkeypatch.chdir(here)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(speed, "SECONDS", 0.04)  # of the doctor
    for arguments in command_lines(script):
        arguments = [HERE.get(argument, argument) for argument in arguments]
        line = shlex.join(arguments)
        if matching(ELSEWHERE, line):
            continue
        code, said = run(arguments)
        refusal = matching(FAR, line)
        if refusal is None:
            assert code == 0, f"{line}: {said}"
        else:
            assert code == 2, f"{line}: {said}"
            assert re.search(refusal, said), f"{line}: {said}"


@pytest.mark.parametrize("test", ELSEWHERE.values())
def test_what_runs_elsewhere_is_there(test):
    assert (HOUSE / test).is_file()
