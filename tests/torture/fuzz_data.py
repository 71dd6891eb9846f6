"""Generated datasets: a seed comes in, a file goes out, with what must become of its rows where that is known."""

import csv
import gzip
import io
import json
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.parquet as pq

LABELS = ("World", "Sports", "Business", "Sci/Tech")
_WORDS = "the bank shares rose fell oil peace army team cup season water planet chip new 😞 é שלום 1".split()  # noqa: SIM905
_INVISIBLE_TEXTS = ("\0", "\ufeff", "\u200b \u3164", "\u00ad")
_ODD_TEXTS: tuple[Any, ...] = (
    *_INVISIBLE_TEXTS,
    *(None, "", " ", "\t\n", "\u3000", "a\0b", "\u202eabc", "👩‍👩‍👧", "\x1b[31m", "\ufffd"),
    *("x" * 3000, "bank " * 500, "[CLS]", "</s>", "=1+1", "nan", "None", "null", "0", "-1", "1e5", "True"),
    *('"', '""', "'", ",", "\r", "a\rb", "a\r\nb", "\\"),
)
_ODD_VALUES: tuple[Any, ...] = (0, -1, 5, 1.5, True, [], ["a"], {}, {"a": "b"}, 10**15, -0.0)
_ODD_LABELS: tuple[Any, ...] = (
    *(None, -1, 4, 99, -2, 2**40, 1.0, 0.5, True, [0]),
    *("", "?", "Politics", "LABEL_1", "0", " World "),
)


@dataclass(frozen=True)
class Dataset:
    """A file, or a folder, of generated rows."""

    path: Path
    statuses: list[str] | None = None
    """Of each row, leaving failures and truncation out; None where bytes were altered or the format decides."""


def make(draw: random.Random, folder: Path) -> Dataset:
    """A dataset of any kind, one in three of them with altered bytes."""
    kind = draw.choice(("csv", "csv", "tsv", "jsonl", "jsonl", "json", "parquet", "parquet", "saved"))
    rows = _rows(draw)
    path = folder / f"rows.{kind}"
    if kind == "saved":
        return _saved(draw, folder / "saved", rows)
    data, statuses = {"csv": _csv, "tsv": _tsv, "jsonl": _jsonl, "json": _json, "parquet": _parquet}[kind](draw, rows)
    altered = draw.random() < 0.33
    if altered:
        data = mutate(draw, data)
    if kind != "parquet" and draw.random() < 0.15:
        path = path.with_name(f"{path.name}.gz")
        data = gzip.compress(data, mtime=0)
        if draw.random() < 0.3:
            altered, data = True, mutate(draw, data)
    path.write_bytes(data)
    return Dataset(path, None if altered else statuses)


def mutate(draw: random.Random, data: bytes) -> bytes:
    """Bytes with a few of them changed, taken out, doubled or moved."""
    changed = bytearray(data)
    for _ in range(draw.choice((1, 1, 2, 5))):
        if not changed:
            break
        at = draw.randrange(len(changed))
        length = draw.choice((1, 1, 2, 8, 100))
        match draw.randrange(6):
            case 0:
                changed[at] ^= 1 << draw.randrange(8)
            case 1:
                del changed[at : at + length]
            case 2:
                changed[at:at] = draw.randbytes(length)
            case 3:
                changed[at:at] = changed[at : at + length]
            case 4:
                changed[at:at] = draw.choice(
                    (b'"', b",", b"\n", b"\r\n", b"\xef\xbb\xbf", b"\0", b"\xff", b"[", b"{", b"}")
                )
            case _:
                del changed[at:]
    return bytes(changed)


def _rows(draw: random.Random) -> list[dict[str, Any]]:
    """1 to 60 rows, mostly sound."""
    named = draw.random() < 0.5
    strange = draw.choice((0.0, 0.0, 0.03, 0.1, 0.3, 1.0))
    mixed = draw.random() < 0.2
    rows = []
    for _ in range(draw.choice((1, 2, draw.randint(3, 60)))):
        text: Any = " ".join(draw.choices(_WORDS, k=draw.randint(1, 20)))
        label: Any = draw.choice(LABELS) if named else draw.randrange(4)
        if draw.random() < strange:
            text = draw.choice(_ODD_TEXTS + (_ODD_VALUES if mixed else ()))
        if draw.random() < strange:
            label = draw.choice(_ODD_LABELS)
        row = {"text": text, "label": label}
        if draw.random() < 0.1:
            row = {"label": label, "text": text}
        rows.append(row)
    more = draw.choice(
        ({}, {}, {"id": "x"}, {"loss": 1.5, "status": "mine"}, {"note": None}, {"deep": {"x": [1, None]}})
    )
    return [row | more for row in rows]


def _status(text: Any, label: Any, named: bool) -> str:
    """What must become of a row of JSON whose labels are names, or numbers."""
    if text is not None and not isinstance(text, str):
        return "bad_text"
    if text is None or not text or text.isspace() or text in _INVISIBLE_TEXTS:
        return "empty_text"
    if label is None or label == "":
        return "missing_label"
    if named:
        return "ok" if str(label).strip().casefold().replace("/", "") in _KNOWN else "label_not_in_model"
    return "ok" if isinstance(label, int) and 0 <= label < 4 else "label_not_in_model"


