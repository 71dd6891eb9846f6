"""Where parts are kept: a local folder, and the meaning of URLs. Both store only whole files."""

import uuid

import fsspec
import pyarrow as pa
import pytest

from lossaudit.engine.model.precision import Choice
from lossaudit.engine.model.tuning import Plan
from lossaudit.engine.run.folders import LocalFolder, UrlFolder, folder_at
from lossaudit.engine.run.kept_parts import KeptParts, part_stem

CHOICE = Choice("fp32", Plan("fp32", "cpu", 2, 1), None, 500, "as asked")
PART = pa.table({"id": [0, 1], "text": ["a", "b"]})


@pytest.fixture(params=["path", "file://", "memory://"])
def place(request, tmp_path):
    """The name of a new folder of each kind."""
    folder = tmp_path / "a folder" / "new"
    names = {"path": str(folder), "file://": f"file://{folder}", "memory://": f"memory://{uuid.uuid4()}/new"}
    return names[request.param]


def test_a_path_is_local_and_a_url_is_not(tmp_path):
    assert isinstance(folder_at(str(tmp_path / "x")), LocalFolder)
    assert isinstance(folder_at("memory://x"), UrlFolder)


def test_files_are_written_read_replaced_and_deleted(place):
    folder = folder_at(place)
    assert folder.names() == []
    folder.write("run.json", b"{}")
    folder.write("part-1.parquet", b"\x00\xff" * 1000)
    assert sorted(folder.names()) == ["part-1.parquet", "run.json"]
    folder.write("run.json", b"[1]")
    assert folder.read("run.json") == b"[1]"
    assert folder.read("part-1.parquet") == b"\x00\xff" * 1000
    folder.delete("run.json")
    assert folder.names() == ["part-1.parquet"]
    assert str(folder) == place


def test_what_one_has_written_another_sees(place):
    first, second = folder_at(place), folder_at(place)
    assert second.names() == []
    first.write("part", b"1")
    assert second.names() == ["part"]
    assert second.read("part") == b"1"
    first.delete("part")
    assert second.names() == []


def test_a_missing_file_is_not_found(place):
    with pytest.raises(FileNotFoundError):
        folder_at(place).read("nothing")


def test_parts_are_kept_and_found_again(place, tmp_path):
    with KeptParts.open(tmp_path / "local", {"model": "a"}, elsewhere=place) as kept:
        kept.decide(CHOICE)
        kept.write(part_stem(0), PART)
    assert {path.name for path in (tmp_path / "local").iterdir()} <= {"lossaudit-parts", "lock", "owner", "scratch"}
    with KeptParts.open(tmp_path / "local", {"model": "a"}, elsewhere=place) as kept:
        assert kept.choice == CHOICE
        assert kept.read(part_stem(0)) == PART
        kept.discard()
    assert folder_at(place).names() == []


def test_a_damaged_part_is_not_used(place, tmp_path):
    with KeptParts.open(tmp_path / "local", {}, elsewhere=place) as kept:
        kept.decide(CHOICE)
        kept.write(part_stem(0), PART)
        folder = folder_at(str(kept))
        (name,) = (name for name in folder.names() if name.startswith("part-"))
        folder.write(name, folder.read(name)[:-1])
        assert kept.read(part_stem(0)) is None
        assert name not in folder.names()


SPARK = ("part-00000-0123.snappy.parquet", "again-1.parquet", "run.json", "_SUCCESS", "lock", "owner")


@pytest.mark.parametrize("restart", [False, True])
def test_what_others_have_in_the_place_stays(place, tmp_path, restart):
    folder = folder_at(place)
    for name in SPARK:
        folder.write(name, b"theirs")
    with KeptParts.open(tmp_path / "local", {}, restart, place) as kept:
        kept.decide(CHOICE)
        kept.write(part_stem(0), PART)
        kept.discard()
    assert sorted(folder.names()) == sorted(SPARK)
    assert {folder.read(name) for name in SPARK} == {b"theirs"}


