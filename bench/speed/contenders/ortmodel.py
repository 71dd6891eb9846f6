"""Optimum's ORTModelForSequenceClassification, the rows sorted by length.

ortmodel: the exported graph, plain or after Optimum's own optimiser at level 2, whichever is faster.
ortmodel-int8: the plain one after Optimum's own dynamic quantisation.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from optimum.onnxruntime import ORTModelForSequenceClassification, ORTOptimizer, ORTQuantizer
from optimum.onnxruntime.configuration import AutoQuantizationConfig, OptimizationConfig

from .batches import encode, sorted_batches
from .exports import exported, once
from .job import CPUS, Batch, Clock, Contender, Job, Settings, cross_entropy, read_rows, write_losses

_FILES = {"plain": "model.onnx", "optimised": "model_optimized.onnx"}


class OrtModel(Contender):
    """The fp32 graph."""

    needs = ("optimum-onnx", "onnxruntime", "torch", "transformers", "pyarrow")
    precision = "fp32"
    axes: Mapping[str, tuple[Any, ...]] = {
        "batch": tuple(Batch(rows=rows) for rows in (16, 8, 32)),
        "form": ("plain", "optimised"),
    }

    def prepare(self, job: Job) -> None:
        with once(job.work / "optimised") as folder:
            if folder is not None:
                model = ORTModelForSequenceClassification.from_pretrained(exported(job))
                config = OptimizationConfig(optimization_level=2)
                ORTOptimizer.from_pretrained(model).optimize(config, folder, one_external_file=False)

    def folder(self, job: Job, form: str) -> Path:
        return exported(job) if form == "plain" else job.work / "optimised"

    def file(self, form: str) -> str:
        return _FILES[form]

    def run(self, job: Job, settings: Settings, clock: Clock) -> None:
        rows = read_rows(job.data, job.rows)
        options = ort.SessionOptions()
        options.intra_op_num_threads = CPUS
        with clock.loading():
            model = ORTModelForSequenceClassification.from_pretrained(
                self.folder(job, settings.form), file_name=self.file(settings.form), session_options=options
            )
        logits = np.empty((len(rows), model.config.num_labels), dtype=np.float32)
        for batch in sorted_batches(encode(job.model, rows.texts), settings.batch):
            with clock.running(batch.mask):
                logits[batch.rows] = model(**batch.feed(set(model.input_names))).logits
        write_losses(cross_entropy(logits, rows.labels), job.out)


class OrtModelInt8(OrtModel):
    """The plain graph quantised by Optimum, which refuses its own optimised one (it can't infer its types)."""

    precision = "int8"
    axes: Mapping[str, tuple[Any, ...]] = {**OrtModel.axes, "form": ("plain",)}

    def prepare(self, job: Job) -> None:
        with once(job.work / "quantised") as folder:
            if folder is not None:
                config = AutoQuantizationConfig.avx512_vnni(is_static=False, per_channel=True)
                quantiser = ORTQuantizer.from_pretrained(exported(job), file_name=_FILES["plain"])
                quantiser.quantize(save_dir=folder, quantization_config=config)

    def folder(self, job: Job, form: str) -> Path:  # noqa: ARG002 - there is one form
        return job.work / "quantised"

    def file(self, form: str) -> str:
        return _FILES[form].replace(".onnx", "_quantized.onnx")


CONTENDERS: dict[str, Contender] = {"ortmodel": OrtModel(), "ortmodel-int8": OrtModelInt8()}
