"""Finds a checkpoint, by hub name or folder. Needs neither torch nor transformers."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import huggingface_hub

from lossaudit.engine.errors import LossAuditError, brief
from lossaudit.engine.files import sha256_of

SAFE = ("*.safetensors", "*.json", "*.txt", "*.model")
PICKLED = ("pytorch_model*.bin",)


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint's files on this machine."""

    folder: Path
    name: str
    """Name as the user gave it."""
    revision: str
    """Commit on the hub, or `sha256:` and the hash of the files."""


def find(model: str, pickled: bool = True) -> Checkpoint:
    """The checkpoint in a local folder, or downloaded from the hub. Raises LossAuditError if there is neither.

    pickled: whether weights that only torch reads are of use.
    """
    folder = Path(model)
    if folder.is_dir():
        _check_files(folder)
        return Checkpoint(folder, model, _content_hash(folder))
    if folder.exists() or model.startswith((".", "/", "~")) or model.count("/") > 1:
        raise LossAuditError(f"{model} isn't a checkpoint: name a folder with a config.json, or a hub model")
    try:
        fetched = Path(huggingface_hub.snapshot_download(model, allow_patterns=list(SAFE)))
        if pickled and not any(fetched.glob("*.safetensors")):
            fetched = Path(huggingface_hub.snapshot_download(model, allow_patterns=[*SAFE, *PICKLED]))
    except Exception as error:  # the network's and the hub's errors share no base class
        raise LossAuditError(
            f"there is no folder {model}, and the hub model {model!r} can't be downloaded: {brief(error)}"
        ) from error
    _check_files(fetched)
    return Checkpoint(fetched, model, fetched.name)


def _check_files(folder: Path) -> None:
    if not (folder / "config.json").is_file():
        raise LossAuditError(f"{folder} isn't a checkpoint: it has no config.json; name a save_pretrained folder")
    if not any(True for pattern in ("*.safetensors", *PICKLED) for _ in folder.glob(pattern)):
        raise LossAuditError(f"{folder} has no weights: neither model.safetensors nor pytorch_model.bin")


def _content_hash(folder: Path) -> str:
    digest = hashlib.sha256()
    for file in sorted({file for pattern in (*SAFE, *PICKLED) for file in folder.glob(pattern)}):
        digest.update(f"{file.name}\0{sha256_of(file)}\n".encode())
    return f"sha256:{digest.hexdigest()}"
