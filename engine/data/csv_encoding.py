"""The encoding of a text file: by its byte order mark or its zeros, else UTF-8. The first bytes come in."""

import codecs
import contextlib
from dataclasses import dataclass

from .bad_lines import BadLineError

_BOMS = (  # a mark of UTF-32 begins like one of UTF-16
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_ZEROS = 4096
"""Bytes of the start in which zeros tell UTF-16 without a mark."""
_WESTERN = 0.4
"""Below this share of bytes that aren't ASCII, a text is taken for a western European one."""
_LIKELY = (
    *("cp1251", "cp1250", "cp1252", "cp1253", "cp1255", "cp1256", "koi8_r"),
    *("gb18030", "big5", "shift_jis", "euc_jp", "euc_kr"),
)


@dataclass(frozen=True)
class Encoding:
    """What a file's bytes mean."""

    name: str
    """As Python calls it, such as utf-8, utf-16-le or cp1252."""
    bom: bytes = b""
    """The byte order mark that the file begins with, which is no text."""

    def decoder(self, errors: str = "strict") -> codecs.IncrementalDecoder:
        """Decodes what follows the mark."""
        return codecs.getincrementaldecoder(self.name)(errors)


def encoding_of(start: bytes, asked: str | None) -> Encoding:
    """The encoding of a file that begins with these bytes. asked: one that the user names; its mark is still none of
    the text.

    Raises BadLineError for a file whose mark says that it is in another one.
    """
    marked = next((Encoding(name, bom) for bom, name in _BOMS if start.startswith(bom)), None)
    if asked is None:
        return marked or _without_mark(start)
    name = codecs.lookup(asked).name
    if name in ("utf-16", "utf-32"):
        name = marked.name if marked and marked.name.startswith(name) else f"{name}-le"
    name = "utf-8" if name == "utf-8-sig" else name
    if marked and marked.name == name:
        return marked
    if marked and name != "utf-8" and marked.name != "utf-8":
        raise BadLineError(f"begins with the byte order mark of {marked.name}, so it isn't {asked}")
    return Encoding(name)


def _without_mark(start: bytes) -> Encoding:
    """UTF-16 where every other byte is zero in half of the pairs and hardly a zero stands elsewhere; else UTF-8."""
    begin = start[:_ZEROS]
    even, odd = begin[::2].count(0), begin[1::2].count(0)
    if odd > len(begin) / 4 and even <= odd / 100:
        return Encoding("utf-16-le")
    if even > len(begin) / 4 and odd <= even / 100:
        return Encoding("utf-16-be")
    return Encoding("utf-8")


def likely_encoding(text: bytes) -> str:
    """The likeliest encoding of bytes that are no UTF-8, as Python calls it."""
    if _share_of_others(text) < _WESTERN:
        with contextlib.suppress(UnicodeDecodeError):
            text.decode("cp1252")
            return "cp1252"
    from charset_normalizer import from_bytes

    best = from_bytes(text, cp_isolation=list(_LIKELY)).best()
    return best.encoding if best else "latin-1"


def _share_of_others(text: bytes) -> float:
    """How many of the bytes that aren't blank aren't ASCII."""
    return sum(byte > 127 for byte in text) / max(1, sum(byte > 32 for byte in text))


def is_text_encoding(name: str) -> bool:
    """Whether Python can decode texts of an encoding."""
    try:
        return bool(codecs.lookup(name)._is_text_encoding)
    except (LookupError, ValueError):  # ValueError: a null character in the name
        return False
