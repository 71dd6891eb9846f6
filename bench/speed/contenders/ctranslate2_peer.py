"""CTranslate2's encoder with the classification head in numpy, the rows sorted by length.

It has no sequence classifiers of its own: the encoder gives the last states (DistilBERT) or the pooled state
(BERT), and the head is one or two small matrix products a row.
"""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import ctranslate2  # type: ignore[import-untyped]
import numpy as np

from .batches import PaddedBatch, encode, sorted_batches
from .exports import once
from .job import CPUS, Batch, Clock, Contender, Job, Settings, UnavailableError, cross_entropy, read_rows, write_losses


class CTranslate2(Contender):
    """The encoder with weights of one type."""

    needs = ("ctranslate2", "tokenizers", "pyarrow")

    def __init__(self, precision: str, compute_type: str) -> None:
        self.precision = precision
        self.compute_type = compute_type
        self.axes: Mapping[str, tuple[Any, ...]] = {
            "workers": tuple(dict.fromkeys((CPUS, 1))),
            "batch": (Batch(None, 1024), Batch(None, 512), Batch(None, 2048), Batch(16)),
        }

    def prepare(self, job: Job) -> None:
        with once(self._folder(job)) as folder:
            if folder is not None:
                _convert(job.model, folder, self.compute_type)

    def run(self, job: Job, settings: Settings, clock: Clock) -> None:
        rows = read_rows(job.data, job.rows)
        with clock.loading():
            encoder = ctranslate2.Encoder(
                str(self._folder(job)),
                compute_type=self.compute_type,
                inter_threads=settings.workers,
                intra_threads=settings.threads,
            )
            head = np.load(self._folder(job) / "head.npz")
        logits = np.empty((len(rows), len(head["bias"])), dtype=np.float32)

        def score(batch: PaddedBatch) -> None:
            with clock.running(batch.mask):
                ids = ctranslate2.StorageView.from_array(batch.ids.astype(np.int32))
                lengths = ctranslate2.StorageView.from_array(batch.mask.sum(axis=1).astype(np.int32))
                found = encoder.forward_batch(ids, lengths)
            logits[batch.rows] = _head(found, head)

        with ThreadPoolExecutor(2 * settings.workers) as pool:
            list(pool.map(score, sorted_batches(encode(job.model, rows.texts), settings.batch)))
        write_losses(cross_entropy(logits, rows.labels), job.out)

    def _folder(self, job: Job) -> Path:
        return job.work / f"ctranslate2-{self.precision}"


def _convert(checkpoint: Path, folder: Path, compute_type: str) -> None:
    from ctranslate2.converters import TransformersConverter  # type: ignore[import-untyped]  # takes seconds, and a job never needs it
    from transformers import AutoModelForSequenceClassification

    kind = AutoModelForSequenceClassification.from_pretrained(checkpoint)
    heads = {"distilbert": ("pre_classifier", "classifier"), "bert": ("classifier",)}
    if kind.config.model_type not in heads:
        raise UnavailableError(f"there is no head for {kind.config.model_type} here")
    TransformersConverter(str(checkpoint)).convert(str(folder), quantization=compute_type, force=True)
    *first, last = (kind.get_submodule(name) for name in heads[kind.config.model_type])
    arrays = {"weight": last.weight, "bias": last.bias}
    if first:
        arrays |= {"first_weight": first[0].weight, "first_bias": first[0].bias}
    np.savez(folder / "head.npz", **{name: value.detach().numpy() for name, value in arrays.items()})


def _head(found: Any, head: Any) -> Any:
    """(b, classes) logits of the encoder's output."""
    if "first_weight" in head:
        first = np.asarray(found.last_hidden_state)[:, 0]
        state = np.maximum(first @ head["first_weight"].T + head["first_bias"], 0)
    else:
        state = np.asarray(found.pooler_output)
    return state @ head["weight"].T + head["bias"]


CONTENDERS: dict[str, Contender] = {
    "ctranslate2-fp32": CTranslate2("fp32", "float32"),
    "ctranslate2-int8": CTranslate2("int8", "int8"),
}
