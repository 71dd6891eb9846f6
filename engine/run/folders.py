"""Places to keep parts: a folder on this machine, or any place that `fsspec` reaches by URL.

Both hold whole files only: a file is written completely or not at all.
"""

import contextlib
from pathlib import Path
from typing import Protocol

import fsspec

from ..errors import LossAuditError, brief
from ..files import file_beside, make_private_folder, write_errors


class Folder(Protocol):
    """Files by their names."""

    def names(self) -> list[str]: ...

    def read(self, name: str) -> bytes:
        """Raises FileNotFoundError if there is no such file."""
        ...

    def write(self, name: str, data: bytes) -> None:
        """Raises LossAuditError if it can't be written; an existing file then stays."""
        ...

    def delete(self, name: str) -> None:
        """Deletes a file, if it is there."""
        ...

    def remove(self) -> None:
        """Deletes the folder, if it is empty."""
        ...


class LocalFolder:
    """A folder on this machine, or mounted on it."""

    def __init__(self, path: Path) -> None:
        """Makes the folder, for its owner alone, unless it exists. Raises LossAuditError if it can't be made."""
        self.path = path
        with write_errors(path):
            make_private_folder(path)

    def names(self) -> list[str]:
        return [path.name for path in self.path.iterdir()]

    def read(self, name: str) -> bytes:
        return (self.path / name).read_bytes()

    def write(self, name: str, data: bytes) -> None:
        with file_beside(self.path / name) as temporary:
            temporary.write_bytes(data)

    def delete(self, name: str) -> None:
        with write_errors(self.path / name):
            (self.path / name).unlink(missing_ok=True)

    def remove(self) -> None:
        with contextlib.suppress(OSError):
            self.path.rmdir()

    def __str__(self) -> str:
        return str(self.path)


class UrlFolder:
    """A place at a URL, such as s3://bucket/audit; the package for its protocol must be installed."""

    def __init__(self, url: str) -> None:
        """Raises LossAuditError if the place can't be reached."""
        self._url = url
        try:
            self._files, self._root = fsspec.core.url_to_fs(url)
            self._files.makedirs(self._root, exist_ok=True)
        except Exception as error:  # each protocol has its own errors
            raise self._error(error) from error

    def names(self) -> list[str]:
        self._files.invalidate_cache()
        try:
            return [str(path).rsplit("/", 1)[-1] for path in self._files.ls(self._root, detail=False)]
        except FileNotFoundError:  # an object store has no empty folders
            return []
        except Exception as error:
            raise self._error(error) from error

    def read(self, name: str) -> bytes:
        try:
            return bytes(self._files.cat_file(self._path(name)))
        except FileNotFoundError:
            raise
        except Exception as error:
            raise self._error(error) from error

    def write(self, name: str, data: bytes) -> None:
        # Object stores show a file only once it is complete; elsewhere it is written under another name first.
        try:
            self._files.pipe_file(self._path(f".{name}.new"), data)
            self._files.mv(self._path(f".{name}.new"), self._path(name))
        except Exception as error:
            raise self._error(error) from error

    def delete(self, name: str) -> None:
        try:
            self._files.rm_file(self._path(name))
        except FileNotFoundError:
            pass
        except Exception as error:
            raise self._error(error) from error

    def remove(self) -> None:
        with contextlib.suppress(Exception):  # an object store has none to delete
            self._files.rmdir(self._root)

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}"

    def _error(self, error: Exception) -> LossAuditError:
        return LossAuditError(f"{self._url} can't be used: {brief(error)}")

    def __str__(self) -> str:
        return self._url


def folder_at(place: str) -> Folder:
    """The folder at a path or a URL."""
    return UrlFolder(place) if "://" in place else LocalFolder(Path(place))
