"""Writes files and folders beside their final place and renames them into it, so that no reader sees half of one.

Callers name the final path and get a temporary one to write to. This module also decides who may read files that
hold texts (docs/privacy.md), and computes the hashes in bundles.
"""

import contextlib
import errno
import glob
import hashlib
import os
import shutil
import stat
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import platformdirs

from .errors import Function, LossAuditError


def check_output_file(
    path: Path, ending: str, endings: Sequence[str], dataset: Iterable[Path] = (), otherwise: str = ""
) -> None:
    """Raises LossAuditError if a file can't be written to `path`; call it before the work.

    ending: the path's. endings: those that are supported. dataset: the audited files, which must not be overwritten.
    otherwise: the end of the message, naming other allowed endings.
    """
    if ending not in endings:
        raise LossAuditError(f"can't tell the format of {path}; its name must end in {', '.join(endings)}{otherwise}")
    if path.is_dir():
        raise LossAuditError(f"{path} is a folder; name a file in it")
    existing = next(parent for parent in path.absolute().parents if parent.exists())
    if not existing.is_dir():
        raise LossAuditError(f"cannot write {path}: {existing} is not a folder")
    check_not_of(path, dataset)


def check_not_of(path: Path, dataset: Iterable[Path]) -> None:
    """Raises LossAuditError if `path` is one of the files or folders of a dataset."""
    if path.exists() and any(own.exists() and path.samefile(own) for own in dataset):
        what = "folder" if path.is_dir() else "file"
        raise LossAuditError(f"{path} is a {what} of the dataset; write to another path")


@contextlib.contextmanager
def file_beside(target: Path, scratch: Path | None = None) -> Iterator[Path]:
    """Yields a path in `target`'s folder; on success it is fsynced and renamed to `target`, else removed.

    scratch: another folder on the same disk for it, which is emptied later if this process is killed.
    `private_mode` decides who may read the file. Raises LossAuditError if the folder can't be made or written to.
    """
    with write_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(
            dir=scratch or target.parent, prefix=f".{target.name}.", suffix="".join(target.suffixes[-2:])
        )
        os.close(handle)
        temporary = Path(name)
        try:
            yield temporary
            temporary.chmod(private_mode(target))
            _fsync(temporary)
            temporary.replace(target)
            _fsync(target.parent)
        finally:
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def folder_beside(
    target: Path, replaceable: str, private: bool = False, inner: str | None = None, scratch: Path | None = None
) -> Iterator[Path]:
    """Yields an empty folder beside `target`; on success it takes `target`'s place, else it is removed.

    An existing folder is replaced if it is empty or holds a file named `replaceable` and no folders, except for those
    with a file named `inner` and no folders.
    private: whether it holds texts (see `private_mode`); if not, the umask decides who may read it.
    scratch: as in `file_beside`.
    Raises LossAuditError for any other folder or file, and if the folder can't be written.
    """
    check_replaceable(target, replaceable, inner)
    with write_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=scratch or target.parent, prefix=f".{target.name}."))
        try:
            yield temporary
            mode = private_mode(target, 0o700) if private else 0o777 & ~_umask()
            temporary.chmod(mode)
            for file in temporary.rglob("*"):
                if file.is_file():
                    _fsync(file)
            _take_place(temporary, target)
            _fsync(target.parent)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def private_mode(target: Path, owner: int = 0o600) -> int:
    """The permissions of a file or folder that holds texts or decisions: for its owner alone.

    An existing one keeps its own, since its owner may have opened it to others. In a folder that a group may write
    in, the group may read and write, as far as the umask allows. owner: 0o700 for a folder.
    """
    with contextlib.suppress(FileNotFoundError):
        return stat.S_IMODE(target.stat().st_mode)
    around = target.parent.stat().st_mode
    shared = around & stat.S_IWGRP and not around & stat.S_ISVTX  # the system's temporary folder belongs to no team
    return owner | (owner >> 3 & ~_umask()) if shared else owner


def make_private_folder(path: Path) -> None:
    """Makes a folder for texts, and those above it, unless it exists. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        mode = private_mode(path, 0o700)
        path.mkdir(mode)
        path.chmod(mode)  # chmod ignores the umask
    if not path.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(path))


def _take_place(folder: Path, target: Path) -> None:
    """Renames `folder` to `target`; an existing one is deleted afterwards, or stays if the renaming fails."""
    if not target.exists():
        folder.rename(target)
        return
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.old.") as old:
        aside = target.rename(Path(old) / target.name)
        try:
            folder.rename(target)
        except BaseException:
            aside.rename(target)
            raise


def check_replaceable(target: Path, replaceable: str, inner: str | None = None) -> None:
    """Raises LossAuditError if `target` exists and isn't ours to replace (see `folder_beside`)."""
    with write_errors(target):
        if not target.exists():
            return
        if not target.is_dir():
            raise LossAuditError(f"{target} is a file; name a folder that is new or may be replaced")
        if target.resolve() == Path.cwd():
            raise LossAuditError(f"{target} is the current folder; name a folder that is new or may be replaced")
        entries = list(target.iterdir())
        folders = [entry for entry in entries if entry.is_dir() and not (inner and _holds_alone(entry, inner))]
    ours = not entries or (target / replaceable) in entries
    if not ours or folders:
        why = "holds folders" if ours else f"holds other files (no {replaceable} among them)"
        raise LossAuditError(f"{target} {why}; name a folder that is new or may be replaced")


def _holds_alone(folder: Path, file: str) -> bool:
    """Whether a folder holds a file of this name, and no folders."""
    return (folder / file).is_file() and not any(entry.is_dir() for entry in folder.iterdir())


def files_of(name: str) -> list[Path]:
    """The files that a dataset's name stands for: the file itself, or those that match the pattern; [] if none do."""
    path = Path(name)
    found = [path] if path.exists() else [Path(match) for match in glob.glob(name, recursive=True)]  # noqa: PTH207
    return sorted(file for file in found if file.is_file())


def cache_folder() -> Path:
    """Where lossaudit keeps bundles and plans for this user."""
    return Path(platformdirs.user_cache_dir("lossaudit"))


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextlib.contextmanager
def write_errors(target: Path) -> Iterator[None]:
    """Turns an OSError into a LossAuditError that says why `target` can't be written."""
    try:
        yield
    except OSError as error:
        why = f"cannot write {target}: {error.strerror or error}"
        if target.is_relative_to(cache_folder()):
            raise LossAuditError(
                f"{why}; name another folder for caches in XDG_CACHE_HOME, or make a bundle elsewhere with ",
                Function("export"),
            ) from error
        raise LossAuditError(why) from error


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _fsync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
