"""Opens what users of `datasets` call a dataset (a hub name, a saved dataset, or files) as `Rows`."""

import contextlib
import errno
import hashlib
import itertools
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import datasets
import numpy as np

from ..errors import SAME_AGAIN, LossAuditError, Note, Option, brief
from ..files import files_of, sha256_of
from ..scratch import Scratch
from .arrow_files import ARROW_FORMATS, ArrowFile, copy_arrow
from .bad_lines import BadLineError
from .containers import DataFile, ending_of, notes_on, packing_of, recognised
from .csv_arrow import CopiedCsv, copy_csv, count_csv
from .csv_dialect import NOTHING_ASKED, Asked, Dialect
from .csv_notes import NO_HEADER
from .excel import EXCEL, copied_sheet
from .first_bytes import ENDINGS, NAMES
from .json_arrow import copy_json
from .json_rows import rows_of
from .rows import Origin, Rows
from .splits import name_of, together, wanted_splits

CSV_FORMATS = (".csv", ".tsv")
_LOOKED_AT = 10_000
"""Names that are looked at in a folder."""
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_SIGNS_OF_NOTHING = ("corresponds to no data", "StopIteration")
"""Words in the errors of `datasets` about files without rows."""


def open_dataset(
    name: str,
    config: str | None = None,
    split: str | None = None,
    workplace: Path | None = None,
    asked: Asked = NOTHING_ASKED,
) -> Rows:
    """Opens a dataset by path, glob or hub name; several files are read in the order of their names.

    config: a hub dataset's configuration. split: of a hub or saved dataset; None for "train", or the only one; names
    with commas between them, or "all", for several as one dataset.
    workplace: a folder of lossaudit's to copy files to as Arrow (see `Scratch`); the copy is deleted with the rows.
    asked: how CSV and TSV files are written, where the user says so.
    Raises LossAuditError if there is no such dataset, it can't be read, or it has no rows.
    """
    paths, asked = [] if Path(name).is_dir() else files_of(name), asked.checked()
    with quiet_datasets(), contextlib.ExitStack() as on_failure:
        if paths:
            files = _recognised(name, paths, config, split)
            scratch, stamps = Scratch(workplace), _stamps(paths)
            on_failure.callback(scratch.close)
            dataset, notes, csv = _files(name, files, scratch.path, asked)
            notes = (*((note,) for note in notes_on(files)), *notes)
            origin = Origin(name, config, split, tuple(paths), asked=asked, dialects=csv.dialects if csv else ())
            # For `datasets`, a file whose time alone has changed is another one.
            rows = Rows(dataset, origin, _hash_of(paths, asked), scratch, notes, csv.looks if csv else None)
            if _stamps(paths) != stamps:
                raise LossAuditError(f"{name} changed while it was read; ", SAME_AGAIN)
        else:
            _check_asked(name, asked)
            rows = _open(name, config, split)
        if len(rows) == 0:
            raise _no_rows(name)
        on_failure.pop_all()
    return rows


def locate(origin: Origin | None, rows: Iterable[int]) -> dict[int, str]:
    """Where rows of a dataset are in the user's files: the file, and the row in it, counted from 0.

    Several files are read again up to the last of these rows, since rows are numbered across all files.
    """
    if origin is not None and origin.splits:
        return _in_splits(origin, rows)
    if origin is None or len(origin.files) < 2:
        where = f" of {origin.files[0] if origin.files else origin.name}" if origin else ""
        return {row: f"row {row}{where}" for row in rows}
    found: dict[int, str] = {}
    start, left = 0, sorted(set(rows))
    for file, dialect in itertools.zip_longest(origin.files, origin.dialects):
        if not left:
            break
        with quiet_datasets(), _reading(str(file)), tempfile.TemporaryDirectory() as folder:
            stop = start + _count(recognised(file), Path(folder), dialect, origin.asked)
        found |= {row: f"row {row - start} of {file}" for row in left if row < stop}
        left = [row for row in left if row >= stop]
        start = stop
    return found


def _count(file: DataFile, folder: Path, dialect: Dialect | None, asked: Asked) -> int:
    """How many rows a file has. folder: for an unpacked copy. dialect: of a CSV or TSV file, or a sheet."""
    if file.format in ARROW_FORMATS:
        return ArrowFile.open(file, folder).count()
    if file.format == EXCEL:
        file, _ = copied_sheet(file, asked.sheet, asked.header, folder)
        return count_csv(file, dialect)
    if file.format in CSV_FORMATS:
        return count_csv(file, dialect)
    return sum(map(len, rows_of(file.path)))


