"""A text file in blocks of whole lines, as UTF-8 without a byte order mark, whatever the file's own encoding is."""

from collections.abc import Iterator
from contextlib import suppress
from typing import IO

from ..errors import Option, Part
from .bad_lines import BadLineError
from .containers import DataFile
from .csv_encoding import Encoding, likely_encoding

LONGEST = 32 << 20
"""Bytes of the longest line, and characters of the longest cell."""
_BLOCK = 4 << 20
_GUESSED = 1 << 16
"""Bytes that an encoding is guessed from."""


def blocks_of(file: DataFile, encoding: Encoding, universal: bool) -> Iterator[bytes]:
    """The blocks of a file. universal: whether a lone carriage return ends a line.

    Raises OSError, and BadLineError for a line that is too long; bytes that are no UTF-8 in a file that claims to be
    are left to `decoded`.
    """
    with file.open() as opened:
        opened.read(len(encoding.bom))
        rest = b""
        for content in _utf8(opened, encoding):
            block = rest + content
            end = block.rfind(b"\n") + 1
            if universal:
                end = max(end, block.rfind(b"\r", 0, -1) + 1)  # the last may be half of a line end
            block, rest = block[:end], block[end:]
            if len(rest) > LONGEST:
                raise BadLineError(f"has a line of more than {LONGEST >> 20} MB; is it a file of texts?")
            if block:
                yield block
        if rest:
            yield rest


def _utf8(opened: IO[bytes], encoding: Encoding) -> Iterator[bytes]:
    if encoding.name == "utf-8":
        while content := opened.read(_BLOCK):
            yield content
        return
    decoder, lines = encoding.decoder(), 0
    while True:
        content = opened.read(_BLOCK)
        try:
            text = decoder.decode(content, final=not content)
            encoded = text.encode()
        except UnicodeError as error:
            with suppress(UnicodeError):
                lines += decoder.decode(content[: getattr(error, "start", 0)]).count("\n")
            raise BadLineError(f"is not {encoding.name}", lines + 1, advice=_NAME_ANOTHER) from error
        lines += text.count("\n")
        if encoded:
            yield encoded
        if not content:
            return


_NAME_ANOTHER: tuple[Part, ...] = ("; name another with ", Option("encoding"))


def decoded(block: bytes, first: int) -> str:
    """A block as text. first: the number of its first line.

    Raises BadLineError, naming the line and the likely encoding, for a block that isn't UTF-8.
    """
    try:
        return block.decode()
    except UnicodeDecodeError as error:
        line = first + block.count(b"\n", 0, error.start)
        begin = block.rfind(b"\n", 0, error.start) + 1
        others = b"".join(
            line for line in block[begin : begin + (1 << 20)].splitlines(keepends=True) if max(line) > 127
        )
        likely = likely_encoding(others[:_GUESSED])
        advice = f" but probably {likely}; name that, or another encoding, with ", Option("encoding", likely)
        raise BadLineError("is not UTF-8", line, advice=advice) from error
