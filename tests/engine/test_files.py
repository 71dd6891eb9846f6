"""Files and folders that are written beside their final place and renamed into it."""

import hashlib
import os
import stat
from pathlib import Path

import pytest

from lossaudit.engine.files import file_beside, folder_beside, make_private_folder, sha256_of


@pytest.fixture
def _usual_umask():
    before = os.umask(0o022)
    yield
    os.umask(before)


def write_half(beside, name, interruption):
    """Writes half of a file and is interrupted."""
    with beside as temporary:
        (temporary / name if name else temporary).write_text("half")
        raise interruption


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


class TestFile:
    @pytest.mark.usefixtures("_usual_umask")
    def test_takes_its_place_only_when_done(self, tmp_path):
        target = tmp_path / "new" / "a.csv"
        with file_beside(target) as temporary:
            temporary.write_text("whole")
            assert temporary.suffix == ".csv"
            assert not target.exists()
        assert target.read_text() == "whole"
        assert mode(target) == 0o600
        assert list(target.parent.iterdir()) == [target]

    @pytest.mark.parametrize("interruption", [ValueError, KeyboardInterrupt, SystemExit])
    def test_interrupted_leaves_the_old_one_and_nothing_else(self, interruption, tmp_path):
        target = tmp_path / "a.csv"
        target.write_text("old")
        with pytest.raises(interruption):
            write_half(file_beside(target), None, interruption)
        assert target.read_text() == "old"
        assert list(tmp_path.iterdir()) == [target]

    def test_below_a_file_is_refused(self, tmp_path, refused):
        (tmp_path / "file").write_text("")
        with refused("cannot write", "a.csv"), file_beside(tmp_path / "file" / "a.csv"):
            pass

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
    def test_in_a_closed_folder_is_refused(self, tmp_path, refused):
        tmp_path.chmod(0o500)
        with refused("cannot write", "Permission denied"), file_beside(tmp_path / "a.csv"):
            pass


class TestFolder:
    @pytest.mark.usefixtures("_usual_umask")
    def test_takes_its_place_only_when_done(self, tmp_path):
        target = tmp_path / "new" / "bundle"
        with folder_beside(target, "manifest.json") as temporary:
            (temporary / "manifest.json").write_text("{}")
            assert not target.exists()
        assert [path.name for path in target.iterdir()] == ["manifest.json"]
        assert mode(target) == 0o755
        assert list(target.parent.iterdir()) == [target]

    def test_replaces_an_older_one_whole(self, tmp_path):
        target = tmp_path / "bundle"
        for name in ("a", "b"):
            with folder_beside(target, "manifest.json") as temporary:
                (temporary / "manifest.json").write_text(name)
                (temporary / name).write_text("")
        assert {path.name for path in target.iterdir()} == {"manifest.json", "b"}
        assert list(tmp_path.iterdir()) == [target]

    def test_replaces_an_empty_one(self, tmp_path):
        target = tmp_path / "bundle"
        target.mkdir()
        with folder_beside(target, "manifest.json") as temporary:
            (temporary / "manifest.json").write_text("{}")
        assert (target / "manifest.json").is_file()

    @pytest.mark.parametrize("interruption", [ValueError, KeyboardInterrupt])
    def test_interrupted_leaves_the_old_one_and_nothing_else(self, interruption, tmp_path):
        target = tmp_path / "bundle"
        target.mkdir()
        (target / "manifest.json").write_text("old")
        with pytest.raises(interruption):
            write_half(folder_beside(target, "manifest.json"), "manifest.json", interruption)
        assert (target / "manifest.json").read_text() == "old"
        assert list(tmp_path.iterdir()) == [target]

    def test_a_failing_rename_puts_the_old_one_back(self, tmp_path, refused):
        target = tmp_path / "bundle"
        target.mkdir()
        (target / "manifest.json").write_text("old")
        with refused("cannot write"), folder_beside(target, "manifest.json") as temporary:
            temporary.rmdir()  # nothing is left to rename into place
        assert (target / "manifest.json").read_text() == "old"

    @pytest.mark.parametrize("others", [["thesis.doc"], ["thesis.doc", "src/"], ["manifest.json", "src/"]])
    def test_a_folder_of_other_files_is_refused_untouched(self, others, tmp_path, refused):
        target = tmp_path / "home"
        target.mkdir()
        for name in others:
            (target / name).mkdir() if name.endswith("/") else (target / name).write_text("mine")
        with refused("home", "name a folder that is new"), folder_beside(target, "manifest.json"):
            pytest.fail("it began to write")
        assert len(list(target.iterdir())) == len(others)

    def test_the_current_folder_is_refused(self, tmp_path, refused, monkeypatch):
        monkeypatch.chdir(tmp_path)
        with refused("is the current folder"), folder_beside(Path(), "manifest.json"):
            pytest.fail("it began to write")

    def test_a_file_is_refused(self, tmp_path, refused):
        (tmp_path / "file").write_text("mine")
        with refused("is a file"), folder_beside(tmp_path / "file", "manifest.json"):
            pytest.fail("it began to write")


def test_the_hash_is_sha256(tmp_path):
    (tmp_path / "a").write_bytes(b"abc" * 100_000)
    assert sha256_of(tmp_path / "a") == hashlib.sha256(b"abc" * 100_000).hexdigest()


@pytest.mark.usefixtures("_usual_umask")
class TestWhoMayRead:
    """A file that holds texts or decisions."""

    def written(self, path):
        with file_beside(path) as temporary:
            temporary.write_text("a secret")
        return stat.S_IMODE(path.stat().st_mode)

    def test_its_owner_alone(self, tmp_path):
        assert self.written(tmp_path / "new" / "losses.csv") == 0o600

    @pytest.mark.parametrize("mode", [0o644, 0o640, 0o600, 0o666])
    def test_as_before_where_it_is_replaced(self, mode, tmp_path):
        (tmp_path / "losses.csv").touch()
        (tmp_path / "losses.csv").chmod(mode)
        assert self.written(tmp_path / "losses.csv") == mode

    @pytest.mark.parametrize(
        ("folder", "umask", "mode"),
        [(0o2770, 0o002, 0o660), (0o770, 0o022, 0o640), (0o2770, 0o077, 0o600), (0o1777, 0o002, 0o600)],
    )
    def test_a_group_where_the_folder_is_a_groups(self, folder, umask, mode, tmp_path):
        (tmp_path / "team").mkdir()
        (tmp_path / "team").chmod(folder)
        os.umask(umask)
        assert self.written(tmp_path / "team" / "losses.csv") == mode

    def test_folders_of_texts_too(self, tmp_path):
        make_private_folder(tmp_path / "a" / "parts")
        with folder_beside(tmp_path / "cleaned", "dataset_info.json", private=True):
            pass
        with folder_beside(tmp_path / "bundle", "manifest.json"):
            pass
        modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("a/parts", "cleaned", "bundle")]
        assert modes == [0o700, 0o700, 0o755]