def test_two_audits_in_one_place_do_not_meet(place, tmp_path):
    one = KeptParts.open(tmp_path / "a" / "losses.parquet.parts", {"model": "a"}, elsewhere=place)
    other = KeptParts.open(tmp_path / "b" / "losses.parquet.parts", {"model": "b"}, elsewhere=place)
    for kept in (one, other):
        kept.decide(CHOICE)
        kept.write(part_stem(0), PART)
    one.discard()
    assert other.sound(part_stem(0)) == PART
    other.discard()
    assert folder_at(place).names() == []


def test_a_place_at_a_path_is_locked_even_from_another_output_folder(tmp_path, refused, monkeypatch):
    """As two machines see it that mount the place and have outputs of the same path."""
    monkeypatch.setattr("lossaudit.engine.run.kept_parts._own_name", lambda _: "same")
    place = str(tmp_path / "place")
    with KeptParts.open(tmp_path / "a", {}, elsewhere=place), refused("same is in use by process"):
        KeptParts.open(tmp_path / "b", {}, elsewhere=place)
    KeptParts.open(tmp_path / "b", {}, elsewhere=place).discard()


def test_a_place_at_a_url_goes_to_the_last_and_the_one_before_ends(tmp_path, refused, monkeypatch):
    monkeypatch.setattr("lossaudit.engine.run.kept_parts._own_name", lambda _: "same")
    place = f"memory://{uuid.uuid4()}"
    first = KeptParts.open(tmp_path / "a", {}, elsewhere=place)
    assert first.taken_from is None
    with first:
        first.decide(CHOICE)
        first.write(part_stem(0), PART)
        second = KeptParts.open(tmp_path / "b", {}, elsewhere=place)
        assert "process" in str(second.taken_from)
        for change in (lambda: first.write(part_stem(4096), PART), first.discard, lambda: first.decide(CHOICE)):
            with refused("same was taken over by process", "so this run ends here"):
                change()
    assert second.sound(part_stem(0)) == PART
    second.discard()
    KeptParts.open(tmp_path / "a", {}).discard()  # the lock on the local folder was released


def test_a_killed_process_leaves_a_place_that_is_taken_from_it(tmp_path, place):
    with KeptParts.open(tmp_path / "a", {}, elsewhere=place) as kept:
        kept.decide(CHOICE)
        kept.write(part_stem(0), PART)
    folder = folder_at(str(kept))
    folder.write(".lossaudit-parts.x", b"half")
    if "://" in place:
        assert "owner" not in folder.names()  # it ended by itself
        folder.write("owner", b"process 1 on another machine")
    with KeptParts.open(tmp_path / "a", {}, elsewhere=place) as kept:
        assert kept.taken_from == ("process 1 on another machine" if "://" in place else None)
        assert kept.sound(part_stem(0)) == PART


def test_a_place_that_cannot_be_is_one_line(refused, tmp_path):
    with refused("nosuchkind://bucket/audit can't be used"):
        folder_at("nosuchkind://bucket/audit")
    (tmp_path / "file").write_text("")
    with refused("cannot write", "file"):
        folder_at(str(tmp_path / "file" / "below"))
    with refused(f"file://{tmp_path}/file/below can't be used"):
        folder_at(f"file://{tmp_path}/file/below")


def test_a_write_that_fails_is_one_line_and_leaves_what_was_there(refused, monkeypatch):
    url = f"memory://{uuid.uuid4()}"
    folder = folder_at(url)
    folder.write("part", b"old")

    def full(*_, **__):
        raise OSError("no space\nleft")

    monkeypatch.setattr(fsspec.implementations.memory.MemoryFileSystem, "pipe_file", full)
    with refused(f"{url} can't be used: no space left"):
        folder.write("part", b"new")
    assert folder.read("part") == b"old"
