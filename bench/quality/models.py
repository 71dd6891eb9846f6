"""What becomes of each family of models: exports a checkpoint of each, measures it, and writes docs/models.md.

    python -m bench.quality.models -o docs/models.md

The checkpoints have random weights and a middling size, so that a figure of speed means something.
"""

import importlib.metadata
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import click

from lossaudit.engine.errors import LossAuditError
from lossaudit.engine.files import file_beside
from lossaudit.engine.model import backends
from lossaudit.engine.model.batching import batches_by_token_budget
from lossaudit.engine.model.bundle import Bundle, Graph
from lossaudit.engine.model.encoding import TextEncoder
from lossaudit.engine.model.tuning import BUDGET
from lossaudit.export.comparison import reference_texts
from lossaudit.export.exporter import export_bundle

from ..families import FAMILIES, Family, Size
from ..machine import Machine

SIZE = Size(hidden=256, layers=4, heads=4, intermediate=1024, tokens=128)
_LIBRARIES = ("transformers", "optimum-onnx", "onnxruntime", "openvino")
_REPEATS = 7


@dataclass(frozen=True)
class Row:
    """A family's line of the table."""

    family: str
    bundle: Bundle | None
    refused: str = ""
    fp32: float = 0.0
    """How many times as fast as the graph that Optimum exported; 1 where it is kept."""
    int8: dict[str, float] = field(default_factory=dict)
    """By the graph's name, the same for int8."""


@click.command()
@click.option("-o", "--output", type=click.Path(path_type=Path), default=Path("docs/models.md"), show_default=True)
@click.option("--only", help="Families, by comma.")
def main(output: Path, only: str | None) -> None:
    """Export and measure every family, and write the table."""
    rows = []
    for name in only.split(",") if only else FAMILIES:
        with tempfile.TemporaryDirectory() as folder:
            rows.append(measured(FAMILIES[name], Path(folder)))
        click.echo(line(rows[-1]))
    with file_beside(output) as path:
        path.write_text(page(rows), encoding="utf-8")
    click.echo(f"Wrote {output}")


def measured(family: Family, folder: Path) -> Row:
    """Exports a family's checkpoint and times its graphs against the one that Optimum exports."""
    checkpoint = family.make(folder / "checkpoint", SIZE)
    try:
        bundle = export_bundle(str(checkpoint), folder / "bundle")
    except LossAuditError as error:
        return Row(family.name, None, str(error))
    exported = _exported(checkpoint, folder)
    plans = {"exported": (exported, backends.CPU)} | {
        graph.name: (bundle.file_of(graph.name), graph.backends[0])
        for graph in bundle.manifest.graphs
        if graph.backends[0] in backends.available()
    }
    speeds = _speeds(plans, bundle)
    ratios = {name: speeds[name] / speeds["exported"] for name in speeds}
    int8 = {graph.name: ratios[graph.name] for graph in _int8(bundle) if graph.name in ratios}
    return Row(family.name, bundle, "", ratios["fp32"], int8)


def _exported(checkpoint: Path, folder: Path) -> Path:
    import transformers

    from lossaudit.export.graph import write_graph

    path = folder / "exported.onnx"
    write_graph(transformers.AutoModelForSequenceClassification.from_pretrained(checkpoint).eval(), path)
    return path


def _speeds(plans: dict[str, tuple[Path, str]], bundle: Bundle) -> dict[str, float]:
    """Passes over some texts in a second of CPU time, the fastest of those taken in turns."""
    manifest = bundle.manifest
    encoder = TextEncoder(bundle.tokenizer, manifest.max_length, manifest.pad_id, manifest.truncation_side)
    sample = encoder.encode([text for text in reference_texts(SIZE.tokens) if text] * 4)
    batches = [sample.padded(rows) for rows in batches_by_token_budget(sample.lengths, BUDGET)]
    runners = {name: backends.load(backend, file, workers=1, threads=1) for name, (file, backend) in plans.items()}
    best = dict.fromkeys(plans, 0.0)
    for _ in range(1 + _REPEATS):  # the first run allocates
        for name, runner in runners.items():
            begun = time.process_time()
            for batch in batches:
                runner.run(batch)
            best[name] = max(best[name], 1 / (time.process_time() - begun))
    return best


def _int8(bundle: Bundle) -> list[Graph]:
    return [graph for graph in bundle.manifest.graphs if graph.precision == "int8"]


