"""Writes a bundle's manifest: what is known of a model and the forms that were made of it come in, a file goes out."""

import importlib.metadata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Self

from lossaudit.engine.files import sha256_of
from lossaudit.engine.model.bundle import FORMAT, MANIFEST, Graph, Manifest, Parity, Source
from lossaudit.version import __version__


@dataclass(frozen=True)
class About:
    """What a manifest says of a model, whatever its forms are; see `Manifest` for each."""

    architecture: str
    task: str
    labels: tuple[str, ...]
    max_length: int
    truncation_side: str
    pad_id: int
    opset: int
    """0 where it isn't known."""
    inputs: tuple[str, ...]
    source: Source

    @classmethod
    def of(cls, manifest: Manifest) -> Self:
        """What a manifest says."""
        return cls(**{field.name: getattr(manifest, field.name) for field in fields(cls)})


@dataclass(frozen=True)
class Forms:
    """What was made of a model."""

    graphs: tuple[Graph, ...]
    left_out: dict[str, str]
    """By the form's name, why it wasn't made."""
    parity: Parity
    """Of fp32 with the reference."""


def write_manifest(folder: Path, about: About, forms: Forms, versions: Mapping[str, str]) -> None:
    """Writes the manifest of a bundle whose other files are all in the folder. versions: see `versions_of`."""
    manifest = Manifest(
        format=FORMAT,
        **{field.name: getattr(about, field.name) for field in fields(about)},
        versions=dict(versions),
        files={file.name: sha256_of(file) for file in sorted(folder.iterdir())},
        parity=forms.parity,
        graphs=forms.graphs,
        left_out=forms.left_out,
    )
    (folder / MANIFEST).write_text(manifest.to_json(), encoding="utf-8")


def versions_of(makers: Iterable[str]) -> dict[str, str]:
    """The versions of lossaudit and of those packages that are installed."""
    found = {"lossaudit": __version__}
    for name in makers:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
