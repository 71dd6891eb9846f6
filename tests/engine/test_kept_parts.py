"""Kept parts: an interrupted audit goes on, and parts of another audit, or damaged ones, are never used."""

import subprocess
import sys

import datasets
import pyarrow as pa
import pytest

from lossaudit.engine.audit import Audit, AuditOptions
from lossaudit.engine.bundle import Bundle
from lossaudit.engine.kept_parts import KeptParts, folder_for, part_stem
from lossaudit.engine.scoring import Scorer
from lossaudit.engine.source import open_dataset

PART = pa.table({"id": [0, 1], "text": ["a", "b"]})


@pytest.fixture
def folder(tmp_path):
    return folder_for(tmp_path / "losses.parquet")


def test_a_part_is_read_back(folder):
    with KeptParts.open(folder, {"model": "a"}) as kept:
        kept.decide({"plan": 1})
        kept.write(part_stem(4096), PART)
    with KeptParts.open(folder, {"model": "a"}) as kept:
        assert kept.facts == {"plan": 1}
        assert kept.read(part_stem(4096)) == PART
        assert kept.read(part_stem(0)) is None
        kept.discard()
    assert not folder.exists()


@pytest.mark.parametrize("spoil", [lambda data: data[:-1], lambda data: data[:20] + b"!" + data[21:], lambda _: b""])
def test_a_damaged_part_is_not_used(folder, spoil):
    with KeptParts.open(folder, {}) as kept:
        kept.decide({"plan": 1})
        kept.write(part_stem(0), PART)
        (part,) = folder.glob("part-*")
        part.write_bytes(spoil(part.read_bytes()))
        assert kept.read(part_stem(0)) is None
        assert not part.exists()


def test_parts_of_another_audit_are_refused_with_what_differs(folder, refused):
    with KeptParts.open(folder, {"bundle": "a", "rows": 5}) as kept:
        kept.decide({"plan": 1})
        kept.write(part_stem(0), PART)
    with refused("rows was 5 and is 6", "--restart"):
        KeptParts.open(folder, {"bundle": "a", "rows": 6})
    with KeptParts.open(folder, {"bundle": "a", "rows": 6}, restart=True) as kept:
        assert kept.facts == {}
        assert kept.read(part_stem(0)) is None


@pytest.mark.parametrize("run", ["", "{", "[]", '{"identity": 1, "facts": {}}'])
def test_a_spoilt_run_file_begins_anew(folder, run):
    with KeptParts.open(folder, {}) as kept:
        kept.decide({"plan": 1})
        kept.write(part_stem(0), PART)
    (folder / "run.json").write_text(run)
    with KeptParts.open(folder, {}) as kept:
        assert kept.facts == {}
        assert kept.read(part_stem(0)) is None


OPEN = "import sys; from pathlib import Path; from lossaudit.engine.kept_parts import KeptParts; "
OPEN += "kept = KeptParts.open(Path(sys.argv[1]), {}); "


def test_the_second_is_told_who_holds_the_folder(folder):
    with KeptParts.open(folder, {}):
        other = subprocess.run([sys.executable, "-c", OPEN, folder], capture_output=True, text=True, check=False)
    assert "is in use by process" in other.stderr


def test_a_lock_of_a_dead_process_is_taken_over(folder):
    died = subprocess.run([sys.executable, "-c", f"{OPEN} import os; os._exit(9)", folder], check=False)
    assert died.returncode == 9
    with KeptParts.open(folder, {}) as kept:
        assert kept.facts == {}


class StopHereError(Exception):
    pass


@pytest.mark.parametrize("precision", ["fp32", "int8", "exact-top"])
def test_an_interrupted_audit_goes_on_to_the_same_table(bundle_folder, rows, folder, monkeypatch, shards_of, precision):
    shards_of(16)
    bundle, dataset = Bundle.load(bundle_folder), datasets.Dataset.from_list(rows)
    options = AuditOptions(precision=precision, top=3 if precision == "exact-top" else None, tune=False)
    expected = Audit(bundle, dataset, options).run().table

    scored: list[int] = []
    score = Scorer.score

    def counting(self, shard, *arguments):
        if len(scored) == 2:
            raise StopHereError
        scored.append(len(shard.places))
        return score(self, shard, *arguments)

    monkeypatch.setattr(Scorer, "score", counting)
    audit = Audit(bundle, dataset, options)
    with audit.keep_parts(folder), pytest.raises(StopHereError):
        audit.run()
    monkeypatch.setattr(Scorer, "score", score)

    audit = Audit(bundle, dataset, options)
    with audit.keep_parts(folder) as kept:
        assert kept.facts
        audited = audit.run()
        assert audited.table == expected
        kept.discard()
    assert audited.scored == len(rows) - sum(scored)
    assert not folder.exists()


def test_a_dataset_that_changed_is_noticed(bundle_folder, write_file, folder, refused):
    def audit():
        dataset = open_dataset(str(data))
        return Audit(Bundle.load(bundle_folder), dataset, AuditOptions(precision="fp32", tune=False))

    data = write_file("a.csv", "text,label\nthe team,0\n")
    for _ in range(2):
        same = audit()
        with same.keep_parts(folder):
            same.run()
    write_file("a.csv", "text,label\nthe bank,0\n")
    with refused("dataset was"):
        audit().keep_parts(folder)
