"""The data of the noise bench: three sets of texts with labels taken as clean, and MiniLM's states of them."""

import gzip
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import transformers
from numpy.typing import NDArray
from sklearn.neighbors import NearestNeighbors

from lossaudit.engine.model.batching import batches_by_token_budget
from lossaudit.export.demo import read_corpus

SETS = ("TREC", "BBC News", "AG News")
MOST_NEIGHBOURS = 30
MAX_LENGTH = 128
"""Tokens of a text that the encoder reads."""


@dataclass(frozen=True)
class Data:
    """A set of n texts, as heads see it."""

    name: str
    labels: NDArray[np.int64]
    """(n,) taken as clean."""
    features: NDArray[np.float32]
    """(n, hidden) means of the tokens' last states."""
    groups: NDArray[np.int64]
    """(n,) the same number for the same text."""
    nearest: NDArray[np.int64]
    """(n, MOST_NEIGHBOURS) rows of other texts, by falling cosine of the centred states."""

    @property
    def classes(self) -> int:
        return int(self.labels.max()) + 1


def read(name: str, inputs: Path, work: Path, encoder: Path) -> Data:
    """One of SETS; the states are computed once and kept in `work`."""
    texts, labels = texts_and_labels(name, inputs)
    path = work / f"{name.lower().replace(' ', '-')}.npz"
    if not path.is_file():
        work.mkdir(parents=True, exist_ok=True)
        np.savez(path, states=mean_states(texts, encoder))
    features = np.load(path)["states"]
    groups = np.unique(texts, return_inverse=True)[1]
    return Data(name, labels, features, groups, _nearest(features, groups))


def texts_and_labels(name: str, inputs: Path) -> tuple[list[str], NDArray[np.int64]]:
    """The n texts of one of SETS, and (n,) their labels."""
    if name == "BBC News":
        articles = read_corpus().articles
        return articles.texts, articles.labels
    files = {"TREC": ["trec6_train.jsonl.gz", "trec6_test.jsonl.gz"], "AG News": ["ag_news_test.jsonl.gz"]}[name]
    rows = []
    for file in files:
        with gzip.open(inputs / "data" / file, "rt", encoding="utf-8") as lines:
            rows += [json.loads(line) for line in lines]
    return [row["text"] for row in rows], np.array([row["label"] for row in rows])


def mean_states(texts: list[str], encoder: Path) -> NDArray[np.float32]:
    """(n, hidden) means of the last states of each text's tokens."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(encoder)
    model = transformers.AutoModel.from_pretrained(encoder).eval()
    ids = tokenizer(texts, truncation=True, max_length=MAX_LENGTH)["input_ids"]
    states = np.empty((len(texts), model.config.hidden_size), dtype=np.float32)
    for rows in batches_by_token_budget(np.array([len(row) for row in ids]), budget=2048):
        batch = tokenizer.pad({"input_ids": [ids[row] for row in rows]}, return_tensors="pt")
        with torch.inference_mode():
            tokens = model(**batch).last_hidden_state
        mask = batch["attention_mask"][..., None]
        states[rows] = ((tokens * mask).sum(dim=1) / mask.sum(dim=1)).numpy()
    return states


def _nearest(features: NDArray[np.float32], groups: NDArray[np.int64]) -> NDArray[np.int64]:
    centred = features - features.mean(axis=0)
    centred /= np.linalg.norm(centred, axis=1, keepdims=True)
    most_copies = int(np.bincount(groups).max())
    search = NearestNeighbors(n_neighbors=MOST_NEIGHBOURS + most_copies, algorithm="brute").fit(centred)
    found = search.kneighbors(centred, return_distance=False)
    own = groups[found] == groups[:, None]
    first = np.argsort(own, axis=1, kind="stable")[:, :MOST_NEIGHBOURS]
    return np.asarray(np.take_along_axis(found, first, axis=1), dtype=np.int64)
