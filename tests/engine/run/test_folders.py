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
    assert {path.name for path in (tmp_path / "local").iterdir()} <= {"lock", "owner", "scratch"}
    with KeptParts.open(tmp_path / "local", {"model": "a"}, elsewhere=place) as kept:
        assert kept.choice == CHOICE
        assert kept.read(part_stem(0)) == PART
        kept.discard()
    assert folder_at(place).names() == []


def test_a_damaged_part_is_not_used(place, tmp_path):
    with KeptParts.open(tmp_path / "local", {}, elsewhere=place) as kept:
        kept.decide(CHOICE)
        kept.write(part_stem(0), PART)
        folder = folder_at(place)
        (name,) = (name for name in folder.names() if name.startswith("part-"))
        folder.write(name, folder.read(name)[:-1])
        assert kept.read(part_stem(0)) is None
        assert name not in folder.names()


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
