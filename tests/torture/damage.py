"""Files of an interrupted audit, and of the bundle, that are cut short, altered, swapped or gone."""

import functools
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

from lossaudit.engine.run.kept_parts import folder_for
from lossaudit.engine.table import formats

from .work import Tried, Work, empty_folder

Damage = Callable[[Path, random.Random], None]
"""Spoils something in a folder of parts."""


def interrupt_at_the_end(work: Work) -> None:
    """Leaves the folder of an audit that had scored all its shards, to be spoilt in many ways."""
    output = empty_folder(work.folder / "whole") / "losses.parquet"
    with mock.patch("lossaudit.engine.table.formats.write_table", side_effect=KeyboardInterrupt):
        ran = work.run_here(output)
    if ran.code != 130:
        raise RuntimeError(f"the audit wasn't interrupted: {ran.err}")
    shutil.move(folder_for(output), work.folder / "interrupted.parts")


def _one(folder: Path, draw: random.Random, pattern: str) -> Path:
    return draw.choice(sorted(folder.glob(pattern)))


def _cut(pattern: str) -> Damage:
    def damage(folder: Path, draw: random.Random) -> None:
        path = _one(folder, draw, pattern)
        data = path.read_bytes()
        path.write_bytes(data[: draw.randrange(len(data))])

    return damage


def _flip(pattern: str) -> Damage:
    def damage(folder: Path, draw: random.Random) -> None:
        flip_a_bit(_one(folder, draw, pattern), draw)

    return damage


def _remove(pattern: str) -> Damage:
    return lambda folder, draw: _one(folder, draw, pattern).unlink()


def _remove_many(folder: Path, draw: random.Random) -> None:
    for path in [*folder.glob("part-*"), *folder.glob("again-*")]:
        if draw.random() < 0.5:
            path.unlink()


def _swap(folder: Path, draw: random.Random) -> None:
    one, other = draw.sample(sorted(folder.glob("part-*")), 2)
    first, second = one.read_bytes(), other.read_bytes()
    one.write_bytes(second)
    other.write_bytes(first)


def _strange_files(folder: Path, draw: random.Random) -> None:
    (folder / "part-000000000000-0123456789abcdef0123456789abcdef.parquet").write_bytes(draw.randbytes(500))
    (folder / ".part-000000000128-half.parquet.x.parquet").write_bytes(draw.randbytes(500))
    (folder / "owner").write_bytes(draw.randbytes(50))
    (folder / "lock").write_bytes(draw.randbytes(50))


DAMAGES: dict[str, Damage] = {
    "part cut short": _cut("part-*"),
    "bit flipped in a part": _flip("part-*"),
    "part removed": _remove("part-*"),
    "chunk of the second pass cut short": _cut("again-*"),
    "bit flipped in such a chunk": _flip("again-*"),
    "such a chunk removed": _remove("again-*"),
    "half of all files removed": _remove_many,
    "two parts swapped": _swap,
    "run.json cut short": _cut("run.json"),
    "bit flipped in run.json": _flip("run.json"),
    "run.json removed": _remove("run.json"),
    "strange files among the parts": _strange_files,
}


def spoil_parts(work: Work, times: int, seed: int) -> list[Tried]:
    """Every damage so many times, each followed by the next run."""
    results = []
    for name, damage in DAMAGES.items():
        tried = Tried(name)
        for number in range(times):
            draw = random.Random(f"{seed} {name} {number}")
            output = empty_folder(work.folder / "spoilt") / "losses.parquet"
            folder = Path(shutil.copytree(work.folder / "interrupted.parts", folder_for(output)))
            damage(folder, draw)
            work.finish(output, tried, here=True)
        results.append(tried)
    return results


def spoil_while_merging(work: Work, times: int, seed: int) -> Tried:
    """A part that is spoilt once all were found sound: one clear line, and the next run mends it."""
    tried = Tried("part spoilt while it is merged")
    for number in range(times):
        draw = random.Random(f"{seed} {number}")
        output = empty_folder(work.folder / "spoilt") / "losses.parquet"
        folder = Path(shutil.copytree(work.folder / "interrupted.parts", folder_for(output)))
        damage = draw.choice([_cut("part-*"), _flip("part-*"), _remove("part-*")])
        spoil = functools.partial(damage, folder, draw)
        with mock.patch.object(formats, "write_table", functools.partial(_after, spoil, formats.write_table)):
            ran = work.run_here(output)
        problem = ran.clear_error("was damaged; run the same command again")
        if problem is not None:
            tried.judge(problem)
        else:
            work.finish(output, tried, here=True)
    return tried


def _after(first: Callable[[], None], then: Callable[..., Any], *arguments: Any) -> Any:
    first()
    return then(*arguments)


def spoil_bundle(work: Work, times: int, seed: int) -> Tried:
    """A bit flipped in the bundle between two runs: refused; mended, the audit goes on."""
    tried = Tried("bit flipped in the bundle")
    for number in range(times):
        draw = random.Random(f"{seed} {number}")
        output = empty_folder(work.folder / "spoilt") / "losses.parquet"
        shutil.copytree(work.folder / "interrupted.parts", folder_for(output))
        bundle = empty_folder(work.folder / "flipped") / "bundle"
        shutil.copytree(work.bundle, bundle)
        path = draw.choice(sorted(bundle.iterdir()))
        flip_a_bit(path, draw)
        ran = work.run_here(output, bundle=bundle)
        # A bit in the manifest's white space, or in a text that no one looks at, may also be harmless.
        harmless = path.name == "manifest.json" and ran.code == 0 and work.wrong_rows(output) == 0
        problem = None if harmless else ran.clear_error()
        if problem is not None:
            tried.judge(f"{path.name}: {problem}")
        else:
            work.finish(output, tried, here=True)
    return tried


def flip_a_bit(path: Path, draw: random.Random) -> None:
    data = bytearray(path.read_bytes())
    data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
    path.write_bytes(data)
