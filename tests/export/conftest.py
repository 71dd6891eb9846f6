"""Shared by the tests of export: the bundle of each family, exported once."""

from collections.abc import Callable
from pathlib import Path

import pytest

from bench.families import FAMILIES
from lossaudit.engine.model.bundle import Bundle
from lossaudit.export.exporter import export_bundle


@pytest.fixture(scope="session")
def export(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[Path, Bundle]]:
    """Gives a family's checkpoint and its bundle, with the form in fp16."""
    made: dict[str, tuple[Path, Bundle]] = {}

    def of(name: str) -> tuple[Path, Bundle]:
        if name not in made:
            folder = tmp_path_factory.mktemp(name)
            checkpoint = FAMILIES[name].make(folder / "checkpoint")
            made[name] = checkpoint, export_bundle(str(checkpoint), folder / "bundle", fp16=True)
        return made[name]

    return of
