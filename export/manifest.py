"""Writes a bundle's manifest from what is known about a model and the forms made of it."""

import importlib.metadata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path

from lossaudit.engine.files import sha256_of
from lossaudit.engine.model.bundle import FORMAT, MANIFEST, About, Graph, Manifest, Parity
from lossaudit.version import __version__


@dataclass(frozen=True)
class Forms:
    """The forms made of a model."""

    graphs: tuple[Graph, ...]
    left_out: dict[str, str]
    """Reasons for the forms that weren't made, by name."""
    parity: Parity
    """Comparison of fp32 with the reference."""


def write_manifest(folder: Path, about: About, forms: Forms, versions: Mapping[str, str]) -> None:
    """Writes the manifest into a folder that already holds the bundle's other files. versions: see `versions_of`."""
    manifest = Manifest(
        format=FORMAT,
        **{field.name: getattr(about, field.name) for field in fields(About)},
        versions=dict(versions),
        files={file.name: sha256_of(file) for file in sorted(folder.iterdir())},
        parity=forms.parity,
        graphs=forms.graphs,
        left_out=forms.left_out,
    )
    (folder / MANIFEST).write_text(manifest.to_json(), encoding="utf-8")


def versions_of(makers: Iterable[str]) -> dict[str, str]:
    """The versions of lossaudit and of those `makers` that are installed."""
    found = {"lossaudit": __version__}
    for name in makers:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
