"""The models and rows to measure with. Names come in, a checkpoint folder and files of rows in the work folder go out.

Models and data lie in a folder of inputs, `--inputs`: models/agnews-distilbert-mini and data/*.jsonl.gz.
BBC News comes from the extra `demo`.
"""

import gzip
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

CALIBRATION_ROWS = 300
_MINI = "models/agnews-distilbert-mini"
Lines = list[tuple[str, int]]


@dataclass(frozen=True)
class Shape:
    """What a run measures with."""

    model: Path
    """The checkpoint."""
    data: Path
    """The rows to score."""
    calibration: Path
    """Other rows of the same data (the same where there are too few)."""
    rows: int


def make(model: str, data: str, rows: int, inputs: Path, work: Path) -> Shape:
    """Makes what isn't there yet."""
    checkpoint = MODELS[model](inputs, work / "checkpoints" / model)
    config = json.loads((checkpoint / "config.json").read_text(encoding="utf-8"))
    classes = len(config["id2label"]) if "id2label" in config else 2
    lines = DATA[data](inputs)
    # Speed doesn't depend on the labels, so a model with fewer classes than the data has gets them folded.
    lines = [(text, label % classes) for text, label in lines]
    rows = min(rows, len(lines))
    folder = work / "data"
    return Shape(
        checkpoint,
        _written(lines[:rows], folder / f"{data}-{classes}-{rows}.jsonl.gz"),
        _written(lines[-CALIBRATION_ROWS:], folder / f"{data}-{classes}-calibration.jsonl.gz"),
        rows,
    )


def _mini(inputs: Path, folder: Path) -> Path:  # noqa: ARG001 - it is there already
    return inputs / _MINI


def _distilbert_base(inputs: Path, folder: Path) -> Path:
    """DistilBERT-base with random weights: speed doesn't depend on them."""
    if not (folder / "config.json").is_file():
        import torch
        from transformers import AutoTokenizer, DistilBertConfig, DistilBertForSequenceClassification

        torch.manual_seed(0)
        AutoTokenizer.from_pretrained(inputs / _MINI).save_pretrained(folder)
        labels = json.loads((inputs / _MINI / "config.json").read_text(encoding="utf-8"))["id2label"]
        config = DistilBertConfig(id2label=labels, label2id={name: int(index) for index, name in labels.items()})
        DistilBertForSequenceClassification(config).eval().save_pretrained(folder)
    return folder


def _files(*names: str) -> Callable[[Path], Lines]:
    def read(inputs: Path) -> Lines:
        lines: Lines = []
        for name in names:
            with gzip.open(inputs / "data" / f"{name}.jsonl.gz", "rt", encoding="utf-8") as file:
                lines += [(row["text"], row["label"]) for row in map(json.loads, file)]
        return lines

    return read


def _bbc(inputs: Path) -> Lines:  # noqa: ARG001 - it comes from a package
    from lossaudit.export.demo import read_corpus

    articles = read_corpus().articles
    order = np.random.default_rng(0).permutation(len(articles))  # its files come class by class
    return [(articles.texts[row], int(articles.labels[row])) for row in order]


def _written(lines: Lines, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with gzip.open(path, "wt", encoding="utf-8") as file:
        file.writelines(json.dumps({"text": text, "label": label}, ensure_ascii=False) + "\n" for text, label in lines)
    return path


MODELS: dict[str, Callable[[Path, Path], Path]] = {"distilbert-base": _distilbert_base, "mini": _mini}
DATA: dict[str, Callable[[Path], Lines]] = {
    "ag_news": _files("ag_news_test"),
    "trec": _files("trec6_test", "trec6_train"),
    "bbc": _bbc,
}
