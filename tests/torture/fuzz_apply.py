"""Generated datasets for apply, in all formats: source and cleaned dataset must differ in the decided cells alone.

The losses tables need no model. Each text format is rendered twice, with the old and the new labels, to compare bytes.
"""

import datetime
import json
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.parquet as pq

from lossaudit.engine.data.containers import open_bytes, writing_bytes
from lossaudit.engine.data.csv_dialect import NOTHING_ASKED, Asked
from lossaudit.engine.data.source import open_dataset
from lossaudit.engine.table.facts import Facts
from lossaudit.engine.table.formats import write_table
from lossaudit.engine.table.losses import LossesTable
from lossaudit.engine.table.schema import SCHEMA
from lossaudit.review.apply import apply_decisions
from lossaudit.review.store import Decision, DecisionStore, utc_now

from .work import Tried, empty_folder

LABELS = ("World", "Sports", "Business", "Sci/Tech")
_TEXTS = (
    "oil prices rose",
    'said "no"',
    "it's so, or",
    "café ☕",
    "two\nlines",
    "semi; colon",
    "tab\there",
    "\\ slash /",
)
_EXTRAS = ("1", "1.10", "00123", "1E400", "true", "2020-01-02", "=1+1", "")
_PACKINGS = ("", "", "", ".gz", ".bz2", ".xz", ".zip")


def fuzz_apply(cases: int, seed: int, folder: Path) -> Tried:
    """Cases from a seed on."""
    tried = Tried("generated datasets for apply")
    for number in range(cases):
        problem, kind = case(seed * 1_000_000 + number, folder)
        tried.judge(problem and f"seed {seed * 1_000_000 + number}: {problem}", place=kind)
    return tried


def case(seed: int, folder: Path) -> tuple[str | None, str]:
    """What is wrong with one case, and its format."""
    draw = random.Random(seed)
    kind = draw.choice(["csv", "csv", "csv", "json", "json", "parquet", "arrow", "saved"])
    rows = [
        (f"{draw.choice(_TEXTS)} {n}", draw.choice(LABELS), draw.choice(_EXTRAS)) for n in range(draw.randint(6, 30))
    ]
    # Whatever a decision asks for is there to be copied, and the first rows are plain, for readers that guess.
    rows = [*(("plain words", label, "1") for label in LABELS), *rows]
    decided = draw.sample(range(4, len(rows)), draw.randint(1, 4))
    new = {row: draw.choice(LABELS) for row in decided}
    gone = set(draw.sample(range(4, len(rows)), draw.choice([0, 0, 1, 2]))) - {*decided}
    work = empty_folder(folder / "case")
    made = [(text, new.get(row, label), extra) for row, (text, label, extra) in enumerate(rows) if row not in gone]
    try:
        forms = {"csv": _csv, "json": _json, "parquet": _parquet, "arrow": _arrow, "saved": _saved}
        return forms[kind](draw, work, rows, made, new, gone), kind
    except Exception as error:
        return f"{type(error).__name__}: {str(error)[:300]}", kind


Rows = Sequence[tuple[str, str, str]]


def _apply(source: Path, output: Path, rows: Rows, new: dict[int, str], gone: set[int], asked: Asked) -> None:
    losses = source.with_name("losses.parquet")
    with open_dataset(str(source), asked=asked) as opened:
        if len(opened) != len(rows):
            raise AssertionError(f"{len(opened)} rows are read, not {len(rows)}")
        facts = {
            "labels": list(LABELS),
            "text_column": "text",
            "label_column": "label",
            "source": {
                "name": str(source),
                "fingerprint": opened.fingerprint,
                "text_column": "text",
                "label_column": "label",
                "encoding": asked.encoding,
            },
        }
    table = pa.Table.from_pylist(
        [
            {"id": n, "label": LABELS.index(label), "label_name": label, "loss": 1.0, "text": text}
            for n, (text, label, _) in enumerate(rows)
        ],
        schema=pa.schema([*SCHEMA, pa.field("text", pa.string())]),
    )
    write_table([table], Facts.from_json(facts).stored_in(table.schema), losses)
    with DecisionStore.open(LossesTable.open(losses)) as store:
        decisions = {row: ("relabel", label) for row, label in new.items()} | dict.fromkeys(gone, ("discard", None))
        store.add(
            Decision(row, verdict, label, "ada", "page", utc_now()) for row, (verdict, label) in decisions.items()
        )
    before = _bytes(source)
    apply_decisions(losses, output)
    if _bytes(source) != before:
        raise AssertionError("the source changed")


