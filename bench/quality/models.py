"""What becomes of each family of models: exports a checkpoint of each, measures it, and puts it into docs/models.md.

    python -m bench.quality.models [--only BERT,GPT-2]

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
@click.option("--only", help="Families, by comma; the lines of the others stay.")
def main(output: Path, only: str | None) -> None:
    """Export and measure every family, and write the table between its marks in the document."""
    rows = []
    for name in only.split(",") if only else FAMILIES:
        with tempfile.TemporaryDirectory() as folder:
            rows.append(measured(FAMILIES[name], Path(folder)))
        click.echo(line(rows[-1]))
    document = output.read_text(encoding="utf-8")
    with file_beside(output) as path:
        path.write_text(with_table(document, rows), encoding="utf-8")
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
    graph, last = _applied(row.bundle)
    difference = max((graph.mean_difference for graph in _int8(row.bundle)), default=None)
    fastest = max(row.int8, key=row.int8.__getitem__, default=None)
    cells = [
        row.family,
        "yes",
        f"{manifest.parity.max_difference:.0e}",
        graph,
        last,
        "–" if difference is None else f"{difference:.4f}",
        "as exported" if graph.startswith("Optimum's: ") else f"{row.fp32:.1f} ×",
        f"{row.int8[fastest]:.1f} × ({fastest.removeprefix('int8-')})" if fastest else "–",
    ]
    return f"| {' | '.join(cells)} |"


def _applied(bundle: Bundle) -> tuple[str, str]:
    """Where the graph is from, and what became of the last layer."""
    first, *rest = bundle.graph("fp32").applied
    if first.startswith("written"):
        return "lossaudit's", rest[0].removeprefix("last layer ") if rest else "whole"
    if first.startswith("fused"):
        return "Optimum's, fused", rest[0].removeprefix("last layer ")
    return f"Optimum's: {first.removeprefix('as exported: ')}", "whole"


def with_table(document: str, rows: list[Row]) -> str:
    """The document with the families' new lines in its table."""
    before, _, rest = document.partition(_BEGIN)
    old, _, after = rest.partition(_END)
    lines = {text.split(" | ")[0].removeprefix("| "): text for text in old.splitlines() if text.startswith("| ")}
    lines.pop("family", None)
    notes = [text for text in old.splitlines() if text.startswith("- ")]
    for row in rows:
        lines[row.family] = line(row)
        notes = [note for note in notes if not note.startswith(f"- {row.family}, ")] + _notes(row)
    libraries = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in _LIBRARIES)
    left_out = ["Left out:", *notes] if notes else ["Nothing was left out."]
    made = [_HEAD, *lines.values(), "", *left_out, "", f"On {Machine.here()}; {libraries}."]
    return f"{before}{_BEGIN}\n{chr(10).join(made)}\n{_END}{after}"


def _notes(row: Row) -> list[str]:
    left_out = row.bundle.manifest.left_out if row.bundle is not None else {}
    return [f"- {row.family}, {form}: {reason}" for form, reason in left_out.items()]


_BEGIN, _END = "<!-- made by python -m bench.quality.models -->", "<!-- end -->"
_HEAD = """| family | exports | parity | graph | last layer | int8, mean difference | fp32, speed | int8, speed |
|---|---|---|---|---|---|---|---|"""


if __name__ == "__main__":
    main()
