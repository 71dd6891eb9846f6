"""Copies saved datasets: the decided cells change; features, description, licence, splits and all other files stay."""

import filecmp
import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from lossaudit.engine.data.source import open_dataset

from .comparing import DifferentError, compare_tables
from .edit import Edit
from .form import Form
from .json_edit import Spelling, edited_object
from .json_scan import changed

_STATE, _INFO = "state.json", "dataset_info.json"
_CACHES = "cache-*.arrow"
"""What `datasets` keeps there of functions that ran over the rows."""


@dataclass(frozen=True)
class SavedCopy(Form):
    """A saved dataset, or one of several splits."""

    source: Path
    edit: Edit
    starts: Mapping[str, int]
    """The number of the first row of each audited split; of "" for a dataset without splits."""

    @property
    def has_splits(self) -> bool:
        return "" not in self.starts

    def write(self, place: Path, name: str) -> None:  # noqa: ARG002
        shutil.copytree(self.source, place, ignore=shutil.ignore_patterns(_CACHES), dirs_exist_ok=True)
        for split, start in self.starts.items():
            self._write_split(self.source / split, place / split, start)

    def check(self, place: Path, name: str) -> int:  # noqa: ARG002
        rows = 0
        for split, start in self.starts.items():
            source, copy = self.source / split, place / split
            if _first_schema(copy) != self.edit.schema(_first_schema(source)):
                raise DifferentError("its features or metadata are others")
            rows += compare_tables(self.edit.tables(_tables(source), start), _tables(copy))
        for file in self._untouched():
            if not filecmp.cmp(self.source / file, place / file, shallow=False):
                raise DifferentError(f"{file} is another one")
        for split in self.starts:
            with open_dataset(str(place / split)):
                pass
        return rows

    def _untouched(self) -> list[Path]:
        """The files of the source that are copied as they are."""
        audited = [self.source / split for split in self.starts]
        touched = {folder / file for folder in audited for file in (_STATE, _INFO, *_data_files(folder))}
        files = (file for file in self.source.rglob("*") if file.is_file() and not file.match(_CACHES))
        return [file.relative_to(self.source) for file in files if file not in touched]

    def _write_split(self, source: Path, copy: Path, start: int) -> None:
        left = 0
        for name in _data_files(source):
            with pa.OSFile(str(source / name)) as opened, pa.ipc.open_stream(opened) as reader:
                schema = self.edit.schema(reader.schema)
                (copy / name).unlink()
                with pa.ipc.new_stream(str(copy / name), schema) as writer:
                    for batch in reader:
                        edited = self.edit.table(start, pa.Table.from_batches([batch]))
                        start += len(batch)
                        left += len(edited)
                        if len(edited) or not len(batch):
                            writer.write_table(edited.cast(schema).combine_chunks())
        self._write_facts(copy, schema, left)

    def _write_facts(self, copy: Path, schema: pa.Schema, left: int) -> None:
        """The dataset's own words about it: another fingerprint, the added columns, and how many rows are left."""
        changes = sorted((row, d.verdict, d.label) for row, d in self.edit.decisions.items())
        state = json.loads((copy / _STATE).read_text(encoding="utf-8"))
        told = repr((state["_fingerprint"], self.edit.added, changes))
        _rewrite(copy / _STATE, state | {"_fingerprint": hashlib.sha256(told.encode()).hexdigest()[:16]})
        info = json.loads((copy / _INFO).read_text(encoding="utf-8"))
        new = dict(info)
        if self.edit.added and info.get("features"):
            new["features"] = json.loads(schema.metadata[b"huggingface"])["info"]["features"]
        split = state.get("_split")
        if split in (info.get("splits") or {}):
            new["splits"] = info["splits"] | {split: info["splits"][split] | {"num_examples": left}}
        _rewrite(copy / _INFO, new)


def can_be_copied(folder: Path, split: str) -> bool:
    """Whether a saved dataset is rows in files, one after another, as `datasets` has written them since version 2."""
    state = folder / split / _STATE
    if not state.is_file():
        return False
    told = json.loads(state.read_text(encoding="utf-8"))
    return not told.get("_indices_data_files") and not told.get("_indices_files") and bool(told.get("_data_files"))


def _rewrite(path: Path, new: dict[str, Any]) -> None:
    text = path.read_text(encoding="utf-8")
    path.write_text(changed(text, edited_object(text, 0, json.loads(text), new, Spelling())), encoding="utf-8")


def _data_files(folder: Path) -> list[str]:
    told = json.loads((folder / _STATE).read_text(encoding="utf-8"))
    return [file["filename"] for file in told["_data_files"]]


def _tables(folder: Path) -> Iterator[pa.Table]:
    for name in _data_files(folder):
        with pa.OSFile(str(folder / name)) as opened, pa.ipc.open_stream(opened) as reader:
            for batch in reader:
                yield pa.Table.from_batches([batch])


def _first_schema(folder: Path) -> pa.Schema:
    with pa.OSFile(str(folder / _data_files(folder)[0])) as opened, pa.ipc.open_stream(opened) as reader:
        return reader.schema
