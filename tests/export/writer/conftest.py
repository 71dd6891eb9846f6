"""Shared by the tests of the writer: the stored checkpoints, with a tokenizer, and the bundles made of them."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from lossaudit.engine.model.bundle import Bundle
from lossaudit.export.written import write_bundle

STORED = Path(__file__).parents[1] / "checkpoints"
NAMES = sorted(folder.name for folder in STORED.iterdir())


def tokenizer() -> Tokenizer:
    """A tokenizer of 40 tokens: special ones, letters and figures."""
    words = ["[PAD]", "<pad>", "[UNK]", "[CLS]", "[SEP]", *"abcdefghijklmnopqrstuvwxyz", *"0123456", "##e", "##s"]
    made = Tokenizer(models.WordPiece({word: number for number, word in enumerate(words)}, unk_token="[UNK]"))
    made.normalizer = normalizers.BertNormalizer()
    made.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.BertPreTokenizer(), pre_tokenizers.Split("", "isolated")]
    )
    made.post_processor = processors.BertProcessing(("[SEP]", 4), ("[CLS]", 3))
    return made


@pytest.fixture(scope="session", params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    """The name of a stored checkpoint."""
    return str(request.param)


@pytest.fixture(scope="session")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Gives a copy of a stored checkpoint, with a tokenizer. Tests that change files take one of their own."""

    def copy(name: str, folder: Path | None = None) -> Path:
        target = Path(shutil.copytree(STORED / name, (folder or tmp_path_factory.mktemp(name)) / "checkpoint"))
        tokenizer().save(str(target / "tokenizer.json"))
        return target

    return copy


@pytest.fixture(scope="session")
def written(stored: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Bundle]:
    """Gives the bundle of a stored checkpoint, with the form in fp16."""
    made: dict[str, Bundle] = {}

    def of(name: str) -> Bundle:
        if name not in made:
            made[name] = write_bundle(str(stored(name)), tmp_path_factory.mktemp(name) / "bundle", fp16=True)
        return made[name]

    return of
