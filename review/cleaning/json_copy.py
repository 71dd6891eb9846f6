"""Copies JSON files: the decided values are replaced in the text, and every other character stays.

A file comes in, in a shape that engine/data/json_rows.py reads; its bytes go out, with the changes of an `Edit`.
"""

import codecs
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import IO, Any

from lossaudit.engine.data.containers import open_bytes
from lossaudit.engine.data.json_rows import HEAD, WHITE, is_lines, shape_of
from lossaudit.engine.table.text_rows import Row

from .edit import Edit
from .json_edit import Spelling, edited_object
from .json_scan import DECODER, after_white, changed
from .json_whole import edited_whole

_BLOCK = 8 << 20


class _Text:
    """The text of a file, of which only what is read next is held; bytes that are no UTF-8 come out as they were."""

    def __init__(self, opened: IO[bytes], head: bytes) -> None:
        self._opened = opened
        self._decode = codecs.getincrementaldecoder("utf-8")("surrogateescape").decode
        self._text, self._at = self._decode(head), 0

    def sign(self) -> str:
        """The next character; "" at the end."""
        return self._text[self._at : self._at + 1] if self._at < len(self._text) or self._more() else ""

    def white(self) -> str:
        """Passes over what is white."""
        found = ""
        while True:
            stop = after_white(self._text, self._at)
            found += self._text[self._at : stop]
            self._at = stop
            if stop < len(self._text) or not self._more():
                return found

    def one(self, character: str) -> str:
        """Passes over this character, if it is the next one."""
        found = character if self.sign() == character else ""
        self._at += len(found)
        return found

    def value(self) -> tuple[str, Any]:
        """Passes over a value: its text, and what it says."""
        while True:
            try:
                value, stop = DECODER.raw_decode(self._text, self._at)
                break
            except ValueError:
                if not self._more():
                    raise
        text = self._text[self._at : stop]
        self._at = stop
        return text, value

    def rest(self) -> str:
        """Passes over all that is left."""
        while self._more():
            pass
        text, self._at = self._text[self._at :], len(self._text)
        return text

    def _more(self) -> bool:
        """Reads on, as much again as is held."""
        self._text, self._at = self._text[self._at :], 0
        content = self._opened.read(max(_BLOCK, len(self._text)))
        self._text += self._decode(content, final=not content)
        return bool(content)


class JsonCopier:
    """Copies JSON files, one after the other, with the changes of an edit."""

    def __init__(self, edit: Edit, write: Callable[[bytes], object]) -> None:
        self._edit, self._write_on = edit, write
        self._place = 0
        """The number of the next row."""
        self._last = b""
        """What was written last."""

    def copy(self, file: Path) -> None:
        """Copies a file that `json_rows` can read; of several, each holds an object per line."""
        self._spelling = Spelling.of_file(file, self._edit.texts)
        with open_bytes(file) as opened:
            head = opened.read(HEAD)
            plain = head.removeprefix(codecs.BOM_UTF8)
            if not self._last:
                self._write_bytes(head[: len(head) - len(plain)])
            elif not self._last.endswith(b"\n"):
                self._write_bytes(b"\n")
            head = plain
            if is_lines(head):
                self._copy_lines(head, opened)
            else:
                self._copy_document(_Text(opened, head))

    def _write_bytes(self, content: bytes) -> None:
        self._write_on(content)
        self._last = content or self._last

    def _write(self, text: str) -> None:
        self._write_bytes(text.encode(errors="surrogateescape"))

    def _row(self, text: str, row: Row) -> str | None:
        """The text of the next row as it will be; None if it is left out."""
        place = self._place
        self._place += 1
        if not self._edit.concerns(place):
            return text
        new = self._edit.row(place, row)
        return None if new is None else changed(text, edited_object(text, 0, row, new, self._spelling))

    def _copy_lines(self, head: bytes, opened: IO[bytes]) -> None:
        block = head + opened.readline()
        while block:
            *lines, last = block.split(b"\n")
            for line in lines:
                self._write_bytes(self._line(line + b"\n"))
            self._write_bytes(self._line(last))
            block = opened.read(_BLOCK)
            block += opened.readline() if block else b""

    def _line(self, line: bytes) -> bytes:
        """A line as it will be; a row that is left out takes it along."""
        if not line.strip(WHITE):
            return line
        if not self._edit.concerns(self._place):
            self._place += 1
            return line
        text = line.decode(errors="surrogateescape")
        start = after_white(text, 0)
        row, stop = DECODER.raw_decode(text, start)
        new = self._row(text[start:stop], row)
        return b"" if new is None else (text[:start] + new + text[stop:]).encode(errors="surrogateescape")

    def _copy_document(self, text: _Text) -> None:
        """An array of objects, objects one after the other, or an object around all rows."""
        before = text.white()
        if text.sign() == "[":
            before += text.one("[") + text.white()
            self._copy_array(text, before)
            return
        first, row = text.value()
        after = text.white()
        if text.sign():
            self._copy_objects(text, before, first, row, after)
            return
        shape = shape_of(row)
        new = edited_whole(first, row, shape, self._edit, self._spelling) if shape else self._row(first, row)
        self._write(f"{before}{new or ''}{after}")

    def _copy_array(self, text: _Text, pending: str) -> None:
        """pending: what is before the next row that stays; a row that is left out takes the comma after it along."""
        any_left = False
        while text.sign() not in ("", "]"):
            raw, row = text.value()
            after = text.white() + text.one(",")
            after += text.white()
            new = self._row(raw, row)
            if new is not None:
                self._write(pending + new)
                pending, any_left = after, True
            elif text.sign() == "]" and any_left:
                pending = after
        self._write(pending + text.rest())

    def _copy_objects(self, text: _Text, pending: str, raw: str, row: Row, after: str) -> None:
        """pending: what is before the next row that stays; a row that is left out takes its line's end along."""
        while True:
            new = self._row(raw, row)
            if new is None:
                pending += after.partition("\n")[2]
            else:
                self._write(pending + new)
                pending = after
            if not text.sign():
                break
            raw, row = text.value()
            after = text.white()
        self._write(pending)


def are_lines(files: Iterable[Path]) -> bool:
    """Whether each of some JSON files holds an object per line."""
    for file in files:
        with open_bytes(file) as opened:
            if not is_lines(opened.read(HEAD).removeprefix(codecs.BOM_UTF8)):
                return False
    return True
