"""Generated CSV and TSV files, opened and compared with what Python's csv says of their text.

    python -m tests.torture.fuzz_csv --first 0 --cases 10000

prints the seeds whose rows differ, and how many files were read and how many refused. A seed makes its file again.
"""

import csv
import gzip
import io
import random
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import click

from lossaudit.engine.data.csv_dialect import Asked
from lossaudit.engine.data.source import open_dataset
from lossaudit.engine.errors import LossAuditError

_LABELS = ("World", "Sports", "Business", "Sci/Tech", "0", "1", "2.0")
_WORDS = "the bank shares rose fell oil peace army team cup season water é שלום 😞 1".split()  # noqa: SIM905
_ODD = ('5" wide', '"quoted" words', "a, b; c|d", "one\ntwo", "one\r\ntwo, three", "lone\rreturn", "", " ", "NA", "'s")
_ODDER = ('"', '""', "a\tb", "\\", "'", "\0", "\ufeff", "one,\ntwo,\n\nthree", '"one\ntwo"', "[1, 2]", "=1+1")
_LATE = ("see mail", "00001", "1e16", "TRUE", "2026-05-03", "?")
_REFUSALS = ("rows of their own", "is longer", "quotes are around a tab")


@dataclass(frozen=True)
class CsvFile:
    """A generated file, what is said of it, and the rows that it holds."""

    name: str
    content: bytes
    asked: Asked
    columns: dict[str, list[str | None]]
    may_be_refused: bool
    """Whether a refusal is right too, since quotes are where they hardly can be read."""


def make(draw: random.Random) -> CsvFile:
    """A file of any kind."""
    return draw.choice((_written, _written, _written, _unquoted, _stray))(draw)


def _text(draw: random.Random, odd: float) -> str:
    words = draw.choices(_WORDS, k=draw.randint(1, 12))
    if draw.random() < odd:
        words.insert(draw.randint(0, len(words)), draw.choice(_ODD + (_ODDER if odd > 0.1 else ())))
    return " ".join(words)


def _rows(draw: random.Random, odd: float) -> list[list[str]]:
    """A header and rows of a text, a label, and perhaps more; a type may change in the last rows."""
    n = draw.choice((3, draw.randint(3, 60), draw.randint(3, 60)))
    names, columns = ["text", "label"], [[_text(draw, odd) for _ in range(n)], draw.choices(_LABELS, k=n)]
    if draw.random() < 0.4:
        names.insert(0, draw.choice(("id", "", "nr")))
        columns.insert(0, [f"{row:05}" if draw.random() < 0.9 else "" for row in range(n)])
    if draw.random() < 0.4:
        names.append("note")
        columns.append([*["0"] * (n - 1), draw.choice(_LATE)])
    return [names, *(list(row) for row in zip(*columns, strict=True))]


def _columns(rows: list[list[str]], has_header: bool) -> dict[str, list[str | None]]:
    names = [name or f"Unnamed: {place}" for place, name in enumerate(rows[0])]
    body = rows[1:] if has_header else rows
    names = names if has_header else [str(place) for place in range(len(names))]
    return {name: [row[place] or None for row in body] for place, name in enumerate(names)}


def _encoded(draw: random.Random, text: str) -> tuple[bytes, str | None]:
    """The text in some encoding, and the one to be named."""
    encoding = draw.choice((*["utf-8"] * 5, "utf-8-sig", "utf-16", "cp1252"))
    try:
        return text.encode(encoding), encoding if encoding == "cp1252" else None
    except UnicodeEncodeError:
        return text.encode(), None


def _written(draw: random.Random) -> CsvFile:
    """As csv.writer writes it, in any dialect."""
    rows = _rows(draw, draw.choice((0.02, 0.1, 0.4)))
    separator = draw.choice(",,,;\t|")
    ending = draw.choice((".csv", ".csv", ".tsv"))
    named = separator if draw.random() < 0.3 else None
    has_header = draw.random() < 0.8
    file = io.StringIO()
    quoting = draw.choice((csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC))
    csv.writer(file, delimiter=separator, quoting=quoting, lineterminator="\r\n").writerows(
        rows if has_header else rows[1:]
    )
    text = file.getvalue()
    if draw.random() < 0.5 and not any("\r\n" in cell for row in rows for cell in row):
        text = text.replace("\r\n", "\n")
    if draw.random() < 0.1 and has_header and named is None:
        text = f"sep={separator}\n{text}"
    oracle = list(
        csv.reader(
            io.StringIO(text.split("\n", 1)[1] if text.startswith("sep=") else text, newline=""), delimiter=separator
        )
    )
    content, encoding = _encoded(draw, text)
    name = f"rows{ending}"
    if draw.random() < 0.2:
        name, content = f"{name}.gz", gzip.compress(content, mtime=0)
    asked = Asked(named, encoding, has_header)
    return CsvFile(name, content, asked, _columns([row for row in oracle if row], has_header), may_be_refused=False)


def _unquoted(draw: random.Random) -> CsvFile:
    """TSV without any quoting, as GLUE, PAWS and TREC have it."""
    rows = [[" ".join(cell.split()) for cell in row] for row in _rows(draw, 0.4)]
    for row in rows[1:]:
        place = draw.randrange(len(row))
        row[place] = draw.choice((row[place], f'"{row[place]}', f'{row[place]}"', f'"so," {row[place]}'))
        # Quotes around a whole cell can't be told from those of csv.writer.
        row[:] = [f"{cell}." if cell.startswith('"') and cell.endswith('"') else cell for cell in row]
    text = "".join("\t".join(row) + "\n" for row in rows)
    return CsvFile("rows.tsv", text.encode(), Asked(), _columns(rows, has_header=True), may_be_refused=True)


def _stray(draw: random.Random) -> CsvFile:
    """CSV with one quote too many, at the beginning of a text that needs none."""
    rows = [[" ".join(cell.replace('"', "").replace(",", "").split()) for cell in row] for row in _rows(draw, 0.0)]
    row = draw.randrange(1, len(rows))
    rows[row][rows[0].index("text")] = '"' + rows[row][rows[0].index("text")]
    text = "".join(",".join(row) + "\n" for row in rows)
    return CsvFile("rows.csv", text.encode(), Asked(), _columns(rows, has_header=True), may_be_refused=True)


def problem(file: CsvFile, folder: Path) -> str | None:
    """What is wrong with how a file is read; "refused" is right for some."""
    path = folder / file.name
    path.write_bytes(file.content)
    try:
        with open_dataset(str(path), asked=file.asked) as rows:
            found = rows.take(0, len(rows)).to_pydict()
    except LossAuditError as error:
        right = file.may_be_refused or any(words in str(error) for words in _REFUSALS)
        return "refused" if right else str(error)
    return None if found == file.columns else f"{found} is not {file.columns}"


@click.command()
@click.option("--first", default=0)
@click.option("--cases", default=1000)
def main(first: int, cases: int) -> None:
    """Try the files of some seeds."""
    outcomes: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(first, first + cases):
            wrong = problem(make(random.Random(seed)), Path(folder))
            if wrong not in (None, "refused"):
                print(f"{seed}: {wrong}")
            outcomes["read" if wrong is None else "refused" if wrong == "refused" else "wrong"] += 1
    print(dict(outcomes))


if __name__ == "__main__":
    main()
