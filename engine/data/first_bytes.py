"""Which format a file has, by its first bytes where those tell it, else by the ending of its name.

Formats are named by the ending that their files usually have. Nothing here opens a file.
"""

import codecs
import csv
import json
import re
from itertools import islice

ENDINGS = {
    ".csv": ".csv",
    ".tsv": ".tsv",
    ".tab": ".tsv",
    ".json": ".json",
    ".jsonl": ".json",
    ".ndjson": ".json",
    ".parquet": ".parquet",
    ".arrow": ".arrow",
    ".feather": ".arrow",
    ".xlsx": ".xlsx",
}
"""The formats of a dataset's files, by the endings of their names."""
NAMES = {
    ".csv": "CSV",
    ".tsv": "TSV",
    ".json": "JSON",
    ".parquet": "Parquet",
    ".arrow": "Arrow",
    ".xlsx": "an Excel workbook",
}
TEXT_FORMATS = (".csv", ".tsv", ".json")
_REFUSED = {
    b"SQLite format 3\0": "an SQLite database; export the table as CSV",
    b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1": "an old Excel workbook (.xls) or another old Office file; save it as .xlsx",
    b"\x28\xb5\x2f\xfd": "compressed with Zstandard; unpack it first (zstd -d)",
    b"\x04\x22\x4d\x18": "compressed with LZ4; unpack it first (lz4 -d)",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive; unpack it first",
    b"Rar!\x1a\x07": "a RAR archive; unpack it first",
    b"FEA1\0": "Feather of version 1; write it again, for example with pandas' to_feather",
    b"%PDF-": "a PDF; a dataset has rows and columns",
    b"\x89HDF\r\n\x1a\n": "HDF5; write its rows as Parquet",
    b"\x93NUMPY": "a NumPy array; write its rows as Parquet",
    b"Obj\x01": "Avro; write its rows as Parquet",
}
_TAR, _TAR_AT = b"ustar", 257
_JSON = re.compile(r'\s*(\[\s*)?(?=\{\s*(?:"(?:[^"\\]|\\.)*"\s*:|\}))')
_SEPARATORS = ",\t;|"


def refusal_of(head: bytes) -> str | None:
    """What a file is that begins so and can't be read; None if it may be readable."""
    if head.startswith(_TAR, _TAR_AT):
        return "a tar archive; unpack it first"
    return next((what for sign, what in _REFUSED.items() if head.startswith(sign)), None)


def format_of(head: bytes, ending: str, is_whole: bool) -> str | None:
    """The format of a file that begins so, of those in NAMES; None if it has none of them.

    ending: of its name. is_whole: whether there is no more of it.
    """
    named = ENDINGS.get(ending)
    if head.startswith(b"PAR1") and (named == ".parquet" or head[4:5] == b"\x15"):
        return ".parquet"
    if head.startswith((b"ARROW1", b"\xff\xff\xff\xff")):
        return ".arrow"
    text = _text_of(head)
    if named in (".csv", ".tsv"):
        return ".json" if _is_json(text, is_whole) else named
    if named == ".json" and text.lstrip()[:1] in ("", "{", "["):
        return named
    if _is_json(text, is_whole):
        return ".json"
    return _table_in(text) or (named if named == ".json" or not head else None)


def _text_of(head: bytes) -> str:
    """The beginning of a text; bytes that aren't UTF-8 don't matter for what it is."""
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return head.decode("utf-16", errors="ignore")
    return head.removeprefix(codecs.BOM_UTF8).decode(errors="replace")


def _is_json(text: str, is_whole: bool) -> bool:
    """Whether a text begins with an object, alone in its lines or first of a list."""
    begins = _JSON.match(text)
    if begins is None:
        return False
    try:
        _, end = json.JSONDecoder().raw_decode(text, begins.end())
    except (ValueError, RecursionError):
        return not is_whole
    follows = text[end:].lstrip(" \t")[:1]
    return follows in ("", *(",]\r\n" if begins[1] else "\r\n"))


def _table_in(text: str) -> str | None:
    """The format of a text whose first two rows have as many cells, and more than one."""
    if "\0" in text:
        return None
    for separator in _SEPARATORS:
        try:
            rows = list(islice(filter(None, csv.reader(text.splitlines(), delimiter=separator)), 2))
        except csv.Error:
            continue
        if len(rows) == 2 and len(rows[0]) == len(rows[1]) > 1:
            return ".tsv" if separator == "\t" else ".csv"
    return None