def _in_splits(origin: Origin, rows: Iterable[int]) -> dict[int, str]:
    """The split that each row is in, and the row in it."""
    of = f" of {origin.name}" if origin.name else ""
    starts = np.cumsum([0, *(split.rows for split in origin.splits)])
    places = ((row, int(np.searchsorted(starts, row, side="right")) - 1) for row in rows)
    return {row: f"row {row - starts[at]} of split {origin.splits[at].name}{of}" for row, at in places}


def _stamps(files: Sequence[Path]) -> list[tuple[int, ...]]:
    """What changes with each write to a file, or with its replacement, even one of the same size and time."""
    found = [file.stat() for file in files]
    return [(stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns) for stat in found]


def _hash_of(files: list[Path], asked: Asked) -> str:
    """A hash of what is read: other separators make other rows."""
    with _reading(str(files[0])):
        parts = [sha256_of(file) for file in files]
    if asked != NOTHING_ASKED:
        parts.append(repr(asked))
    return hashlib.sha256(" ".join(parts).encode()).hexdigest()[:32]


def _open(name: str, config: str | None, split: str | None) -> Rows:
    path, origin = Path(name), Origin(name, config, split)
    if path.is_dir():
        return _saved(path, origin)
    if _looks_like_a_path(name):
        raise LossAuditError(f"there is no file or folder {name}")
    return _hub(name, origin)


def _recognised(name: str, paths: Sequence[Path], config: str | None, split: str | None) -> list[DataFile]:
    """What the files are, all of one format."""
    if config is not None or split is not None:
        raise LossAuditError(
            f"{name} is a file: ", Option("config"), " and ", Option("split"), " are for hub and saved datasets"
        )
    with _reading(name):
        files = [recognised(path) for path in paths]
    formats = {file.format: file for file in reversed(files)}
    kinds = sorted({ending_of(path) for path in paths})
    if len(formats) > 1 and len(kinds) == 1:
        kinds = [f"{NAMES[file.format]} ({file.path})" for file in formats.values()]
    if len(formats) > 1 or len(kinds) > 1:
        raise LossAuditError(f"{name} matches files of several formats: {', '.join(kinds)}; name one")
    return files


def _files(
    name: str, files: Sequence[DataFile], folder: Path, asked: Asked
) -> tuple[datasets.Dataset, tuple[Note, ...], CopiedCsv | None]:
    """The rows of files of one format, as Arrow files in `folder`, and notes; unpacked files go there too."""
    copy, csv, notes = folder / "rows.arrow", None, tuple[Note, ...]()
    _check_asked(name, asked, files[0].format)
    with _reading(name), _copying(name, folder.parent):
        if files[0].format in CSV_FORMATS:
            csv = copy_csv(files, asked, copy)
            rows, notes = csv.rows, csv.notes
        elif files[0].format == EXCEL:
            sheets, told_of_sheets = zip(
                *(copied_sheet(file, asked.sheet, asked.header, folder) for file in files), strict=True
            )
            csv = copy_csv(sheets, asked, copy)
            rows, notes = csv.rows, (*filter(None, told_of_sheets), *csv.notes)
        elif files[0].format in ARROW_FORMATS:
            rows, told = copy_arrow([ArrowFile.open(file, folder) for file in files], copy)
            notes = tuple((note,) for note in told)
        else:
            rows = copy_json([file.path for file in files], copy)
        for left in folder.glob("unpacked-*"):
            left.unlink()
        if not rows:
            raise _no_rows(name)
        return datasets.Dataset.from_file(str(copy)), notes, csv


def _check_asked(name: str, asked: Asked, format: str = "") -> None:
    """Raises LossAuditError for what can only be said of files of another format."""
    if asked.sheet is not None and format != EXCEL:
        raise LossAuditError(f"{name} is no Excel workbook: ", Option("sheet"), " is for those")
    of_text = asked if format != EXCEL else replace(asked, header=True)
    if replace(of_text, sheet=None) != NOTHING_ASKED and format not in CSV_FORMATS:
        options = Option("separator"), ", ", Option("encoding"), " and ", NO_HEADER
        raise LossAuditError(f"{name} is no CSV or TSV file: ", *options, " are for those")


