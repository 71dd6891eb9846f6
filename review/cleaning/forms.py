"""Chooses how a cleaned dataset is written: as a copy in the form of its source, or anew in another one.

Whatever is written is read again, and compared with the source and the decisions, before it takes its place.
"""

from pathlib import Path
from typing import Protocol

from lossaudit.engine.data.containers import ending_of
from lossaudit.engine.errors import LossAuditError
from lossaudit.engine.table.text_rows import TEXT_ENDINGS

from ..audited_rows import AuditedRows
from .anew import NewFile, NewFolder, NewText
from .edit import Edit
from .json_copy import are_lines
from .text_copy import JsonCopy


class Form(Protocol):
    """A form in which a cleaned dataset is written."""

    @property
    def lost(self) -> str | None:
        """What of the source it can't hold; None where all but the decided cells stays as it is."""

    def write(self, place: Path, name: str) -> None:
        """Writes the cleaned dataset. name: the final one, which tells how it is compressed."""

    def check(self, place: Path, name: str) -> int:
        """Reads what was written, and returns its number of rows. Raises DifferentError if it isn't as decided."""


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
        if source.format == ".json" and _holds_json(source, ending):
            return JsonCopy(source, edit)
        return NewText(source, edit, ending)
    return NewFile(source, edit) if ending == ".parquet" else NewFolder(source, edit)


def _holds_json(source: AuditedRows, ending: str) -> bool:
    """Whether a name with this ending may hold JSON as the source has it."""
    lines = (".jsonl", ".ndjson")
    if len(source.files) > 1 or (ending in lines and ending_of(source.files[0]) not in lines):
        return ending in lines and are_lines(source.files)
    return ending == ending_of(source.files[0]) or (ending in lines and ending_of(source.files[0]) in lines)
