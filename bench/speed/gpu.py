"""How many rows a second a GPU scores: lossaudit's graphs against PyTorch, on the same tokens.

    python -m bench.speed.gpu --model distilbert-base --data ag_news

Rows are tokenised and sorted by length beforehand. Each contender takes padded batches from the CPU's memory and gives
logits back there; its token budget is the fastest of some, and its figure the median of three turns, taken one after
the other. Needs PyTorch for CUDA and onnxruntime-gpu; `--device cpu` runs the same code, to try it.
"""

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from transformers import AutoModelForSequenceClassification

from lossaudit.engine.errors import LossAuditError
from lossaudit.engine.model import backends
from lossaudit.engine.model.backends.memory import is_out_of_memory
from lossaudit.engine.model.batching import batches_by_token_budget
from lossaudit.engine.model.bundle import Bundle
from lossaudit.engine.model.encoding import Batch, Encoded
from lossaudit.engine.run.shards import encoder_of
from lossaudit.export.exporter import export_bundle

from . import shapes
from .contenders.job import cross_entropy, read_rows

Run = Callable[[Batch], NDArray[Any]]
REFERENCE = "torch-fp32"
BUDGETS = {"cuda": (8_192, 16_384, 32_768, 65_536), "cpu": (1_024, 2_048)}
_TURNS = 3


@click.command()
@click.option("--model", type=click.Choice(list(shapes.MODELS)), default="distilbert-base", show_default=True)
@click.option("--data", type=click.Choice(list(shapes.DATA)), default="ag_news", show_default=True)
@click.option("--rows", type=click.IntRange(min=1), default=sys.maxsize, help="Only the first.")
@click.option("--inputs", type=click.Path(path_type=Path), default=Path("../shared"), show_default=True)
@click.option("--device", type=click.Choice(list(BUDGETS)), default="cuda", show_default=True)
def main(model: str, data: str, rows: int, inputs: Path, device: str) -> None:
    """Compare lossaudit's fp16 and fp32 with PyTorch's fp32, bf16, fp16 and compiled bf16."""
    check_device(device)
    with tempfile.TemporaryDirectory() as folder:
        shape = shapes.make(model, data, rows, inputs, Path(folder))
        bundle = export_bundle(str(shape.model), Path(folder) / "bundle", fp16=True)
        given = read_rows(shape.data)
        encoded = encoder_of(bundle, bundle.manifest.max_length).encode(given.texts)
        title = f"{model} on {data}, {len(given):,} rows, {name_of(device)}"
        found = Table("contender", "rows/s", f"× {REFERENCE}", "budget", "mean Δ loss", title=title)
        for row in compare(contenders(shape.model, bundle, device), encoded, given.labels, BUDGETS[device]):
            found.add_row(*row)
    Console().print(found)


def check_device(device: str) -> None:
    """Raises a usage error, one line, where the device can't be used."""
    if device == "cpu":
        return
    try:
        backends.check_available(backends.CUDA)
    except LossAuditError as error:
        raise click.UsageError(str(error)) from error
    if not torch.cuda.is_available():
        raise click.UsageError("PyTorch finds no GPU here; install its build for CUDA, or try the code on --device cpu")


def name_of(device: str) -> str:
    return torch.cuda.get_device_name() if device == "cuda" else "CPU"


def contenders(checkpoint: Path, bundle: Bundle, device: str) -> dict[str, Callable[[], Run]]:
    """By name, what loads each."""
    made: dict[str, Callable[[], Run]] = {
        REFERENCE: lambda: in_torch(checkpoint, bundle, device, torch.float32),
        "torch-bf16": lambda: in_torch(checkpoint, bundle, device, torch.bfloat16),
        "torch-fp16": lambda: in_torch(checkpoint, bundle, device, torch.float16),
        "ours-fp32": lambda: backends.load(device, bundle.file_of("fp32"), workers=1, threads=1).run,
        "ours-fp16": lambda: backends.load(device, bundle.file_of("fp16"), workers=1, threads=1).run,
    }
    if device == "cuda":  # on a CPU it compiles for minutes
        made["torch-bf16-compiled"] = lambda: in_torch(checkpoint, bundle, device, torch.bfloat16, compiled=True)
    return made


def in_torch(checkpoint: Path, bundle: Bundle, device: str, dtype: torch.dtype, compiled: bool = False) -> Run:
    """The checkpoint in PyTorch, its weights in a type; fp32 is without TF32, as by PyTorch's default."""
    classifier: Any = AutoModelForSequenceClassification.from_pretrained(checkpoint, dtype=dtype).eval().to(device)
    if compiled:
        classifier = torch.compile(classifier, dynamic=True)

    def run(batch: Batch) -> NDArray[Any]:
        inputs = {
            name: torch.from_numpy(array).to(device) for name, array in batch.inputs(bundle.manifest.inputs).items()
        }
        with torch.inference_mode():
            return np.asarray(classifier(**inputs).logits.float().cpu())  # which waits for the GPU

    return run


def compare(
    loads: dict[str, Callable[[], Run]], encoded: Encoded, labels: NDArray[np.int64], budgets: tuple[int, ...]
) -> list[tuple[str, ...]]:
    """A row of the table for each contender, the reference first."""
    rows: list[tuple[str, ...]] = []
    reference_speed, reference_losses = 0.0, np.empty(0)
    for name, load in loads.items():
        run = load()
        speeds = {budget: len(labels) / score(run, encoded, budget, warm=True)[0] for budget in budgets}
        budget = max(speeds, key=lambda tried: speeds[tried])
        turns = [score(run, encoded, budget) for _ in range(_TURNS)]
        speed = len(labels) / statistics.median(seconds for seconds, _ in turns)
        losses = cross_entropy(turns[-1][1], labels)
        if name == REFERENCE:
            reference_speed, reference_losses = speed, losses
        difference = float(np.abs(losses - reference_losses).mean())
        rows.append((name, f"{speed:,.0f}", f"{speed / reference_speed:.2f}", f"{budget:,}", f"{difference:.1e}"))
        del run
        torch.cuda.empty_cache()  # what it leaves is the next one's
    return rows


def score(run: Run, encoded: Encoded, budget: int, warm: bool = False) -> tuple[float, NDArray[np.float64]]:
    """Seconds, and the logits of all rows; infinitely many where a batch is too large for the memory.

    warm: every batch once before, since kernels are chosen, or compiled, for shapes that are new.
    """
    batches = batches_by_token_budget(encoded.lengths, budget)
    padded = [encoded.padded(rows) for rows in batches]
    try:
        if warm:
            for batch in padded:
                run(batch)
        begun = time.perf_counter()
        found = [run(batch) for batch in padded]
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        return float("inf"), np.empty(0)
    seconds = time.perf_counter() - begun
    logits = np.empty((len(encoded.lengths), found[0].shape[1]))
    for rows, some in zip(batches, found, strict=True):
        logits[rows] = some
    return seconds, logits


if __name__ == "__main__":
    main()