_KNOWN = {label.casefold().replace("/", "") for label in LABELS}


def _json_statuses(rows: list[dict[str, Any]]) -> list[str] | None:
    """None where the labels are of several types: which of them are meant is for `datasets` to tell."""
    labels = [row["label"] for row in rows if row["label"] is not None]
    if all(isinstance(label, str) for label in labels):
        if any(label.lstrip("-").isdigit() for label in labels) or not any(label in LABELS for label in labels):
            return None
        return [_status(row["text"], row["label"], named=True) for row in rows]
    if all(type(label) is int for label in labels):
        missing = {-1: None}
        return [_status(row["text"], missing.get(row["label"], row["label"]), named=False) for row in rows]
    return None


def _jsonl(draw: random.Random, rows: list[dict[str, Any]]) -> tuple[bytes, list[str] | None]:
    ascii_ = draw.random() < 0.5
    lines = "".join(json.dumps(row, ensure_ascii=ascii_) + "\n" for row in rows)
    return lines.encode(), _json_statuses(rows)


def _json(draw: random.Random, rows: list[dict[str, Any]]) -> tuple[bytes, list[str] | None]:
    text = json.dumps(rows, ensure_ascii=draw.random() < 0.5, indent=draw.choice((None, 1)))
    return text.encode(), None


def _tsv(draw: random.Random, rows: list[dict[str, Any]]) -> tuple[bytes, list[str] | None]:
    return _csv(draw, rows, "\t")


def _csv(draw: random.Random, rows: list[dict[str, Any]], delimiter: str = ",") -> tuple[bytes, list[str] | None]:
    file = io.StringIO()
    quoting = draw.choice((csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC))
    writer = csv.DictWriter(
        file, list(rows[0]), delimiter=delimiter, lineterminator=draw.choice(("\n", "\r\n")), quoting=quoting
    )
    writer.writeheader()
    writer.writerows(rows)
    text = file.getvalue()
    if draw.random() < 0.1:
        lines = text.splitlines(keepends=True)
        lines.insert(draw.randrange(len(lines)), draw.choice(("a,b,c,d,e,f\n", "\n", "lonely\n", '"\n')))
        text = "".join(lines)
    return text.encode(draw.choice(("utf-8",) * 8 + ("utf-8-sig", "utf-16")), "replace"), None


def _parquet(draw: random.Random, rows: list[dict[str, Any]]) -> tuple[bytes, list[str] | None]:
    table = _table(draw, rows)
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, row_group_size=draw.choice((1, 7, 1000)))
    return sink.getvalue().to_pybytes(), None


def _table(draw: random.Random, rows: list[dict[str, Any]]) -> pa.Table:
    """The rows as far as they have types, and columns of types that no text file has."""
    texts = pa.array([row["text"] if isinstance(row["text"], str) else None for row in rows], pa.string())
    labels = [row["label"] if type(row["label"]) is int else None for row in rows]
    columns = {"text": texts, "label": pa.array(labels, draw.choice((pa.int64(), pa.int64(), pa.float64())))}
    if draw.random() < 0.2:
        columns["text"] = _claimed(draw, len(rows))
    if draw.random() < 0.2:
        columns["label"] = pa.array([draw.choice(LABELS) for _ in rows]).dictionary_encode()
    if draw.random() < 0.2:
        columns["note"] = _claimed(draw, len(rows))
    if draw.random() < 0.2:
        values = [draw.choice((None, 0, 2**62, -(2**62))) for _ in rows]
        kinds = (pa.timestamp("ms"), pa.timestamp("ns", "UTC"), pa.duration("us"), pa.time64("us"), pa.date64())
        columns["when"] = pa.array(values, pa.int64()).view(draw.choice(kinds))
    if draw.random() < 0.2:
        columns["deep"] = pa.array([draw.choice((None, [], [{"a": None, "b": [1.5]}])) for _ in rows])
    if draw.random() < 0.1:
        columns["raw"] = pa.array([draw.randbytes(3) for _ in rows], pa.binary())
    return pa.table(columns)


def _claimed(draw: random.Random, n: int) -> pa.Array:
    """Bytes that claim to be strings."""
    cells = pa.array(
        [draw.choice((b"the bank", b"\xff", b"caf\xe9", b"\xed\xa0\x80", b"")) for _ in range(n)], pa.binary()
    )
    return pa.StringArray.from_buffers(n, cells.buffers()[1], cells.buffers()[2])


def _saved(draw: random.Random, folder: Path, rows: list[dict[str, Any]]) -> Dataset:
    """A saved dataset, and perhaps one of its files altered."""
    table = _table(draw, rows)
    datasets.Dataset(table).save_to_disk(folder)
    if draw.random() < 0.6:
        path = draw.choice(sorted(folder.iterdir()))
        path.write_bytes(mutate(draw, path.read_bytes()))
    return Dataset(folder)
