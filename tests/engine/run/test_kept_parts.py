"""Kept parts: an interrupted audit resumes, and damaged parts or those of another audit are never used."""

import subprocess
import sys

import datasets
import pyarrow as pa
import pytest

from lossaudit.engine.data.source import open_dataset
from lossaudit.engine.errors import LossAuditError
from lossaudit.engine.model.bundle import Bundle
from lossaudit.engine.model.precision import Choice
from lossaudit.engine.model.scoring import Scorer
from lossaudit.engine.model.tuning import Plan
from lossaudit.engine.run.audit import Audit
from lossaudit.engine.run.folders import LocalFolder
from lossaudit.engine.run.kept_parts import KeptParts, folder_for, part_stem
from lossaudit.engine.run.options import AuditOptions
from lossaudit.engine.scratch import Scratch

CHOICE = Choice("exact-top", Plan("int8", "cpu", 2, 1), Plan("fp32", "cpu", 2, 1), 500, "as asked")
PART = pa.table({"id": [0, 1], "text": ["a", "b"]})


@pytest.fixture
def folder(tmp_path):
    return folder_for(tmp_path / "losses.parquet")


def test_a_part_is_read_back(folder):
    with KeptParts.open(folder, {"model": "a"}) as kept:
        kept.decide(CHOICE)
        kept.write(part_stem(4096), PART)
    with KeptParts.open(folder, {"model": "a"}) as kept:
        assert kept.choice == CHOICE
        assert kept.read(part_stem(4096)) == PART
        assert kept.read(part_stem(0)) is None
        kept.discard()
    assert not folder.exists()


def test_an_interruption_right_after_the_first_part_keeps_it(folder, monkeypatch):
    write = LocalFolder.write

    def interrupted(self, name, data):
        write(self, name, data)
        if name.startswith("part-"):
            raise KeyboardInterrupt

    monkeypatch.setattr(LocalFolder, "write", interrupted)

    def audit():
        with KeptParts.open(folder, {}) as kept:
            kept.decide(CHOICE)
            kept.write(part_stem(0), PART)

    with pytest.raises(KeyboardInterrupt):
        audit()
    with KeptParts.open(folder, {}) as kept:
        assert kept.read(part_stem(0)) == PART


@pytest.mark.parametrize("spoil", [lambda data: data[:-1], lambda data: data[:20] + b"!" + data[21:], lambda _: b""])
def test_a_damaged_part_is_not_used(folder, spoil):
    with KeptParts.open(folder, {}) as kept:
        kept.decide(CHOICE)
        kept.write(part_stem(0), PART)
        (part,) = folder.glob("part-*")
        part.write_bytes(spoil(part.read_bytes()))
        assert kept.read(part_stem(0)) is None
        assert not part.exists()


def test_parts_of_another_audit_are_refused_with_what_differs(folder, refused):
    with KeptParts.open(folder, {"bundle": "a", "rows": 5}) as kept:
        kept.decide(CHOICE)
        kept.write(part_stem(0), PART)
    with refused("rows was 5 and is 6", "delete that folder first"):
        KeptParts.open(folder, {"bundle": "a", "rows": 6})
    with KeptParts.open(folder, {"bundle": "a", "rows": 6}, restart=True) as kept:
        assert kept.choice is None
        assert kept.read(part_stem(0)) is None


@pytest.mark.parametrize("run", ["", "{", "[]", '{"identity": 1, "choice": {}}', '{"identity": {}, "choice": {}}'])
def test_a_spoilt_run_file_begins_anew(folder, run):
    with KeptParts.open(folder, {}) as kept:
        kept.decide(CHOICE)
        kept.write(part_stem(0), PART)
    (folder / "run.json").write_text(run)
    with KeptParts.open(folder, {}) as kept:
        assert kept.choice is None
        assert kept.read(part_stem(0)) is None


def test_every_bit_of_the_run_file_counts(folder):
    """Also those whose change leaves it readable: a plan of other batches would give other losses."""
    with KeptParts.open(folder, {"model": "a"}) as kept:
        kept.decide(CHOICE)
        kept.write(part_stem(0), PART)
    run = (folder / "run.json").read_bytes()
    part = next(folder.glob("part-*"))
    content = part.read_bytes()
    for place in range(len(run)):
        (folder / "run.json").write_bytes(run[:place] + bytes([run[place] ^ 1]) + run[place + 1 :])
        part.write_bytes(content)
        try:
            with KeptParts.open(folder, {"model": "a"}) as kept:
                assert kept.choice in (None, CHOICE)
                assert (kept.read(part_stem(0)) is None) == (kept.choice is None)
                kept.write(part_stem(0), PART)  # so that the folder stays
        except LossAuditError as error:
            pytest.fail(f"a flipped bit at {place}: {error}")


