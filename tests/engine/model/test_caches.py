"""The cache: which files in it are lossaudit's own, and that nothing else is ever deleted."""

import shutil

import pytest

from lossaudit.engine.files import cache_folder
from lossaudit.engine.model import caches
from lossaudit.version import __version__

KEY = "0123456789abcdef" * 2


@pytest.fixture
def cache(tmp_path, bundle_folder):
    """A cache with one bundle and one plan."""
    folder = tmp_path / "cache"
    shutil.copytree(bundle_folder, folder / "bundles" / f"{KEY}-{__version__}")
    (folder / "plans").mkdir()
    (folder / "plans" / f"{KEY}.json").write_text("{}")
    return folder


def names(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir())


def test_what_is_kept(cache, bundle_folder, checkpoint):
    bundle, plan = caches.kept(cache)
    assert (bundle.kind, bundle.what, bundle.made_by) == ("bundles", str(checkpoint), __version__)
    assert bundle.bytes == caches.size_of(bundle_folder) == sum(file.stat().st_size for file in bundle.path.iterdir())
    assert (plan.kind, plan.bytes) == ("plans", 2)
    assert bundle.last_used > 1e9


def test_all_of_it_is_cleared(cache):
    freed = caches.clear(caches.kept(cache))
    assert freed > 2
    assert names(cache) == []
    assert caches.kept(cache) == []


def test_a_damaged_bundle_and_an_export_that_was_killed_are_cleared_too(cache):
    (cache / "bundles" / f"{KEY}-{__version__}" / "manifest.json").write_text("{")
    (cache / "bundles" / f".{KEY}-{__version__}.x7a").mkdir()
    assert [entry.what for entry in caches.kept(cache) if entry.kind == "bundles"].count("a damaged bundle") == 1
    caches.clear(caches.kept(cache))
    assert list((cache / "bundles").iterdir()) == []


@pytest.mark.parametrize(
    "name",
    [
        "notes.txt",
        "bundles/notes.txt",
        "bundles/mine/manifest.json",
        f"bundles/{KEY}-9.9/notes.txt",  # no manifest
        f"bundles/{KEY}-{__version__}/sub/notes.txt",  # a folder, which no bundle has
        "plans/notes.json",
        "other/notes.txt",
    ],
)
def test_what_is_not_ours_stays(cache, name):
    (cache / name).parent.mkdir(parents=True, exist_ok=True)
    (cache / name).write_text("mine")
    caches.clear(caches.kept(cache))
    assert (cache / name).read_text() == "mine"


def test_links_are_not_followed(cache, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    shutil.move(cache / "bundles" / f"{KEY}-{__version__}", elsewhere)
    before = names(elsewhere)
    (cache / "bundles" / f"{KEY}-{__version__}").symlink_to(elsewhere)
    (cache / "plans" / f"{'f' * 32}.json").symlink_to(elsewhere / "manifest.json")
    assert [entry.kind for entry in caches.kept(cache)] == ["plans"]
    caches.clear(caches.kept(cache))
    assert names(elsewhere) == before
    assert caches.size_of(cache / "bundles") == 0


def test_a_bundle_with_a_link_in_it_stays(cache, tmp_path):
    (tmp_path / "mine").write_text("mine")
    (cache / "bundles" / f"{KEY}-{__version__}" / "link").symlink_to(tmp_path / "mine")
    assert [entry.kind for entry in caches.kept(cache)] == ["plans"]


def test_a_whole_cache_that_is_a_link_stays(cache, tmp_path):
    elsewhere = shutil.move(cache / "plans", tmp_path / "plans-elsewhere")
    entries = caches.kept(cache)
    (cache / "plans").symlink_to(elsewhere)
    assert caches.kept(cache) == entries
    assert len(list((tmp_path / "plans-elsewhere").iterdir())) == 1


def test_what_became_a_link_after_it_was_listed_stays(cache, tmp_path):
    entries = caches.kept(cache)
    shutil.move(cache / "bundles", tmp_path / "bundles-elsewhere")
    (cache / "bundles").symlink_to(tmp_path / "bundles-elsewhere")
    caches.clear(entries)
    assert (tmp_path / "bundles-elsewhere" / f"{KEY}-{__version__}" / "manifest.json").is_file()


def test_an_empty_cache(tmp_path):
    assert caches.kept(tmp_path / "nothing") == []
    assert caches.clear([]) == 0


def test_where_the_caches_are():
    found = {cache.name: cache for cache in caches.caches()}
    assert list(found) == ["bundles", "plans", "datasets", "hub"]
    assert found["bundles"].folder.parent == cache_folder()
