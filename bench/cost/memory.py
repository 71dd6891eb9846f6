"""Memory and time by the number of rows: a tiny model audits 50,000 and more rows, each in a process of its own.

    python -m bench.cost.memory --rows 50000 --rows 1000000 -o bench/results

Rows are AG News' headlines cut to a few words, with a number in front so that all differ. Also `lossaudit top` over a
losses table of ten million rows. Out comes a page of figures.
"""

import contextlib
import itertools
import random
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from lossaudit.engine.table.formats import write_table

from ..machine import Machine

_WORDS = re.findall(
    r"\w+",
    """bank shares rose fell on tuesday profit market oil company minister talks peace vote army city striker scored
    team cup final coach season probe water ice planet chip software network phone scientists said new""",
)
_TOP_ROWS = 10_000_000


@dataclass(frozen=True)
class Ran:
    """What one command took."""

    seconds: float
    megabytes: float
    """Peak resident memory, pages of mapped files among it."""


@click.command()
@click.option("--rows", "sizes", type=int, multiple=True, default=(50_000, 1_000_000), show_default=True)
@click.option("--model", help="A bundle or checkpoint.  [default: a BERT of two layers of width 32]")
@click.option("--precision", default="auto", show_default=True)
@click.option("--top-rows", default=_TOP_ROWS, show_default=True, help="Of the losses table for `lossaudit top`.")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Folder for the page.")
def main(sizes: tuple[int, ...], model: str | None, precision: str, top_rows: int, output: Path | None) -> None:
    """Measure what an audit of so many rows takes."""
    lines = [f"{Machine.here()}", "", "| command | rows | seconds | rows/s | peak MB |", "|---|--:|--:|--:|--:|"]
    with tempfile.TemporaryDirectory() as folder:
        bundle = model or str(tiny_checkpoint(Path(folder) / "tiny"))
        _lossaudit("export", bundle, "-o", f"{folder}/bundle")
        for rows in sizes:
            data = Path(folder) / f"{rows}.parquet"
            _write_rows(data, rows)
            audit = ["audit", f"{folder}/bundle", str(data), "-o", f"{folder}/losses.parquet", "--precision", precision]
            # The first run measures what is fastest.
            for run in ("first", "second"):
                lines.append(_line(f"`audit`, {run} run", rows, _lossaudit(*audit)))
                click.echo(lines[-1])
        if top_rows:
            losses = Path(folder) / "top.parquet"
            _write_losses(losses, top_rows)
            for options in (["-n", "500"], ["-n", "500", "--given", "b", "--predicted", "c"]):
                ran = _lossaudit("top", str(losses), *options)
                lines.append(_line(f"`top {' '.join(options)}`", top_rows, ran))
                click.echo(lines[-1])
    if output is not None:
        name = "distilbert" if model else "tiny"
        (output / f"memory-{name}-{Machine.here().slug}.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _line(command: str, rows: int, ran: Ran) -> str:
    return f"| {command} | {rows:,} | {ran.seconds:.1f} | {rows / ran.seconds:,.0f} | {ran.megabytes:.0f} |"


def _lossaudit(*arguments: str) -> Ran:
    command = [str(Path(sys.executable).with_name("lossaudit")), *arguments]
    begun = time.perf_counter()
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=said)
        peak = 0
        while process.poll() is None:
            peak = max(peak, _peak_kilobytes(process.pid))
            time.sleep(0.01)
        if process.returncode:
            said.seek(0)
            raise click.ClickException(f"{' '.join(arguments)} failed: {said.read().decode()[-500:]}")
    return Ran(time.perf_counter() - begun, peak / 1024)


def _peak_kilobytes(process: int) -> int:
    """Of the process's own memory: `getrusage` also counts what its parent held when it was forked."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{process}/status").read_text(encoding="utf-8").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1])
    return 0


def tiny_checkpoint(folder: Path, labels: Sequence[str] = ("a", "b", "c", "d")) -> Path:
    """A random BERT of two layers of width 32, saved in a folder."""
    import torch
    import transformers
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    specials = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    digits = " ".join("0123456789")
    tokenizer.train_from_iterator(
        [*_WORDS, digits], trainers.WordPieceTrainer(special_tokens=specials, vocab_size=400, show_progress=False)
    )
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    transformers.BertTokenizerFast(tokenizer_object=tokenizer, model_max_length=64).save_pretrained(folder)
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=400,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
        id2label=dict(enumerate(labels)),
        label2id={label: index for index, label in enumerate(labels)},
        initializer_range=0.2,  # far from zero, so that logits differ from text to text
    )
    transformers.BertForSequenceClassification(config).eval().save_pretrained(folder)
    return folder


def _write_rows(path: Path, rows: int) -> None:
    draw = random.Random(7)
    schema = pa.schema([("text", pa.string()), ("label", pa.int64())])
    with pq.ParquetWriter(path, schema) as writer:
        for start in range(0, rows, 10_000):
            n = min(10_000, rows - start)
            texts = [f"{start + i} {' '.join(draw.choices(_WORDS, k=draw.randint(3, 30)))}" for i in range(n)]
            labels = [draw.randrange(4) for _ in range(n)]
            writer.write_table(pa.table([texts, labels], schema=schema))


def _write_losses(path: Path, rows: int) -> None:
    """A ranked losses table, without the source's columns."""
    rng = np.random.default_rng(7)
    names = pa.array(["a", "b", "c", "d"])

    def pieces() -> Iterator[pa.Table]:
        for start in range(0, rows, 100_000):
            n = min(100_000, rows - start)
            loss = 20 * (1 - (start + np.arange(n)) / rows)
            label, prediction = rng.integers(0, 4, n), rng.integers(0, 4, n)
            yield pa.table(
                {
                    "id": rng.permutation(n) + start,
                    "label_name": names.take(pa.array(label)),
                    "prediction_name": names.take(pa.array(prediction)),
                    "probability": rng.random(n),
                    "loss": loss,
                }
            )

    stream = pieces()
    first = next(stream)
    write_table(itertools.chain([first], stream), first.schema, path)


if __name__ == "__main__":
    main()