def test_what_a_killed_process_left_half_done_is_cleared_away(folder):
    with KeptParts.open(folder, {}) as kept:
        kept.decide(CHOICE)
        kept.write(part_stem(0), PART)
    for name in (".part-000000000000-x.parquet.abc.parquet", ".run.json.abc.json", "scratch/ranges.abc/1"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"half")
    with KeptParts.open(folder, {}) as kept:
        assert kept.read(part_stem(0)) == PART
        assert not any(path.name.startswith(".") for path in folder.iterdir())
        assert list(kept.scratch.iterdir()) == []


def test_what_is_put_beside_ours_stays(folder):
    with KeptParts.open(folder, {}) as kept:
        for name in ("notes.txt", "part-of-mine.parquet.bak", "part-00000-0123.snappy.parquet"):
            (folder / name).write_text("mine")
        kept.decide(CHOICE)
        kept.write(part_stem(0), PART)
        kept.discard()
    assert {path.name for path in folder.iterdir()} > {"notes.txt", "part-of-mine.parquet.bak"}
    with KeptParts.open(folder, {}, restart=True) as kept:
        assert kept.read(part_stem(0)) is None
    assert (folder / "part-00000-0123.snappy.parquet").read_text() == "mine"


@pytest.mark.parametrize(
    "names", [["part-00000-0123.snappy.parquet"], ["run.json", f"part-{0:012d}-{0:032x}.parquet"], ["scratch"]]
)
@pytest.mark.parametrize("restart", [False, True])
def test_a_folder_of_another_program_or_version_is_refused_and_stays(folder, refused, names, restart):
    folder.mkdir()
    for name in names:
        (folder / name).write_text("mine")
    with refused(f"{folder} holds files that this version of lossaudit didn't write, such as {min(names)}"):
        KeptParts.open(folder, {}, restart)
    assert sorted(path.name for path in folder.iterdir()) == sorted(names)


def test_the_scratch_folder_of_the_dataset_may_be_there_first_and_last(folder):
    scratch = Scratch(folder)
    with KeptParts.open(folder, {}) as kept:
        kept.decide(CHOICE)
        kept.discard()
    assert [path.name for path in folder.iterdir()] == [scratch.path.name]
    scratch.close()
    assert not folder.exists()


def test_a_part_that_was_removed_is_made_again(folder):
    with KeptParts.open(folder, {}) as kept:
        kept.decide(CHOICE)
        kept.write(part_stem(0), PART)
        next(folder.glob("part-*")).unlink()
        assert kept.read(part_stem(0)) is None
        kept.write(part_stem(0), PART)
        assert kept.sound(part_stem(0)) == PART


def test_a_part_that_is_gone_when_it_is_needed_is_said(folder, refused):
    with KeptParts.open(folder, {}) as kept:
        kept.decide(CHOICE)
        kept.write(part_stem(0), PART)
        next(folder.glob("part-*")).write_bytes(b"")
        with refused("part-000000000000 in", "was damaged", "make the same call again to score it again"):
            kept.sound(part_stem(0))


OPEN = "import sys; from pathlib import Path; from lossaudit.engine.run.kept_parts import KeptParts; "
OPEN += "kept = KeptParts.open(Path(sys.argv[1]), {}); "


def test_the_second_is_told_who_holds_the_folder(folder):
    with KeptParts.open(folder, {}):
        other = subprocess.run([sys.executable, "-c", OPEN, folder], capture_output=True, text=True, check=False)
    assert "is in use by process" in other.stderr


def test_a_lock_of_a_dead_process_is_taken_over(folder):
    died = subprocess.run([sys.executable, "-c", f"{OPEN} import os; os._exit(9)", folder], check=False)
    assert died.returncode == 9
    with KeptParts.open(folder, {}) as kept:
        assert kept.choice is None


class StopHereError(Exception):
    pass


@pytest.mark.parametrize("precision", ["fp32", "int8", "exact-top"])
def test_an_interrupted_audit_goes_on_to_the_same_table(bundle_folder, rows, folder, monkeypatch, precision):
    bundle, dataset = Bundle.load(bundle_folder), datasets.Dataset.from_list(rows)
    options = AuditOptions(precision=precision, top=3 if precision == "exact-top" else None, tune=False, shard_rows=16)
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
        assert kept.choice is not None
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
