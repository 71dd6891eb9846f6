"""OpenVINO at its best: the rows sorted by length, asynchronous requests, and streams, batches and precision tuned.

openvino-fp32: the graph read from ONNX or converted from PyTorch, whichever is faster. openvino-int8: the same
after NNCF's post-training quantisation (transformer scheme, preset MIXED, 300 rows), the rest in fp32 or bf16.
"""

from collections import deque
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov

from .batches import PaddedBatch, encode, sorted_batches
from .exports import exported, once
from .job import CPUS, Batch, Clock, Contender, Ids, Job, Settings, cross_entropy, read_rows, write_losses

CALIBRATION_ROWS = 300
_BATCHES = (Batch(None, 1024), Batch(None, 1024, 8), Batch(None, 512), Batch(None, 512, 8), Batch(16))
_STREAMS = tuple(dict.fromkeys((CPUS, 1)))


class OpenVino(Contender):
    """The graph in fp32."""

    needs = ("openvino", "tokenizers", "pyarrow")
    precision = "fp32"
    axes: Mapping[str, tuple[Any, ...]] = {
        "precision": ("f32",),
        "workers": _STREAMS,
        "form": ("onnx", "torch"),
        "batch": _BATCHES,
    }

    def prepare(self, job: Job) -> None:
        for form, convert in (("onnx", _from_onnx), ("torch", _from_torch)):
            with once(job.work / f"openvino-{form}") as folder:
                if folder is not None:
                    ov.save_model(convert(job), folder / "model.xml", compress_to_fp16=False)

    def file(self, job: Job, form: str) -> Path:
        return job.work / f"openvino-{form}" / "model.xml"

    def run(self, job: Job, settings: Settings, clock: Clock) -> None:
        rows = read_rows(job.data, job.rows)
        config = {
            "PERFORMANCE_HINT": "THROUGHPUT",
            "NUM_STREAMS": settings.workers,
            "INFERENCE_NUM_THREADS": CPUS,
            "INFERENCE_PRECISION_HINT": settings.precision,
        }
        with clock.loading():
            compiled = ov.Core().compile_model(self.file(job, settings.form), "CPU", config)
        batches = sorted_batches(encode(job.model, rows.texts), settings.batch)
        write_losses(cross_entropy(_logits(compiled, batches, len(rows), clock), rows.labels), job.out)


class OpenVinoInt8(OpenVino):
    """The graph quantised by NNCF."""

    precision = "int8"
    axes: Mapping[str, tuple[Any, ...]] = {**OpenVino.axes, "precision": ("bf16", "f32")}

    def prepare(self, job: Job) -> None:
        super().prepare(job)
        ids = encode(job.model, read_rows(job.calibration, CALIBRATION_ROWS).texts)
        for form in ("onnx", "torch"):
            with once(job.work / f"nncf-{form}") as folder:
                if folder is not None:
                    quantised = _quantised(super().file(job, form), ids)
                    ov.save_model(quantised, folder / "model.xml", compress_to_fp16=False)

    def file(self, job: Job, form: str) -> Path:
        return job.work / f"nncf-{form}" / "model.xml"


def _logits(compiled: Any, batches: Iterator[PaddedBatch], rows: int, clock: Clock) -> Any:
    """(rows, classes) logits, by two asynchronous requests a stream so that none waits for Python.

    Not by an AsyncInferQueue, though it is as fast: its callbacks want Python's lock, and a job once hung in the
    model's destructor, which holds that lock while it waits for the streams' threads to end.
    """
    names = {port.any_name for port in compiled.inputs}
    logits = np.empty((rows, compiled.outputs[0].partial_shape[-1].get_length()), dtype=np.float32)
    free = [compiled.create_infer_request() for _ in range(2 * compiled.get_property("NUM_STREAMS"))]
    running: deque[tuple[Any, PaddedBatch, dict[str, Ids]]] = deque()

    def collect() -> None:
        request, batch, _ = running.popleft()
        request.wait()
        logits[batch.rows] = request.get_output_tensor(0).data
        clock.leave()
        free.append(request)

    for batch in batches:
        if not free:
            collect()
        request = free.pop()
        clock.enter(batch.mask)
        feed = batch.feed(names)
        request.start_async(feed, share_inputs=True)
        running.append((request, batch, feed))
    while running:
        collect()
    return logits


def _from_onnx(job: Job) -> Any:
    return ov.Core().read_model(exported(job) / "model.onnx")


def _from_torch(job: Job) -> Any:
    import torch  # for the conversion alone
    from transformers import AutoModelForSequenceClassification

    model = AutoModelForSequenceClassification.from_pretrained(job.model).eval()
    names = ["input_ids", "attention_mask"] + ["token_type_ids"] * (model.config.model_type == "bert")
    example = {name: torch.ones(2, 16, dtype=torch.int64) for name in names}
    converted = ov.convert_model(model, example_input=example)
    for port in converted.inputs:
        port.get_node().set_partial_shape(ov.PartialShape([-1, -1]))
        port.get_node().set_element_type(ov.Type.i64)
    converted.validate_nodes_and_infer_types()
    return converted


def _quantised(file: Path, ids: list[list[int]]) -> Any:
    import nncf  # type: ignore[import-untyped]  # takes seconds, and a job never needs it

    model = ov.Core().read_model(file)
    names = {port.any_name for port in model.inputs}
    rows = [batch.feed(names) for batch in sorted_batches(ids, Batch(rows=1))]
    return nncf.quantize(
        model,
        nncf.Dataset(rows),
        preset=nncf.QuantizationPreset.MIXED,
        model_type=nncf.ModelType.TRANSFORMER,
        subset_size=len(rows),
    )


CONTENDERS: dict[str, Contender] = {"openvino-fp32": OpenVino(), "openvino-int8": OpenVinoInt8()}
