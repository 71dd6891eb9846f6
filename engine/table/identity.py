"""What a row is, whatever file, order or position it is in: a hash of its texts, and the label that it gives.

Decisions are found again by these two, so neither may ever change for the same row.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Sequence

_BYTES = 16
_KEY = re.compile(rf"[0-9a-f]{{{2 * _BYTES}}}")


def text_key(texts: Sequence[str | None]) -> str:
    """A hash of a row's text, or of both texts of a pair, in 32 hexadecimal digits; "" for a row without any column.

    A missing text counts as an empty one, since CSV can't tell them apart; nothing else is changed, neither case nor
    spaces.
    """
    return text_digest(texts).hex() if texts else ""


def text_digest(texts: Iterable[str | None]) -> bytes:
    """BLAKE2b of 128 bits over each text as UTF-8 after its length, in 8 bytes, little-endian."""
    digest = hashlib.blake2b(digest_size=_BYTES)
    for text in texts:
        encoded = (text or "").encode("utf-8", "surrogatepass")
        digest.update(len(encoded).to_bytes(8, "little"))
        digest.update(encoded)
    return digest.digest()


def is_text_key(key: str) -> bool:
    """Whether a text may come from `text_key`."""
    return _KEY.fullmatch(key) is not None


def given_key(label: str | Sequence[str] | None) -> str:
    """A row's given label as decisions keep it: its name, "" for none; a set as a JSON list of its sorted names.

    A set's names are sorted because models differ in the order of their labels.
    """
    if label is None or isinstance(label, str):
        return label or ""
    return json.dumps(sorted(set(label)), ensure_ascii=False)
