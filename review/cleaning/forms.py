"""Chooses how a cleaned dataset is written: as a copy in the form of its source, or anew in another one.

Whatever is written is read again, and compared with the source and the decisions, before it takes its place.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from lossaudit.engine.data.containers import ending_of
from lossaudit.engine.data.first_bytes import ENDINGS
from lossaudit.engine.errors import LossAuditError
from lossaudit.engine.files import file_beside, folder_beside
from lossaudit.engine.table.text_rows import TEXT_ENDINGS

from ..audited_rows import AuditedRows
from .anew import NewFile, NewFolder, NewText
from .arrow_copy import ArrowCopy
from .edit import Edit
from .form import Form
from .json_copy import are_lines
from .parquet_copy import ParquetCopy, are_of_one_schema
from .saved_copy import SavedCopy, can_be_copied
from .text_copy import TextCopy

_INFO = "dataset_info.json"


def form_of(source: AuditedRows, edit: Edit, output: Path) -> Form:
    """The form for an output, whose name has no ending for a saved dataset.

    Raises LossAuditError for a file if several splits were audited.
    """
    ending = ending_of(output)
    if source.splits and ending:
        raise LossAuditError(
            f"{output} is one file, but {len(source.splits)} splits were audited; name a folder, without an ending"
        )
    if ending in TEXT_ENDINGS:
        if _holds_csv(source, ending) or (source.format == ".json" and _holds_json(source, ending)):
            return TextCopy(source, edit)
        return NewText(source, edit, ending)
    if ending:
        if source.format == ENDINGS[ending] and not any(file.packing for file in source.data_files):
            if ending == ".parquet" and are_of_one_schema(source.files):
                return ParquetCopy(source.files, edit)
            if ending != ".parquet" and len(source.files) == 1:
                return ArrowCopy(source.files[0], edit)
        return NewFile(source, edit, ending)
    starts = _starts(source)
    folder = Path(source.name)
    if not source.files and folder.is_dir() and all(can_be_copied(folder, split) for split in starts):
        return SavedCopy(folder, edit, starts)
    return NewFolder(source, edit)


def _starts(source: AuditedRows) -> dict[str, int]:
    """The number of the first row of each audited split; of "" for a dataset without splits."""
    if not source.splits:
        return {source.split or "": 0}
    starts, start = {}, 0
    for split, rows in source.splits.items():
        starts[split] = start
        start += len(rows)
    return starts


@contextlib.contextmanager
def beside(output: Path, form: Form, scratch: Path) -> Iterator[Path]:
    """A place to write to, in the folder `scratch`, which takes the output's if all goes well (see engine/files.py)."""
    if ending_of(output):
        with file_beside(output, scratch) as place:
            yield place
        return
    marker = "dataset_dict.json" if form.has_splits else _INFO
    inner = _INFO if form.has_splits else None
    with folder_beside(output, marker, private=True, inner=inner, scratch=scratch) as place:
        yield place


def _holds_csv(source: AuditedRows, ending: str) -> bool:
    """Whether a name with this ending may hold CSV or TSV as the source has it."""
    if source.format not in (".csv", ".tsv") or ENDINGS[ending] != source.format:
        return False
    first, *others = source.csv_files
    return all(map(first.goes_on, others))


def _holds_json(source: AuditedRows, ending: str) -> bool:
    """Whether a name with this ending may hold JSON as the source has it."""
    lines = (".jsonl", ".ndjson")
    if len(source.files) > 1 or (ending in lines and ending_of(source.files[0]) not in lines):
        return ending in lines and are_lines(source.files)
    return ending == ending_of(source.files[0]) or (ending in lines and ending_of(source.files[0]) in lines)