def line(row: Row) -> str:
    """One family's line of the table."""
    if row.bundle is None:
        return f"| {row.family} | no: {row.refused} | – | – | – | – | – | – |"
    manifest = row.bundle.manifest
    fused, last = _applied(row.bundle)
    difference = max((graph.mean_difference for graph in _int8(row.bundle)), default=None)
    fastest = max(row.int8, key=row.int8.__getitem__, default=None)
    cells = [
        row.family,
        "yes",
        f"{manifest.parity.max_difference:.0e}",
        fused,
        last,
        "–" if difference is None else f"{difference:.4f}",
        "as exported" if fused.startswith("none") else f"{row.fp32:.1f} ×",
        f"{row.int8[fastest]:.1f} × ({fastest.removeprefix('int8-')})" if fastest else "–",
    ]
    return f"| {' | '.join(cells)} |"


def _applied(bundle: Bundle) -> tuple[str, str]:
    """What was fused, and what became of the last layer."""
    applied = bundle.graph("fp32").applied
    if applied[0].startswith("as exported"):
        return f"none: {applied[0].removeprefix('as exported: ')}", "whole: needs the fused attention"
    return applied[0].removeprefix("fused "), applied[1].removeprefix("last layer ")


def page(rows: list[Row]) -> str:
    """The document."""
    left_out = [
        f"- {row.family}, {form}: {reason}"
        for row in rows
        if row.bundle is not None
        for form, reason in row.bundle.manifest.left_out.items()
    ]
    libraries = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in _LIBRARIES)
    return _PAGE.format(
        size=SIZE,
        table="\n".join(map(line, rows)),
        left_out="\n".join(["", *left_out]) if left_out else " none.",
        machine=Machine.here(),
        libraries=libraries,
    )


_PAGE = """# Models

This page lists the model families that lossaudit can export, with parity and speed for each.

It was made by `python -m bench.quality.models`. Every family is a checkpoint with random weights (hidden {size.hidden},
{size.layers} layers, up to {size.tokens} tokens, four labels) and its real kind of tokenizer, trained on a few
sentences: WordPiece, byte-level BPE or SentencePiece's unigram.

| family | exports | parity | fused | last layer | int8, mean difference | fp32, speed | int8, speed |
|---|---|---|---|---|---|---|---|
{table}

- **parity**: the largest difference between two logits of PyTorch and the bundle's fp32 graph, over texts alone and
  padded in a batch. Above 1e-4 nothing is written.
- **last layer**: whether it is computed for the first token alone, which is exact. Where the attention isn't fused, the
  graph is kept as exported, and int8 changes only its products of tokens with constant matrices.
- **ALBERT**: ONNX Runtime's optimiser doesn't fuse its first layer, which stays as exported in all forms.
- **int8, mean difference**: of a probability from fp32's; the largest of the int8 forms. A form above 0.05 is left out.
- **speed**: relative to the graph that Optimum exports, in ONNX Runtime on one CPU, with batches of similar length. It
  is the least CPU time of seven turns, since the machine did other work too. The fastest int8 form is named (qdq runs
  in OpenVINO). These models are small: int8 gains more with larger matrices.

Left out:{left_out}

On {machine}; {libraries}.

## Refused

A model is refused, with its architecture's name and the reason in one line, when

- Optimum can't export it (T5, ERNIE, LUKE, CANINE and others aren't among its text classifiers),
- its graph needs more input than a text's tokens (Longformer: a mask of global attention),
- its logits differ from PyTorch's by more than 1e-4. ConvBERT's and Nyströmformer's do once a text is padded in a
  batch, since their convolutions and landmarks see the padding: a row's loss would depend on its neighbours.

## Decoders

GPT-2, Llama, Qwen2 and similar decoders classify by a text's last token: the last one that isn't the `pad_token_id` of
config.json, or of the tokenizer where the config names none. Without either, a decoder is refused. Batches are padded
on the right, whatever the tokenizer's `padding_side`. The attention is causal, so no token of a text sees what follows
it, and the logits are those of the text alone. A text in which the tokenizer finds no token gets the status `failed`.

## Models that are ONNX already

`export` and `audit` accept a folder as Optimum writes it, like a checkpoint but without torch or transformers. It holds
`model.onnx` (its weights inside, or in `model.onnx_data` or `model.onnx.data` beside it), `config.json` and
`tokenizer.json`. There is no PyTorch model to compare with, so `parity.texts` in the manifest is 0, and the command
says so.

Export checks three things instead: the graph takes token ids and gives as many logits as there are labels; a text's
logits don't depend on its batch; and the rewritten forms give the same results as the given graph. Before anything
opens the graph, it is checked as a bundle's are ([security.md](security.md#bundles)): its weights must be plain files
in the folder, so copy a folder of links with its links followed. If the folder also has PyTorch weights, they are
exported instead.
"""


if __name__ == "__main__":
    main()
