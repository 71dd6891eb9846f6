"""The tutorial's loop, with its softmax over the classes: the PyTorch baseline of every figure in this folder.

Texts and labels come in, one loss a row goes out. Source: "Clean labels using your model loss" of the Rubrix
documentation, which takes AutoModelForSequenceClassification over batches of 32 in the dataset's order, each
padded to its longest text.
"""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

BATCH_ROWS = 32


def losses(model: str, texts: list[str], labels: list[int], batch_rows: int = BATCH_ROWS) -> NDArray[np.float64]:
    """Cross-entropy of each row's label in nats, in the rows' order."""
    return score(*load(model), texts, labels, batch_rows)


def load(model: str) -> tuple[PreTrainedTokenizerBase, PreTrainedModel]:
    """The checkpoint's tokenizer and classifier, in evaluation mode."""
    classifier = AutoModelForSequenceClassification.from_pretrained(model).eval()
    return AutoTokenizer.from_pretrained(model), classifier


def score(
    tokenizer: PreTrainedTokenizerBase,
    classifier: PreTrainedModel,
    texts: list[str],
    labels: list[int],
    batch_rows: int = BATCH_ROWS,
) -> NDArray[np.float64]:
    """As `losses`, with a loaded model."""
    rows: Any = [
        {**tokenizer(text, truncation=True), "labels": label} for text, label in zip(texts, labels, strict=True)
    ]
    found = []
    for batch in DataLoader(rows, batch_size=batch_rows, collate_fn=DataCollatorWithPadding(tokenizer)):
        given = batch.pop("labels")
        with torch.inference_mode():
            logits = classifier(**batch).logits
        found.append(torch.nn.functional.cross_entropy(logits, given, reduction="none"))
    return torch.cat(found).numpy().astype(np.float64)
