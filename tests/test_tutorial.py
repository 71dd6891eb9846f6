"""The tutorial's code runs in order, with a test model and test data in place of the hub's."""

import re
import shlex
import subprocess
import sys

import pytest

from tests.conftest import REPOSITORY

BLOCK = re.compile(r"```(python|sh)\n(.*?)```", re.DOTALL)


@pytest.fixture
def blocks():
    return BLOCK.findall((REPOSITORY / "docs" / "tutorial.md").read_text(encoding="utf-8"))


def test_the_tutorial_runs(blocks, checkpoint, data_csv, tmp_path, monkeypatch):
    from lossaudit.engine.table.losses import LossesTable
    from lossaudit.review.store import Decision, DecisionStore, utc_now

    monkeypatch.chdir(tmp_path)
    (kind, first), *rest = blocks
    assert kind == "python"
    assert {"MODEL", "DATASET", "SPLIT"} == set(re.findall(r"^(\w+) =", first, re.MULTILINE))
    names = {"MODEL": str(checkpoint), "DATASET": str(data_csv), "SPLIT": None}
    for kind, code in rest:
        if kind == "python":
            if (
                "predicted=" in code
            ):  # a random model may predict one label alone, so it is asked for a pair that it has
                row = LossesTable.open(tmp_path / "losses.parquet").top(1).to_pylist()[0]
                assert 'given="Business", predicted="Sci/Tech"' in code
                code = code.replace("Business", row["label_name"]).replace("Sci/Tech", row["prediction_name"])
            exec(compile(code, "docs/tutorial.md", "exec"), names)
            continue
        for line in code.splitlines():
            if "apply" in line:  # by now a person has looked
                with DecisionStore.open(LossesTable.open(tmp_path / "losses.parquet")) as store:
                    row = LossesTable.open(tmp_path / "losses.parquet").top(1)["id"][0].as_py()
                    store.add([Decision(row, "discard", None, "ada", "page", utc_now())])
            command = [sys.executable, "-m", *shlex.split(line)]
            subprocess.run(command, check=True, capture_output=True)
    assert LossesTable.open(tmp_path / "losses.parquet").text_column == "text"
    assert (tmp_path / "cleaned.parquet").is_file()
    assert len(names["pred_probs"]) == 60
