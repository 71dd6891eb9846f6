"""PyTorch: the tutorial's loop as it stands, then with what its user can do in a line or two.

loop: fp32, batches of 32 in the dataset's order. loop-sorted: the rows sorted by length, tokenised in one call.
loop-sorted-bf16: the same in bfloat16, by autocast or with converted weights, whichever is faster.
"""

import contextlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer

from .. import loop
from .job import CPUS, Batch, Clock, Contender, Job, Settings, read_rows, write_losses

torch.set_num_threads(CPUS)


def watch(classifier: torch.nn.Module, clock: Clock) -> None:
    """Lets the clock run while the model does."""
    classifier.register_forward_pre_hook(
        lambda _, args, inputs: clock.enter(inputs["attention_mask"]), with_kwargs=True
    )
    classifier.register_forward_hook(lambda *_: clock.leave())


def import_architecture(job: Job) -> None:
    """Imports the model's module, which transformers otherwise does when it loads the weights."""
    AutoModelForSequenceClassification._model_mapping[type(AutoConfig.from_pretrained(job.model))]


class Loop(Contender):
    """The tutorial's loop."""

    needs = ("torch", "transformers", "pyarrow")
    precision = "fp32"
    axes: Mapping[str, tuple[Any, ...]] = {"batch": (Batch(loop.BATCH_ROWS),)}

    def prepare(self, job: Job) -> None:
        import_architecture(job)

    def run(self, job: Job, settings: Settings, clock: Clock) -> None:
        rows = read_rows(job.data, job.rows)
        with clock.loading():
            tokenizer, classifier = loop.load(str(job.model))
        watch(classifier, clock)
        losses = loop.score(tokenizer, classifier, rows.texts, rows.labels.tolist(), settings.batch.rows or 1)
        write_losses(losses, job.out)


class SortedLoop(Loop):
    """The loop with its rows sorted by length."""

    def run(self, job: Job, settings: Settings, clock: Clock) -> None:
        rows = read_rows(job.data, job.rows)
        dtype = torch.bfloat16 if settings.form == "bf16 weights" else torch.float32
        with clock.loading():
            tokenizer = AutoTokenizer.from_pretrained(job.model)
            classifier = AutoModelForSequenceClassification.from_pretrained(job.model, dtype=dtype).eval()
        watch(classifier, clock)
        ids = tokenizer(rows.texts, truncation=True)["input_ids"]
        order = np.argsort([-len(row) for row in ids], kind="stable")
        size = settings.batch.rows or 1
        losses = np.empty(len(rows))
        labels = torch.from_numpy(rows.labels)
        autocast = torch.autocast("cpu", torch.bfloat16) if settings.form == "autocast" else contextlib.nullcontext()
        with torch.inference_mode(), autocast:
            for start in range(0, len(order), size):
                chosen = order[start : start + size]
                batch = tokenizer.pad({"input_ids": [ids[row] for row in chosen]}, return_tensors="pt")
                logits = classifier(**batch).logits.float()
                losses[chosen] = torch.nn.functional.cross_entropy(logits, labels[chosen], reduction="none").numpy()
        write_losses(losses, job.out)


class SortedLoopBf16(SortedLoop):
    """The sorted loop in bfloat16."""

    precision = "bf16"
    axes: Mapping[str, tuple[Any, ...]] = {"batch": (Batch(loop.BATCH_ROWS),), "form": ("autocast", "bf16 weights")}


CONTENDERS: dict[str, Contender] = {
    "loop": Loop(),
    "loop-sorted": SortedLoop(),
    "loop-sorted-bf16": SortedLoopBf16(),
}
