"""Shared by the tests of export: the bundle of each family, exported once, and adopted once."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from lossaudit.engine.model.bundle import Bundle
from lossaudit.export.adopted import adopt_bundle

# torch and transformers are imported by those who need them: the writer is tested where they aren't installed.


@pytest.fixture(scope="session")
def export(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[Path, Bundle]]:
    """Gives a family's checkpoint and its bundle, with the form in fp16."""
    made: dict[str, tuple[Path, Bundle]] = {}

    def of(name: str) -> tuple[Path, Bundle]:
        from bench.families import FAMILIES
        from lossaudit.export.exporter import export_bundle

        if name not in made:
            folder = tmp_path_factory.mktemp(name)
            checkpoint = FAMILIES[name].make(folder / "checkpoint")
            made[name] = checkpoint, export_bundle(str(checkpoint), folder / "bundle", fp16=True)
        return made[name]

    return of


@pytest.fixture(scope="session")
def onnx_folder(
    export: Callable[[str], tuple[Path, Bundle]], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Path]:
    """Gives a family's model as Optimum writes it: model.onnx, config.json, tokenizer.json.

    Tests that change files take a copy.
    """
    made: dict[str, Path] = {}

    def of(name: str) -> Path:
        import transformers

        from lossaudit.export.graph import write_graph

        if name not in made:
            checkpoint, folder = export(name)[0], tmp_path_factory.mktemp(name) / "onnx"
            shutil.copytree(checkpoint, folder, ignore=shutil.ignore_patterns("*.safetensors"))
            model = transformers.AutoModelForSequenceClassification.from_pretrained(checkpoint).eval()
            write_graph(model, folder / "model.onnx")
            made[name] = folder
        return made[name]

    return of


@pytest.fixture(scope="session")
def adopt(onnx_folder: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Bundle]:
    """Gives the bundle of that folder."""
    made: dict[str, Bundle] = {}

    def of(name: str) -> Bundle:
        if name not in made:
            made[name] = adopt_bundle(onnx_folder(name), tmp_path_factory.mktemp(name) / "adopted")
        return made[name]

    return of
