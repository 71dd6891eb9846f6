"""Reads the weights of a checkpoint from safetensors files, as float32 arrays.

Nothing is read before its shape is known to be the expected one. The files come from anywhere: their headers are
checked by the library `safetensors`, and the values must be numbers.
"""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open

from lossaudit.engine.arrays import Floats32
from lossaudit.engine.errors import LossAuditError, brief

from .settings import NotWrittenError

SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"
_RENAMED = {"gamma": "weight", "beta": "bias"}
"""Ends of names in checkpoints of before 2019, and what they are called now."""
_BFLOAT16 = "BF16"
_READ_AS_THEY_ARE = ("F16", "F32", "F64")


@dataclass(frozen=True)
class _Place:
    """Where a tensor is."""

    file: Path
    name: str
    """Name in the file."""
    kind: str
    """Type in safetensors' words."""
    shape: tuple[int, ...]


class MissingTensorError(LossAuditError):
    """A checkpoint lacks a tensor."""

    def __init__(self, folder: Path, name: str) -> None:
        super().__init__(f"{folder} isn't a complete checkpoint: it has no weights for {name}")
        self.name = name


class Tensors:
    """The tensors of a checkpoint, which remembers those that were taken."""

    def __init__(self, folder: Path) -> None:
        """Raises LossAuditError for files that are missing or broken."""
        self._folder = folder
        self._places: dict[str, _Place] = {}
        for file in _files(folder):
            for place in _places(file):
                name = _renamed(place.name)
                if name in self._places:
                    raise LossAuditError(f"{folder} holds the tensor {place.name} twice, in {file.name} too")
                self._places[name] = place
        self._taken: set[str] = set()

    def __contains__(self, name: str) -> bool:
        return name in self._places

    def has_prefix(self, prefix: str) -> bool:
        """Whether a name starts with the prefix."""
        return any(name.startswith(prefix) for name in self._places)

    def take(self, name: str, *shape: int) -> Floats32:
        """A tensor of the expected shape. Raises LossAuditError for another shape, NaN, or if there is none."""
        place = self._places.get(name)
        if place is None:
            raise MissingTensorError(self._folder, name)
        if place.shape != shape:
            raise LossAuditError(
                f"{place.file}: the tensor {place.name} has the shape {place.shape}, but by config.json it is {shape}"
            )
        self._taken.add(name)
        values = _values(place)
        if not np.isfinite(values).all():
            raise LossAuditError(f"{place.file}: the tensor {place.name} holds values that aren't finite numbers")
        return values

    def check_all_taken(self, leftovers: Iterable[str]) -> None:
        """Raises NotWrittenError for a tensor that wasn't taken. leftovers: patterns of names that are no loss."""
        known = re.compile("|".join(leftovers) or r"(?!)")
        left = sorted(name for name in self._places if name not in self._taken and not known.fullmatch(name))
        if left:
            more = f" and {len(left) - 1} more" if len(left) > 1 else ""
            raise NotWrittenError(f"its weights hold {left[0]}{more}, which its architecture has no use for")


def _files(folder: Path) -> list[Path]:
    if (folder / SINGLE).is_file():
        return [folder / SINGLE]
    index = folder / INDEX
    if not index.is_file():
        raise LossAuditError(
            f"{folder} has no {SINGLE}; where PyTorch is, convert its weights: "
            "AutoModelForSequenceClassification.from_pretrained(FOLDER).save_pretrained(NEW_FOLDER)"
        )
    try:
        names = set(dict(json.loads(index.read_text(encoding="utf-8"))["weight_map"]).values())
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise LossAuditError(f"{index} can't be read: {brief(error)}") from error
    for name in names:
        if not isinstance(name, str) or Path(name).name != name or "\0" in name:
            raise LossAuditError(f"{index} names the file {name!r}, which isn't in the folder")
        if not (folder / name).is_file():
            raise LossAuditError(f"{index} names {name}, which is missing; fetch the checkpoint again")
    return [folder / name for name in sorted(names)]


def _places(file: Path) -> list[_Place]:
    try:
        with safe_open(file, "np") as tensors:
            slices = {name: tensors.get_slice(name) for name in tensors.keys()}  # noqa: SIM118 - not a mapping
            return [_Place(file, name, one.get_dtype(), tuple(one.get_shape())) for name, one in slices.items()]
    except (OSError, SafetensorError) as error:
        raise LossAuditError(f"{file} isn't a whole safetensors file: {brief(error)}") from error


def _renamed(name: str) -> str:
    stem, dot, end = name.rpartition(".")
    return f"{stem}{dot}{_RENAMED.get(end, end)}"


def _values(place: _Place) -> Floats32:
    try:
        if place.kind == _BFLOAT16:
            return _bfloat16(place)
        if place.kind in _READ_AS_THEY_ARE:
            with safe_open(place.file, "np") as tensors, np.errstate(over="ignore"):  # F64 may be too large
                return np.asarray(tensors.get_tensor(place.name), dtype=np.float32)
    except (OSError, SafetensorError) as error:
        raise LossAuditError(f"{place.file} can't be read: {brief(error)}") from error
    raise NotWrittenError(f"its weights are quantised: {place.name} is of the type {place.kind}")


def _bfloat16(place: _Place) -> Floats32:
    """numpy has no such type: its bits are the upper half of a float32's. `_places` has checked the header."""
    with place.file.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
        start, _ = json.loads(file.read(size))[place.name]["data_offsets"]
        file.seek(8 + size + start)
        halves = np.fromfile(file, dtype="<u2", count=int(np.prod(place.shape, dtype=np.int64)))
    return (halves.astype(np.uint32) << 16).view(np.float32).reshape(place.shape)