def _text(
    draw: random.Random, work: Path, ending: str, render: Callable[[Rows], bytes], rows: Rows, made: Rows, *more: Any
) -> str | None:
    name = f"source{ending}{draw.choice(_PACKINGS)}"
    with writing_bytes(work / name, name) as file:
        file.write(render(rows))
    output = work / name.replace("source", "cleaned")
    new, gone, *asked = more
    _apply(work / name, output, rows, new, gone, asked[0] if asked else NOTHING_ASKED)
    with open_bytes(output) as opened:
        found = opened.read()
    return None if found == render(made) else f"{name}: {found!r}"[:400]


def _csv(draw: random.Random, work: Path, rows: Rows, made: Rows, new: dict[int, str], gone: set[int]) -> str | None:
    separator, end = draw.choice(",,,;\t|"), draw.choice(["\n", "\r\n"])
    encoding = draw.choice(["utf-8", "utf-8", "utf-8-sig", "utf-16", "cp1252"])
    quoted, commas = draw.choice(["few", "all", "labels"]), draw.choice(["", "", separator])
    order = draw.sample(range(3), 3)

    def cell(at: int, text: str) -> str:
        text = text.replace("☕", "") if encoding == "cp1252" else text
        has_quotes = quoted == "all" or (quoted, at) == ("labels", 1)
        if not has_quotes and not any(sign in text for sign in f'{separator}"\r\n'):
            return text
        doubled = text.replace('"', '""')
        return f'"{doubled}"'

    def render(some: Rows) -> bytes:
        lines = [("text", "label", "extra"), *some]
        text = "".join(separator.join(cell(at, line[at]) for at in order) + commas + end for line in lines)
        return text.encode(encoding)

    asked = Asked(encoding="cp1252") if encoding == "cp1252" else NOTHING_ASKED
    return _text(draw, work, ".tsv" if separator == "\t" else ".csv", render, rows, made, new, gone, asked)


def _json(draw: random.Random, work: Path, rows: Rows, made: Rows, new: dict[int, str], gone: set[int]) -> str | None:
    shape = draw.choice(["lines", "lines", "array", "one after the other", "field", "columns"])
    indent = None if shape == "lines" else draw.choice([None, 0, 2, "\t"])
    options = {"indent": indent, "ensure_ascii": draw.random() < 0.5}
    mark, last = draw.choice(["", "\ufeff"]), draw.choice(["", "\n"])

    def render(some: Rows) -> bytes:
        objects = [{"text": text, "label": label, "extra": extra, "n": [1.5, None]} for text, label, extra in some]
        if shape in ("lines", "one after the other"):
            text = "".join(json.dumps(one, **options) + "\n" for one in objects)
            return (mark + text).encode()
        columns = {name: [one[name] for one in objects] for name in objects[0]}
        whole = {"array": objects, "field": {"version": 2, "data": objects}, "columns": columns}[shape]
        return (mark + json.dumps(whole, **options) + last).encode()

    ending = draw.choice([".jsonl", ".ndjson", ".json"] if shape == "lines" else [".json", ".jsonl"])
    return _text(draw, work, ending, render, rows, made, new, gone)


def _table(draw: random.Random, rows: Rows) -> pa.Table:
    names = pa.array([label for _, label, _ in rows])
    kind = draw.choice(["text", "large", "dictionary", "number"])
    numbers = pa.array([LABELS.index(label) for _, label, _ in rows], pa.int8())
    label = {"text": names, "large": names.cast(pa.large_string()), "dictionary": names.dictionary_encode()}
    when = [datetime.datetime(2020, 1, 1 + n % 28, tzinfo=datetime.UTC) for n in range(len(rows))]
    columns = {
        "text": pa.array([text for text, _, _ in rows]),
        "label": label.get(kind, numbers),
        "extra": pa.array([extra or None for _, _, extra in rows]),
        "when": pa.array(when, pa.timestamp("us", "Europe/Berlin")),
        "nested": pa.array([{"a": [n, None]} for n in range(len(rows))]),
    }
    fields = [pa.field(name, column.type, metadata={"unit": name}) for name, column in columns.items()]
    return pa.table(list(columns.values()), pa.schema(fields, {"mine": "yes"}))


