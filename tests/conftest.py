"""Shared by all tests: tiny checkpoints made on the spot, an exported bundle, and a home folder of their own.

Nothing here touches the network or the user's caches: before anything imports the Hugging Face libraries, they are set
to offline mode and every cache is moved to a temporary folder.
"""

import atexit
import contextlib
import gzip
import json
import os
import random
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

REPOSITORY = Path(__file__).parents[1]
LABELS = ("World", "Sports", "Business", "Sci/Tech")
SENTENCE = (
    "the bank shares rose fell on tuesday profit market oil company minister talks peace vote army city striker "
    "scored team cup final coach season probe water ice planet chip software network phone scientists said new "
    "and a of in to after before with for from by at last first two three"
)


def pytest_configure(config: pytest.Config) -> None:
    """A home for all caches, and no network, for this process and every command it starts; and no deadlines."""
    hypothesis.settings.register_profile("untimed", deadline=None)  # a busy machine is no failure
    hypothesis.settings.load_profile("untimed")
    # `datasets` leaves the files open that its CSV reader was given. The second is for the last collection of all.
    config.addinivalue_line("filterwarnings", "ignore:unclosed file:ResourceWarning")
    warnings.filterwarnings("ignore", "unclosed file", ResourceWarning)
    home = tempfile.mkdtemp(prefix="lossaudit-tests-")
    atexit.register(shutil.rmtree, home, ignore_errors=True)
    os.environ |= {
        "HF_HOME": f"{home}/huggingface",
        "XDG_CACHE_HOME": f"{home}/cache",
        "HF_HUB_OFFLINE": "1",
        "HF_DATASETS_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "OMP_NUM_THREADS": "1",  # the models are tiny, and threads that wait for each other are slow
        "COLUMNS": "120",
    }


@pytest.fixture(scope="session")
def rows() -> list[dict[str, Any]]:
    """60 examples of 1 to 90 words, so that some are longer than the tiny models' 64 tokens."""
    draw = random.Random(3)
    words = SENTENCE.split()
    lengths = [1, 2, 90, *(draw.randint(3, 50) for _ in range(57))]
    return [{"text": " ".join(draw.choices(words, k=n)), "label": draw.randrange(len(LABELS))} for n in lengths]


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of models and data beside the repository."""
    folder = REPOSITORY.parent / "shared"
    if not (folder / "models").is_dir():
        pytest.skip(f"{folder} isn't on this machine")
    return folder


@pytest.fixture(scope="session")
def shared_checkpoint(shared: Path) -> Path:
    """A small DistilBERT that was fine-tuned on AG News."""
    return shared / "models" / "agnews-distilbert-mini"


@pytest.fixture(scope="session")
def shared_bundle(shared_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """That checkpoint's bundle, with the form in fp16."""
    from lossaudit.export.exporter import export_bundle

    return export_bundle(str(shared_checkpoint), tmp_path_factory.mktemp("agnews") / "bundle", fp16=True)


@pytest.fixture
def refused() -> Callable[..., contextlib.AbstractContextManager[None]]:
    """`with refused("part", …):` holds that a LossAuditError is raised whose one line has all the parts."""
    from lossaudit.engine.errors import LossAuditError

    @contextlib.contextmanager
    def check(*parts: str) -> Iterator[None]:
        with pytest.raises(LossAuditError) as caught:
            yield
        message = str(caught.value)
        assert len(message.splitlines()) == 1
        for part in parts:
            assert part in message

    return check


@pytest.fixture
def write_file(tmp_path: Path) -> Callable[[str, str | bytes], Path]:
    """Writes a file of the test's own folder; text is encoded, and names that end in .gz are compressed."""

    def write(name: str, content: str | bytes) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        data = content.encode() if isinstance(content, str) else content
        path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
        return path

    return write


@pytest.fixture(scope="session")
def make_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Writes a tiny random classifier of a kind ("bert", "distilbert", "roberta"), as save_pretrained does.

    `labels` are its names, other keywords go into its config. Returns a new folder.
    """

    def make(kind: str = "bert", labels: tuple[str, ...] = LABELS, **config: Any) -> Path:
        from bench.families import FAMILIES

        family = next(family for family in FAMILIES.values() if family.model_type == kind)
        return family.make(tmp_path_factory.mktemp(f"{kind}-checkpoint"), labels=labels, texts=[SENTENCE], **config)

    return make


@pytest.fixture(scope="session")
def checkpoint(make_checkpoint: Callable[..., Path]) -> Path:
    """A tiny BERT of four labels. Tests that change files take a copy."""
    return make_checkpoint()


@pytest.fixture(scope="session")
def bundle_folder(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny BERT, exported. Tests that change files take a copy."""
    from lossaudit.export.exporter import export_bundle

    return export_bundle(str(checkpoint), tmp_path_factory.mktemp("bundles") / "tiny").folder


@pytest.fixture(scope="session")
def encoder_checkpoint(make_checkpoint: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny BERT without a head. Tests that change files take a copy."""
    import transformers

    classifier, folder = make_checkpoint(), tmp_path_factory.mktemp("encoder-checkpoint")
    transformers.AutoModel.from_pretrained(classifier).save_pretrained(folder)
    transformers.AutoTokenizer.from_pretrained(classifier).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def encoder_folder(encoder_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its features bundle."""
    from lossaudit.export.encoder import export_encoder

    return export_encoder(str(encoder_checkpoint), tmp_path_factory.mktemp("encoders") / "tiny").folder


@pytest.fixture(scope="session")
def multi_label_checkpoint(make_checkpoint: Callable[..., Path]) -> Path:
    """A tiny BERT of four labels, any of which may be right."""
    return make_checkpoint(problem_type="multi_label_classification")


@pytest.fixture(scope="session")
def multi_label_bundle_folder(multi_label_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The multi-label BERT, exported."""
    from lossaudit.export.exporter import export_bundle

    return export_bundle(str(multi_label_checkpoint), tmp_path_factory.mktemp("bundles") / "multi-label").folder


@pytest.fixture(scope="session")
def multi_label_rows(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows with none to four labels each."""
    draw = random.Random(5)
    return [{"text": row["text"], "labels": [name for name in LABELS if draw.random() < 0.4]} for row in rows]


@pytest.fixture
def bundle_copy(bundle_folder: Path, tmp_path: Path) -> Path:
    """A bundle that the test may spoil."""
    return Path(shutil.copytree(bundle_folder, tmp_path / "bundle-copy"))


@pytest.fixture(scope="session")
def data_csv(rows: list[dict[str, Any]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The rows as a CSV with integer labels."""
    path = tmp_path_factory.mktemp("data") / "rows.csv"
    path.write_text("text,label\n" + "".join(f"{row['text']},{row['label']}\n" for row in rows))
    return path


@pytest.fixture(scope="session")
def data_jsonl(rows: list[dict[str, Any]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The rows as JSON Lines with the labels' names."""
    path = tmp_path_factory.mktemp("data") / "rows.jsonl"
    named = [{"headline": row["text"], "topic": LABELS[row["label"]]} for row in rows]
    path.write_text("".join(json.dumps(row) + "\n" for row in named))
    return path
