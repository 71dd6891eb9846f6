"""transformers' `pipeline("text-classification")`: as its documentation has it, and at its best.

pipeline: one text after the other, its default. pipeline-sorted: the texts sorted by their characters (it takes
texts, so their tokens aren't known outside it) in batches. The loss is the label's -log(score).
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
import transformers

from .job import CPUS, Batch, Clock, Contender, Job, Settings, read_rows, write_losses
from .torch_loop import import_architecture, watch

torch.set_num_threads(CPUS)
transformers.utils.logging.set_verbosity_error()


class Pipeline(Contender):
    """The pipeline over the texts in their order."""

    needs = ("torch", "transformers", "pyarrow")
    precision = "fp32"
    axes: Mapping[str, tuple[Any, ...]] = {"batch": (Batch(rows=1),)}
    sorted = False

    def prepare(self, job: Job) -> None:
        import_architecture(job)

    def run(self, job: Job, settings: Settings, clock: Clock) -> None:
        rows = read_rows(job.data, job.rows)
        with clock.loading():
            classify = transformers.pipeline("text-classification", model=str(job.model), top_k=None, device="cpu")
        watch(classify.model, clock)
        order = np.arange(len(rows))
        if self.sorted:
            order = np.argsort([-len(text) for text in rows.texts], kind="stable")
        found = classify([rows.texts[row] for row in order], batch_size=settings.batch.rows, truncation=True)
        names = classify.model.config.id2label
        losses = np.empty(len(rows))
        for row, scores in zip(order, found, strict=True):
            given = names[int(rows.labels[row])]
            losses[row] = -np.log(next(score["score"] for score in scores if score["label"] == given))
        write_losses(losses, job.out)


class SortedPipeline(Pipeline):
    """The pipeline over sorted texts in batches."""

    axes: Mapping[str, tuple[Any, ...]] = {"batch": tuple(Batch(rows=rows) for rows in (16, 8, 32))}
    sorted = True


CONTENDERS: dict[str, Contender] = {"pipeline": Pipeline(), "pipeline-sorted": SortedPipeline()}