def _differs(found: pa.Table, source: pa.Table, made: Rows, gone: set[int]) -> str | None:
    """What is wrong with a copied table."""
    kept = source.take([row for row in range(len(source)) if row not in gone])
    if not found.schema.equals(source.schema, check_metadata=True):
        return f"the schema is {found.schema}"
    if not found.drop_columns("label").equals(kept.drop_columns("label")):
        return "other columns differ"
    numbers = pa.types.is_integer(source["label"].type)
    wanted = [LABELS.index(label) if numbers else label for _, label, _ in made]
    return None if found["label"].to_pylist() == wanted else f"the labels are {found['label'].to_pylist()}"


def _parquet(
    draw: random.Random, work: Path, rows: Rows, made: Rows, new: dict[int, str], gone: set[int]
) -> str | None:
    source, options = work / "source.parquet", {"compression": draw.choice(["none", "snappy", "zstd", "gzip"])}
    options |= {"row_group_size": draw.choice([3, 1000]), "version": draw.choice(["1.0", "2.4", "2.6"])}
    pq.write_table(_table(draw, rows), source, **options)
    _apply(source, work / "cleaned.parquet", rows, new, gone, NOTHING_ASKED)
    before, after = (pq.ParquetFile(work / name) for name in ("source.parquet", "cleaned.parquet"))
    codecs = [file.metadata.row_group(0).column(0).compression for file in (before, after)]
    if codecs[0] != codecs[1] or before.metadata.format_version != after.metadata.format_version:
        return f"compression or version: {codecs}"
    return _differs(after.read(), before.read(), made, gone)


def _arrow(draw: random.Random, work: Path, rows: Rows, made: Rows, new: dict[int, str], gone: set[int]) -> str | None:
    is_file = draw.random() < 0.5
    table, codec = _table(draw, rows), draw.choice([None, "lz4", "zstd"])
    source, output = work / "source.arrow", work / "cleaned.arrow"
    writing = pa.ipc.new_file if is_file else pa.ipc.new_stream
    with writing(source, table.schema, options=pa.ipc.IpcWriteOptions(compression=codec)) as writer:
        writer.write_table(table, max_chunksize=draw.choice([4, 1000]))
    _apply(source, output, rows, new, gone, NOTHING_ASKED)
    with pa.OSFile(str(output)) as opened, (pa.ipc.open_file if is_file else pa.ipc.open_stream)(opened) as reader:
        return _differs(reader.read_all(), table, made, gone)


def _saved(draw: random.Random, work: Path, rows: Rows, made: Rows, new: dict[int, str], gone: set[int]) -> str | None:
    label = draw.choice([datasets.ClassLabel(names=list(LABELS)), datasets.Value("string")])
    features = datasets.Features({"text": datasets.Value("string"), "label": label, "n": datasets.Value("uint16")})
    about = datasets.DatasetInfo(description="mine", license="cc0", features=features)
    items = [{"text": text, "label": name, "n": n} for n, (text, name, _) in enumerate(rows)]
    dataset = datasets.Dataset.from_list(items, features, about)
    has_splits, shards = draw.random() < 0.5, draw.choice([1, 3])
    saved = datasets.DatasetDict({"train": dataset, "test": dataset}) if has_splits else dataset
    saved.save_to_disk(work / "source", num_shards={"train": shards, "test": 1} if has_splits else shards)
    _apply(work / "source", work / "cleaned", rows, new, gone, NOTHING_ASKED)
    after = datasets.load_from_disk(work / "cleaned")
    if has_splits and _bytes(work / "cleaned" / "test") != _bytes(work / "source" / "test"):
        return "the other split changed"
    train = after["train"] if has_splits else after
    if train.info.description != "mine" or train.features != features:
        return f"the info is {train.info}"
    names = [label.int2str(value) if isinstance(label, datasets.ClassLabel) else value for value in train["label"]]
    wanted = [name for _, name, _ in made]
    return None if names == wanted and len(train["n"]) == len(made) else f"the labels are {names}"


def _bytes(path: Path) -> list[bytes]:
    files = sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
    return [file.read_bytes() for file in files]
