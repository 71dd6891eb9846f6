"""Finds the line of a text file that its reader failed on: readers count from wherever they were, or not at all."""

import gzip
import json
import zlib
from collections.abc import Sequence
from pathlib import Path

from ..errors import brief
from ..files import ending_of


def first_bad_line(files: Sequence[Path]) -> str | None:
    """Which line of some files is the first that can't be read, and why; None if no single line is to blame.

    Lines must be UTF-8, and those of .jsonl files JSON objects.
    """
    for file in files:
        kind = ending_of(file)
        if kind != ".parquet":
            try:
                with gzip.open(file) if file.suffix == ".gz" else file.open("rb") as lines:
                    for number, line in enumerate(lines, 1):
                        reason = _reason(line, json_lines=kind == ".jsonl")
                        if reason:
                            return f"line {number}{f' of {file}' if len(files) > 1 else ''} {reason}"
            except (OSError, EOFError, zlib.error):  # no single line
                return None
    return None


def _reason(line: bytes, json_lines: bool) -> str | None:
    try:
        text = line.decode("utf-8-sig")
    except UnicodeDecodeError:
        return "is not UTF-8; convert the file first, for example with iconv --from-code latin1 --to-code utf-8"
    if not json_lines or not text.strip():
        return None
    try:
        row = json.loads(text)
        json.dumps(row, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return r"holds half of a surrogate pair, such as \ud83d alone, which is not text"
    except json.JSONDecodeError as error:
        return f"is not JSON: {error.msg} at character {error.pos}"
    except (ValueError, RecursionError) as error:  # numbers of thousands of digits, thousands of brackets
        return f"can't be read: {brief(error)}"
    return None if isinstance(row, dict) else "is not a JSON object"
