"""What the files of a dataset are, by their first bytes where those tell it, else by their names; and their bytes.

This is the one way to open a dataset's file for reading, and to write one that is compressed as its name says.
"""

import bz2
import gzip
import io
import lzma
import shutil
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, TextIO, cast

from ..errors import LossAuditError, brief
from ..shortening import shortened
from .first_bytes import ENDINGS, NAMES, format_of, refusal_of

UNPACKING_ERRORS = (OSError, EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile)
"""What reading a compressed file raises where it is damaged."""
_PACKINGS = {".gz": "gzip", ".bz2": "bzip2", ".xz": "xz", ".zip": "zip"}
_READERS: dict[str, Callable[[Path], Any]] = {".gz": gzip.GzipFile, ".bz2": bz2.BZ2File, ".xz": lzma.LZMAFile}
_SIGNATURES = (
    (b"\x1f\x8b\x08", ".gz"),
    (b"\xfd7zXZ\x00", ".xz"),
    *((b"BZh%d" % level + block, ".bz2") for level in range(1, 10) for block in (b"1AY&SY", b"\x17rE8P\x90")),
    (b"PK\x03\x04", ".zip"),
    (b"PK\x05\x06", ".zip"),
)
MUST_END = f"its name must end in {', '.join(ENDINGS)} (optionally followed by {', '.join(_PACKINGS)})"
_HEAD, _BLOCK = 1 << 16, 1 << 20
_FREE, _MOST = 256 << 20, 100
"""Bytes that any file may unpack to, and how many times its own size a large one may."""
_OFFICE = {
    "xl/workbook.xml": "",
    "xl/workbook.bin": "a binary Excel workbook (.xlsb); save it as .xlsx",
    "word/document.xml": "a Word document; a dataset has rows and columns",
    "content.xml": "an OpenDocument file; save it as .xlsx or CSV",
}
_SHOWN = 5


@dataclass(frozen=True)
class DataFile:
    """A file of a dataset, and what it is."""

    path: Path
    format: str
    """The ending that files of its format usually have: a key of NAMES."""
    packing: str = ""
    """The ending of its compression, such as ".gz"; "" if there is none."""
    note: str | None = None
    """What it is read as, where its name says something else."""

    def open(self) -> IO[bytes]:
        """Opens it for reading, without its compression."""
        return _opened(self.path, self.packing)


def recognised(path: Path) -> DataFile:
    """What a file is. Raises LossAuditError if it can't be a file of a dataset, or holds several; and OSError."""
    with path.open("rb") as file:
        head = file.read(_HEAD)
    packing = next((ending for sign, ending in _SIGNATURES if head.startswith(sign)), "")
    ending = ending_of(path)
    if packing == ".zip":
        with _archive(path) as archive:
            office = next((what for name, what in _OFFICE.items() if name in archive.NameToInfo), None)
            if office:
                raise LossAuditError(f"{path} is {office}")
            if office is not None:
                return _noted(path, ending, ".xlsx", "")
            inner = ending_of(Path(_member_of(archive, path).filename))
            ending = inner if inner in ENDINGS else ending
    if packing:
        head = _head_of(path, packing)
        if head.startswith(b"PK") and ENDINGS.get(ending) == ".xlsx":
            return _noted(path, ending, ".xlsx", packing)
        if any(head.startswith(sign) for sign, _ in _SIGNATURES):
            raise LossAuditError(f"{path} is compressed, and what is in it too; unpack it once")
    if refusal := refusal_of(head):
        raise LossAuditError(f"{path} is {refusal}")
    found = format_of(head, ending, len(head) < _HEAD)
    if found is None and ending in ENDINGS:
        raise LossAuditError(f"{path} is not {NAMES[ENDINGS[ending]]}, and not of another format that can be read")
    if found is None:
        raise LossAuditError(f"{path} is not a dataset file; {MUST_END}")
    return _noted(path, ending, found, packing)


def open_bytes(path: Path) -> IO[bytes]:
    """Opens a dataset's file for reading, without its compression."""
    return recognised(path).open()


@contextmanager
def writing_bytes(path: Path, name: str) -> Iterator[IO[bytes]]:
    """Opens a file for writing, compressed as its final name says, which may differ from the path."""
    packing = packing_of(name)
    inner = name[: len(name) - len(packing)]
    with path.open("wb") as file:
        if packing == ".zip":
            with (
                zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive,
                archive.open(inner, "w", force_zip64=True) as opened,
            ):
                yield opened
        elif packing == ".gz":
            with gzip.GzipFile(inner, "wb", fileobj=file) as zipped:
                yield cast(IO[bytes], zipped)
        elif packing:
            with bz2.open(file, "wb") if packing == ".bz2" else lzma.open(file, "wb") as squeezed:
                yield cast(IO[bytes], squeezed)
        else:
            yield file


