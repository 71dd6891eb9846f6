"""Generated datasets and bundles through the command, in this process: right counts or one clear line, never a crash.

    python -m tests.torture.fuzz --bundle BUNDLE --first 0 --cases 100 --work FOLDER

prints one JSON object a case: its seed, which makes it again, how it ended, and what was wrong with that.
"""

import json
import random
import re
import shutil
from pathlib import Path

import click
import datasets

from lossaudit.engine.errors import LossAuditError
from lossaudit.engine.table.formats import read_table
from lossaudit.engine.table.outcomes import RANKED

from . import fuzz_bundle, fuzz_data
from .small_shards import small_shards
from .work import Ran, empty_folder, run_here

_CLEAN_EVERY = 200


@click.command()
@click.option("--bundle", type=click.Path(path_type=Path), required=True)
@click.option("--first", default=0)
@click.option("--cases", default=100)
@click.option("--work", type=click.Path(path_type=Path), required=True)
def main(bundle: Path, first: int, cases: int, work: Path) -> None:
    """Try the cases of some seeds."""
    for seed in range(first, first + cases):
        print(json.dumps({"seed": seed}), flush=True)  # a crash of the process is this seed's
        if seed % _CLEAN_EVERY == 0:
            shutil.rmtree(datasets.config.HF_DATASETS_CACHE, ignore_errors=True)
        code, problem = case(seed, bundle, work)
        print(json.dumps({"seed": seed, "code": code, "problem": problem}), flush=True)


def case(seed: int, bundle: Path, work: Path) -> tuple[int, str | None]:
    """Makes a seed's case and audits it; gives the exit code and what went wrong."""
    draw = random.Random(seed)
    folder = empty_folder(work)
    sound = draw.random() < 0.8
    dataset = fuzz_data.make(draw, folder)
    model = bundle if sound else fuzz_bundle.make(draw, bundle, folder / "bundle")
    output = folder / f"losses{draw.choice(('.parquet', '.parquet', '.csv', '.jsonl', '.json'))}"
    arguments = ["audit", str(model), str(dataset.path), "-o", str(output), "--no-tune", "--threads", "1"]
    limit = draw.choice((None, None, None, 1, 5))
    if limit is not None:
        arguments += ["--limit", str(limit)]
    arguments += draw.choice(([], ["--precision", "fp32"], ["--precision", "int8"], ["--top", "3"]))
    strict = draw.random() < 0.1
    if strict:
        arguments.append("--strict")
    with small_shards(draw.choice((4, 16, 4096))):
        ran = run_here(arguments)
    return ran.code, _problem(ran, output, dataset.statuses if sound else None, limit, strict)


def _problem(ran: Ran, output: Path, statuses: list[str] | None, limit: int | None, strict: bool) -> str | None:
    if ran.code == 2:
        return ran.clear_error() or ("a table after an error" if output.exists() else None)
    if ran.code != 0 or "Traceback" in ran.err:
        return f"exit {ran.code}: {ran.last[:500]}"
    try:
        return _wrong_count(ran, output, statuses and statuses[:limit], strict)
    except LossAuditError as error:
        return str(error)


def _wrong_count(ran: Ran, output: Path, statuses: list[str] | None, strict: bool) -> str | None:
    """What is wrong with a table, or with what was said of it."""
    rows = read_table(output).select(["id", "status", "loss"]).to_pylist()
    found = {row["id"]: row["status"] for row in rows}
    if sorted(found) != list(range(len(rows))):
        return "ids aren't 0 to n - 1"
    if any((row["loss"] is not None) != (row["status"] in RANKED) for row in rows):
        return "a loss without a rank, or a rank without a loss"
    losses = [row["loss"] for row in rows if row["loss"] is not None]
    if losses != sorted(losses, reverse=True) or any(row["loss"] is not None for row in rows[len(losses) :]):
        return "not by falling loss"
    if statuses is not None:
        plain = ["ok" if found[n] == "truncated" else found[n] for n in range(len(rows))]
        if plain != statuses:
            return f"statuses {plain} are not {statuses}"
    unranked = [status for status in found.values() if status not in RANKED]
    if strict and unranked:
        return "--strict let rows without a loss pass"
    said = re.search(r"^([\d,]+) rows in ", ran.out, re.MULTILINE)
    if said is None or said[1] != f"{len(rows):,}":
        return "the command said another number of rows"
    for status in set(unranked):
        first = min(row for row in found if found[row] == status)
        if f"  {status}: {unranked.count(status):,} (first: row {first} of " not in ran.out:
            return f"the command said another number of {status}"
    return None


if __name__ == "__main__":
    main()
