"""Audits the inputs of ../shared/cases/data through the command and says what became of each: `python -m tests.cases`.

One line per input: rows, those with a loss, agreement, the source's columns and notes; of a refusal, the exit code and
the message. Words after the command choose cases, such as `18` or `csv`; without ../shared it says so and ends.
"""

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from click.testing import CliRunner

from lossaudit.cli.main import main
from lossaudit.engine.shortening import shortened
from lossaudit.engine.table.losses import LossesTable
from lossaudit.engine.table.schema import own_schema

SHARED = Path(__file__).parents[2] / "shared"
DATA = SHARED / "cases" / "data"
MODEL = SHARED / "models" / "agnews-distilbert-mini"
OPTIONS = {
    "03-labels-from-1-partial-map/news.csv": (
        "--label-map 1=World",
        "--label-map 1=World --label-map 4=Sci/Tech",
        "--label-map 1=World --label-map 2=Sports --label-map 3=Business --label-map 4=Sci/Tech",
    ),
    "16-label-spelling/other.csv": ("--label-map 'world news=World' --label-map sport=Sports",),
}
"""Options that a case asks for, besides none."""
QUICKLY = ("--no-tune", "--max-length", "64")
_LONGEST = 400
_USUAL = ("Reading:", "Text column:", "Label column:", "Preparing:", "Precision:", "Prediction equals", "Tip:", "Wrote")
"""Beginnings of lines that every audit prints."""


@dataclass(frozen=True)
class Case:
    """An input, and what is done with it."""

    name: str
    dataset: str
    options: tuple[str, ...] = ()
    fit: bool = False


def cases() -> Iterator[Case]:
    """All inputs: files, and the files of an ending in a folder of several."""
    for folder in sorted(path for path in DATA.iterdir() if path.is_dir()):
        for file in sorted(folder.iterdir()):
            if file.is_dir():
                for pattern in sorted({f"*{found.suffix}" for found in file.rglob("*") if found.is_file()}):
                    inside = "**/" if any(found.is_dir() for found in file.iterdir()) else ""
                    escaped = "".join(f"[{c}]" if c in "*?[" else c for c in str(file))
                    yield Case(f"{folder.name}/{file.name}/{inside}{pattern}", f"{escaped}/{inside}{pattern}")
            elif file.suffix not in (".txt", ".py") and not file.name.startswith("."):
                yield from of_file(f"{folder.name}/{file.name}", file)


def of_file(name: str, file: Path) -> Iterator[Case]:
    """A file without and with the options that its case asks for."""
    yield Case(name, str(file), fit=name.startswith("27-"))
    for options in OPTIONS.get(name, ()):
        yield Case(f"{name} {options}", str(file), tuple(shlex.split(options)))


def outcome(case: Case, bundle: Path, work: Path) -> str:
    """What the command makes of a case, in one line."""
    place = Path(tempfile.mkdtemp(dir=work))
    losses = place / "losses.parquet"
    if case.fit:
        arguments = ["fit", str(MODEL), case.dataset, "-o", str(place / "fitted"), *QUICKLY]
        losses = place / "fitted" / "losses.parquet"
    else:
        arguments = ["audit", str(bundle), case.dataset, "-o", str(losses), *QUICKLY, *case.options]
    result = CliRunner().invoke(main, arguments)
    lines = result.output.replace(f"{DATA}/", "").splitlines()
    said = [line for line in lines if line.strip() and not line.startswith(_USUAL)]
    if result.exit_code != 0:
        crash = f" {result.exception!r}" if result.exit_code != 2 else ""
        return f"exit {result.exit_code}: {shortened(said[-1] if said else '', _LONGEST)}{crash}"
    return f"{of_table(LossesTable.open(losses))}; {shortened(' | '.join(notes(said)), _LONGEST)}"


def notes(said: list[str]) -> list[str]:
    """What an audit says before it scores, of rows that aren't ranked, and of identical texts."""
    end = next((place for place, line in enumerate(said) if " rows/s" in line), len(said))
    begin = next((place for place, line in enumerate(said) if line.startswith("Not ranked")), len(said))
    repeats = [line.partition(": lossaudit top")[0] for line in said if ": lossaudit top" in line]
    return [*said[:end], *(line for line in said[begin : begin + 4] if line.startswith(("Not", "  "))), *repeats]


def of_table(losses: LossesTable) -> str:
    """Rows, agreement and source columns of a losses table."""
    table = losses.take(range(len(losses)), ["loss", "label_name", "prediction_name"])
    ranked = table.filter(table["loss"].is_valid())
    agreeing = sum(a == b for a, b in zip(*(ranked[name].to_pylist() for name in ranked.column_names[1:]), strict=True))
    share = f"{agreeing / len(ranked):.1%}" if len(ranked) else "–"
    own = set(own_schema(losses.schema.names).names)
    columns = ", ".join(f"{field.name}: {field.type}" for field in losses.schema if field.name not in own)
    return f"{len(losses)} rows, {len(ranked)} with a loss, agreement {share}; {columns}"


def changed_files(bundle: Path, work: Path) -> Iterator[tuple[str, str]]:
    """Case 06: another content under the same path, with the same time."""
    for ending in (".csv", ".csv.gz", ".jsonl", ".parquet"):
        data = work / f"data{ending}"
        for version in ("v1", "v2"):
            shutil.copy(DATA / "06-file-changed-same-time" / f"{version}{ending}", data)
            os.utime(data, (1_700_000_000, 1_700_000_000))
            yield (
                f"06-file-changed-same-time/{version}{ending} as data{ending}",
                outcome(Case("", str(data)), bundle, work),
            )


def frames(bundle: Path, work: Path) -> Iterator[tuple[str, str]]:
    """Case 21: the DataFrames of a script."""
    folder = Path(shutil.copytree(DATA / "21-dataframes", work / "frames"))
    (folder / "bundle").symlink_to(bundle)
    done = subprocess.run([sys.executable, "run.py"], cwd=folder, capture_output=True, text=True, check=False)
    for line in done.stdout.splitlines():
        name, _, what = line.partition(": ")
        yield f"21-dataframes/{name}", shortened(what, _LONGEST)


def run(words: list[str]) -> None:
    """Prints the line of each case whose name has one of the words; of all without any."""
    if not DATA.is_dir():
        print(f"skipped: there is no {DATA}")
        return
    os.environ["COLUMNS"] = "10000"
    with tempfile.TemporaryDirectory() as made:
        work = Path(made)
        bundle = work / "bundle"
        result = CliRunner().invoke(main, ["export", str(MODEL), "-o", str(bundle)])
        assert result.exit_code == 0, result.output

        def is_wanted(name: str) -> bool:
            return not words or any(word in name for word in words)

        for case in cases():
            if is_wanted(case.name):
                print(f"{case.name}: {outcome(case, bundle, work)}", flush=True)
        for name, made_of in (("06-file", changed_files), ("21-dataframes", frames)):
            for line, what in made_of(bundle, work) if is_wanted(name) else ():
                print(f"{line}: {what}", flush=True)


if __name__ == "__main__":
    run(sys.argv[1:])
