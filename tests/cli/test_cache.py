"""`lossaudit cache ls` and `clear`, on a temporary cache."""

import shutil

import pytest
from click.testing import CliRunner

from lossaudit.cli.main import main
from lossaudit.engine.files import cache_folder
from lossaudit.version import __version__

KEY = "0123456789abcdef" * 2


@pytest.fixture
def cache(tmp_path, monkeypatch, bundle_folder):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    folder = cache_folder()
    assert folder.is_relative_to(tmp_path)
    shutil.copytree(bundle_folder, folder / "bundles" / f"{KEY}-{__version__}")
    shutil.copytree(bundle_folder, folder / "bundles" / f"{KEY}-0.0.9")
    (folder / "plans").mkdir()
    (folder / "plans" / f"{KEY}.json").write_text("{}")
    return folder


def left(cache):
    return [len(list((cache / kind).iterdir())) for kind in ("bundles", "plans")]


def test_ls(run, cache, checkpoint):
    result = run("cache", "ls")
    assert result.exit_code == 0
    assert str(checkpoint)[:20] in result.stdout
    assert "1 plans, last used" in result.stdout
    assert "hub (not cleared)" in result.stdout
    assert left(cache) == [2, 1]


def test_ls_of_nothing(run, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "nothing"))
    result = run("cache", "ls")
    assert result.exit_code == 0
    assert "The cache is empty" in result.stdout


@pytest.mark.parametrize(("what", "after"), [(["bundles"], [0, 1]), (["plans"], [2, 0]), ([], [0, 0])])
def test_clear(run, cache, what, after):
    result = run("cache", "clear", *what, "--yes")
    assert result.exit_code == 0
    assert "Cleared" in result.stdout
    assert left(cache) == after
    assert "Nothing to clear" in run("cache", "clear", *what, "--yes").stdout


@pytest.mark.parametrize(("answer", "after"), [("n\n", [2, 1]), ("\n", [2, 1]), ("y\n", [0, 0])])
def test_clear_asks(cache, answer, after):
    result = CliRunner().invoke(main, ["cache", "clear"], input=answer)
    assert result.exit_code == 0
    assert "Delete 2 bundles and 1 plans" in result.stdout
    assert left(cache) == after


def test_clear_without_anybody_to_ask_deletes_nothing(cache):
    result = CliRunner().invoke(main, ["cache", "clear"], input="")
    assert result.exit_code == 2
    assert "use --yes" in result.stderr
    assert left(cache) == [2, 1]


def test_each_of_its_commands_shows_examples(run):
    for name in main.commands["cache"].commands:
        assert f"lossaudit cache {name}" in run("cache", name, "--help").stdout
