"""What a row is: its hash must stay the same in all versions, since stores of decisions hold it."""

import hashlib
from itertools import combinations

from lossaudit.engine.table.identity import given_key, text_key

DIFFERENT = [
    [],
    [""],
    ["a"],
    ["A"],
    ["a "],
    ["ab"],
    ["a", ""],
    ["", "a"],
    ["a", "b"],
    ["ab", ""],
    ["a\0"],
    ["ä"],
    ["a\u0308"],
]


def test_the_hash_of_a_text_never_changes():
    assert text_key(["Füße 👣"]) == "57f764feff9cdc1e6f7097f9b1e87f29"
    assert text_key(["A man reads.", "He sleeps."]) == "16a976c4a6a7636bdea0a35c967850d6"
    assert text_key(["a"]) == hashlib.blake2b(b"\1\0\0\0\0\0\0\0a", digest_size=16).hexdigest()


def test_different_texts_have_different_hashes():
    assert all(text_key(one) != text_key(other) for one, other in combinations(DIFFERENT, 2))


def test_a_missing_text_is_an_empty_one():
    assert text_key([None, "a"]) == text_key(["", "a"])


def test_a_lone_surrogate_has_a_hash():
    assert text_key(["\ud800"]) != text_key(["?"])


def test_a_set_of_labels_has_no_order():
    assert given_key(["love", "fear", "love"]) == given_key(["fear", "love"]) == '["fear", "love"]'
    assert [given_key([]), given_key("Öl"), given_key(None)] == ["[]", "Öl", ""]
