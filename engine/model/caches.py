"""Lists lossaudit's cache of exported bundles and measured plans, and deletes entries on demand.

Only what lossaudit itself wrote is ever deleted: an entry with a name that it gives, in a folder that isn't a link, and
with nothing in it that a bundle doesn't have. The caches of `datasets` and of the hub are measured, never touched.
"""

import contextlib
import os
import re
import shutil
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ..errors import LossAuditError
from ..files import cache_folder
from .bundle import MANIFEST, Manifest

BUNDLES, PLANS = "bundles", "plans"
KINDS = (BUNDLES, PLANS)
_BUNDLE_NAME = re.compile(r"[0-9a-f]{32}-[\w.+!-]+")
_UNFINISHED_NAME = re.compile(r"\.[0-9a-f]{32}[-.].+")
_PLAN_NAME = re.compile(r"[0-9a-f]{32}\.json")


@dataclass(frozen=True)
class Kept:
    """One entry of the cache."""

    path: Path
    kind: str
    """`bundles` or `plans`."""
    what: str
    """The model that a bundle was exported from, or a description of anything else."""
    made_by: str | None
    """The version of lossaudit that wrote a bundle; other versions export the model again."""
    bytes: int
    last_used: float
    """Seconds since 1970, as the file system reports it: most are accurate to a day."""


@dataclass(frozen=True)
class Cache:
    """A cache folder."""

    name: str
    """What is cached: `bundles`, `plans`, `datasets` or `hub`."""
    folder: Path
    bytes: int


def caches() -> tuple[Cache, ...]:
    """All folders that an audit may fill, lossaudit's own first."""
    import datasets
    import huggingface_hub.constants

    own = [(kind, cache_folder() / kind) for kind in KINDS]
    others = [
        ("datasets", Path(datasets.config.HF_DATASETS_CACHE)),
        ("hub", Path(huggingface_hub.constants.HF_HUB_CACHE)),
    ]
    return tuple(Cache(name, folder, size_of(folder)) for name, folder in (*own, *others))


def kept(folder: Path | None = None) -> list[Kept]:
    """The entries of lossaudit's cache, bundles first, last used first. folder: in place of the user's cache."""
    folder = folder or cache_folder()
    found = [
        *(_bundle(path) for path in _inside(folder / BUNDLES, _is_bundle)),
        *(_plan(path) for path in _inside(folder / PLANS, _is_plan)),
    ]
    return sorted(found, key=lambda entry: (KINDS.index(entry.kind), -entry.last_used))


def clear(entries: list[Kept]) -> int:
    """Deletes entries that `kept` found and returns the bytes freed.

    An entry that is something else by now stays. Raises LossAuditError for those that can't be deleted, after deleting
    the rest.
    """
    freed, failed = 0, []
    for entry in entries:
        is_ours = _is_bundle if entry.kind == BUNDLES else _is_plan
        if entry.path.parent.is_symlink() or not is_ours(entry.path):
            continue
        try:
            if entry.kind == BUNDLES:
                shutil.rmtree(entry.path)  # doesn't follow links
            else:
                entry.path.unlink(missing_ok=True)
        except OSError as error:
            failed.append(f"{entry.path}: {error.strerror or error}")
        else:
            freed += entry.bytes
    if failed:
        raise LossAuditError(f"{len(failed)} of {len(entries)} entries can't be deleted, such as {failed[0]}")
    return freed


def size_of(path: Path) -> int:
    """Bytes of a file, or of all files below a folder. Links aren't counted, so each file counts once."""
    with contextlib.suppress(OSError):
        status = path.lstat()
        if stat.S_ISREG(status.st_mode):
            return status.st_size
        if stat.S_ISDIR(status.st_mode):
            with os.scandir(path) as entries:
                return sum(size_of(Path(entry.path)) for entry in entries)
    return 0


def _inside(folder: Path, is_ours: Callable[[Path], bool]) -> list[Path]:
    """Our entries in a folder; none if the folder is a link or doesn't exist."""
    if folder.is_symlink() or not folder.is_dir():
        return []
    return [path for path in folder.iterdir() if is_ours(path)]


def _is_bundle(path: Path) -> bool:
    """Whether a path is a bundle of the cache, or the remains of a killed export: plain files only, no links."""
    if path.is_symlink() or not path.is_dir():
        return False
    if _UNFINISHED_NAME.fullmatch(path.name):
        pass
    elif not (_BUNDLE_NAME.fullmatch(path.name) and (path / MANIFEST).is_file()):
        return False
    return all(stat.S_ISREG(file.lstat().st_mode) for file in path.iterdir())


def _is_plan(path: Path) -> bool:
    return not path.is_symlink() and path.is_file() and _PLAN_NAME.fullmatch(path.name) is not None


def _bundle(path: Path) -> Kept:
    what, made_by = "an unfinished export", None
    if not _UNFINISHED_NAME.fullmatch(path.name):
        try:
            manifest = Manifest.from_json((path / MANIFEST).read_text(encoding="utf-8"))
            what, made_by = manifest.source.name, manifest.versions.get("lossaudit")
        except (OSError, ValueError, RecursionError):
            what = "a damaged bundle"
    times = [_last_used(file) for file in path.iterdir()]
    return Kept(path, BUNDLES, what, made_by, size_of(path), max(times, default=path.lstat().st_mtime))


def _plan(path: Path) -> Kept:
    return Kept(path, PLANS, "what was fastest for a bundle", None, size_of(path), _last_used(path))


def _last_used(file: Path) -> float:
    status = file.lstat()
    return max(status.st_atime, status.st_mtime)