@contextlib.contextmanager
def _copying(name: str, place: Path) -> Iterator[None]:
    """Distinguishes a full disk from a file that can't be read."""
    try:
        yield
    except Exception as error:
        cause = _first_cause(error)
        if isinstance(cause, OSError) and cause.errno in _FULL:
            raise LossAuditError(
                f"cannot write a working copy of {name} in {place}: {cause.strerror}; make room there, or write the "
                "output to another disk"
            ) from error
        raise


def _saved(folder: Path, origin: Origin) -> Rows:
    if not any((folder / name).is_file() for name in ("state.json", "dataset_dict.json")):
        raise LossAuditError(
            f"{folder} is a folder but not a saved dataset (save_to_disk); to read files in it, write "
            f"'{_pattern_in(folder)}'"
        )
    with _reading(str(folder)):
        loaded = datasets.load_from_disk(str(folder))
    if isinstance(loaded, datasets.DatasetDict):
        wanted = wanted_splits(str(folder), list(loaded), origin.split)
        parts = {name: Rows(loaded[name]) for name in wanted}
        return together(parts, replace(origin, all_splits=tuple(loaded)))
    if origin.split is not None:
        raise LossAuditError(f"{folder} holds one dataset without splits; leave ", Option("split"), " out")
    return Rows(loaded, origin)


def _pattern_in(folder: Path) -> str:
    """The pattern of the first files in a folder, or in the folders in it, that may be a dataset's."""
    for pattern in ("*", "**/*"):
        files = (file for file in itertools.islice(folder.glob(pattern), _LOOKED_AT) if ending_of(file) in ENDINGS)
        if file := next(files, None):
            return f"{folder}/{pattern}{ending_of(file)}{packing_of(file.name)}"
    return f"{folder}/*.csv"


def _hub(name: str, origin: Origin) -> Rows:
    with _reading(name, f"there is no such file, and the hub dataset {name!r} can't be downloaded"):
        available = datasets.get_dataset_split_names(name, origin.config)
        wanted = wanted_splits(name, available, origin.split, slices=True)  # `datasets` reads them
        parts = {name_of(split): Rows(datasets.load_dataset(name, origin.config, split=split)) for split in wanted}
        return together(parts, replace(origin, all_splits=tuple(available)))


def _looks_like_a_path(name: str) -> bool:
    """Whether a name that isn't a file or folder can't be a hub's `owner/name` either."""
    return (
        name.count("/") > 1
        or name.startswith((".", "/", "~"))
        or any(c in name for c in "*?[\\")
        or ending_of(Path(name)) in ENDINGS
    )


def _no_rows(name: str) -> LossAuditError:
    return LossAuditError(f"{name} has no rows")


@contextlib.contextmanager
def _reading(name: str, problem: str | None = None) -> Iterator[None]:
    try:
        yield
    except LossAuditError:
        raise
    except BadLineError as error:
        raise LossAuditError(f"{name} cannot be read: {error}", *error.advice) from error
    except Exception as error:  # readers for six formats and the hub raise whatever they like
        cause = _first_cause(error)
        if isinstance(cause, LossAuditError):  # from a file that a reader was given
            raise cause from error
        if any(sign in f"{type(cause).__name__}: {cause}" for sign in _SIGNS_OF_NOTHING):
            raise _no_rows(name) from error
        raise LossAuditError(f"{problem or f'{name} cannot be read'}: {brief(cause)}") from error


def _first_cause(error: BaseException) -> BaseException:
    seen = set()  # a library may raise an error from itself
    while error.__cause__ is not None and error not in seen:
        seen.add(error)
        error = error.__cause__
    return error


@contextlib.contextmanager
def quiet_datasets() -> Iterator[None]:
    """Switches the library's own bars and messages off, and afterwards back to what they were."""
    verbosity, bars = datasets.logging.get_verbosity(), datasets.is_progress_bar_enabled()
    datasets.logging.set_verbosity(datasets.logging.CRITICAL)
    datasets.disable_progress_bars()
    try:
        yield
    finally:
        datasets.logging.set_verbosity(verbosity)
        if bars:
            datasets.enable_progress_bars()