@contextmanager
def writing_text(path: Path, name: str) -> Iterator[TextIO]:
    """Opens a text file for writing, compressed as its final name says; line ends are written as they are."""
    with writing_bytes(path, name) as file, io.TextIOWrapper(file, "utf-8", newline="") as text:
        yield text


def unpacked(file: DataFile, folder: Path) -> Path:
    """The file itself, or a copy in `folder` without its compression, for readers that need a file of their own."""
    if not file.packing and not packing_of(file.path.name):
        return file.path
    copy = folder / f"unpacked-{sum(1 for _ in folder.iterdir())}{file.format}"
    with file.open() as packed, copy.open("wb") as plain:
        shutil.copyfileobj(packed, plain, _BLOCK)
    return copy


def check_size(path: Path, size: int, unpacked_size: int) -> None:
    """Raises LossAuditError if a compressed file unpacks to more than an honest one does."""
    if unpacked_size > max(_FREE, _MOST * size):
        raise LossAuditError(
            f"{path} unpacks to more than {_MOST} times its size; if that is no trick, unpack it yourself"
        )


def notes_on(files: Sequence[DataFile]) -> tuple[str, ...]:
    """What to tell about files that are read as something else than their names say."""
    by_note: dict[str, list[Path]] = {}
    for file in files:
        if file.note is not None:
            by_note.setdefault(file.note, []).append(file.path)
    return tuple(
        f"{paths[0]} is read as {note}, by its content"
        if len(paths) == 1
        else f"{len(paths):,} files are read as {note}, by their content: {paths[0]} and others"
        for note, paths in by_note.items()
    )


def ending_of(file: Path) -> str:
    """The ending that tells a file's format, in lower case and without its compression's; "" if it has none."""
    return Path(file.name[: len(file.name) - len(packing_of(file.name))]).suffix.lower()


def packing_of(name: str) -> str:
    """The ending that tells a file's compression, in lower case; "" if it has none."""
    ending = Path(name).suffix.lower()
    return ending if ending in _PACKINGS else ""


def _noted(path: Path, ending: str, found: str, packing: str) -> DataFile:
    if ENDINGS.get(ending) == found and packing_of(path.name) == packing:
        return DataFile(path, found, packing)
    how = f"{_PACKINGS[packing]}-compressed " if packing else "uncompressed "
    return DataFile(path, found, packing, f"{how if packing != packing_of(path.name) else ''}{NAMES[found]}")


def _head_of(path: Path, packing: str) -> bytes:
    """The first bytes in a compressed file; those of a damaged one tell nothing, and its reader says what is wrong."""
    try:
        with _opened(path, packing) as file:
            return file.read(_HEAD)
    except UNPACKING_ERRORS:
        return b""


def _opened(path: Path, packing: str) -> IO[bytes]:
    if not packing:
        return path.open("rb")
    if packing == ".zip":
        with _archive(path) as archive:
            opened: Any = archive.open(_member_of(archive, path))
    else:
        opened = _READERS[packing](path)
    return io.BufferedReader(_Bounded(path, opened), _BLOCK)


class _Bounded(io.RawIOBase):
    """What a compressed file unpacks to, which no small file can make endless."""

    def __init__(self, path: Path, opened: Any) -> None:
        self._path, self._opened = path, opened
        self._size, self._count = path.stat().st_size, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        count = int(self._opened.readinto(buffer))
        self._count += count
        check_size(self._path, self._size, self._count)
        return count

    def close(self) -> None:
        self._opened.close()
        super().close()


def _archive(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except (zipfile.BadZipFile, NotImplementedError) as error:
        raise LossAuditError(f"{path} cannot be read: {brief(error)}") from error


def _member_of(archive: zipfile.ZipFile, path: Path) -> zipfile.ZipInfo:
    """The one file of an archive that is a dataset's. Raises LossAuditError, with the files' names, if it isn't one."""
    files = [file for file in archive.infolist() if not file.is_dir() and not _is_hidden(file.filename)]
    found = [file for file in files if ending_of(Path(file.filename)) in ENDINGS] or files
    if len(found) != 1:
        what = f"holds {len(found)} files ({_listed(found)})" if found else "holds no file"
        raise LossAuditError(f"{path} {what}, not one; unpack it, and name the files as a pattern such as '*.csv'")
    if found[0].flag_bits & 1:
        raise LossAuditError(f"{path} is encrypted; unpack it first")
    return found[0]


def _is_hidden(name: str) -> bool:
    """Whether a file of an archive is one that systems add by themselves."""
    return any(part.startswith(".") or part == "__MACOSX" for part in name.split("/"))


def _listed(files: Sequence[zipfile.ZipInfo]) -> str:
    names = [shortened(" ".join(file.filename.split()), 60, "end") for file in files[:_SHOWN]]
    return ", ".join([*names, *(["…"] if len(files) > _SHOWN else [])])
