"""Texts to ragged token ids, and padded batches of them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, models

from lossaudit.engine.encoding import TextEncoder

TEXTS = ["the bank", "", "shares rose on tuesday after the talks", "team " * 90, "価格 😞", "\n"]


@pytest.fixture(scope="module")
def tokenizer_file(bundle_folder):
    return bundle_folder / "tokenizer.json"


@pytest.fixture(scope="module")
def encoder(tokenizer_file):
    return TextEncoder(tokenizer_file, 64, pad_id=0)


@pytest.fixture(scope="module")
def encoded(encoder):
    return encoder.encode(TEXTS)


@given(st.lists(st.integers(0, len(TEXTS) - 1), min_size=1, max_size=10))
def test_a_padded_batch_holds_each_rows_own_ids(encoded, rows):
    batch = encoded.padded(np.array(rows))
    ids, mask = batch.ids, batch.mask
    assert ids.shape == mask.shape == (len(rows), encoded.lengths[rows].max())
    for row, row_ids, row_mask in zip(rows, ids, mask, strict=True):
        length = encoded.lengths[row]
        own = encoded.ids[encoded.starts[row] : encoded.starts[row] + length]
        assert row_ids.tolist() == [*own, *[0] * (len(row_ids) - length)]
        assert row_mask.tolist() == [1] * length + [0] * (len(row_ids) - length)


def test_the_ids_are_the_tokenizers(encoded, tokenizer_file):
    tokenizer = Tokenizer.from_file(str(tokenizer_file))
    for row in (0, 1, 2, 4, 5):
        assert encoded.padded(np.array([row])).ids[0].tolist() == tokenizer.encode(TEXTS[row]).ids


def test_long_texts_are_cut_and_flagged(encoder):
    for words, cut in ((61, False), (62, False), (63, True), (5000, True)):
        encoded = encoder.encode(["team " * words])
        assert encoded.truncated.tolist() == [cut]
        assert encoded.lengths.tolist() == [min(words + 2, 64)]


def test_an_empty_text_is_its_special_tokens(encoder):
    assert encoder.encode([""]).lengths.tolist() == [2]


def test_unknown_tokens_are_counted(encoder, tokenizer_file):
    texts = ["the bank", "価格", "the 価格 bank 価 格", ""]
    tokenizer = Tokenizer.from_file(str(tokenizer_file))
    expected = [tokenizer.encode(text).tokens.count("[UNK]") for text in texts]
    assert max(expected) > 1
    assert encoder.encode(texts).unknown().tolist() == expected


@pytest.mark.parametrize(
    ("model", "text", "unknown"),
    [
        (models.Unigram([("<pad>", 0.0), ("<unk>", -1.0), ("a", -2.0)], unk_id=1), "aba", 1),
        (models.Unigram([("a", -2.0), ("b", -2.0)]), "aba", 0),
        (models.BPE({"a": 0, "b": 1}, []), "aba", 0),
        (models.BPE({"a": 0, "?": 1}, [], unk_token="?"), "aba", 1),
        (models.WordLevel({"a": 0, "?": 1}, unk_token="?"), "ba", 1),
    ],
    ids=["unigram", "unigram without", "bpe without", "bpe", "words"],
)
def test_every_kind_of_tokenizer_says_what_it_does_not_know(model, text, unknown, tmp_path):
    Tokenizer(model).save(str(tmp_path / "tokenizer.json"))
    assert TextEncoder(tmp_path / "tokenizer.json", 64, pad_id=0).encode([text]).unknown().tolist() == [unknown]


def test_no_texts_give_no_tokens(encoder):
    encoded = encoder.encode([])
    assert len(encoded.ids) == len(encoded.lengths) == 0


def test_padding_and_truncation_that_a_file_carries_do_not_count(tokenizer_file, tmp_path):
    tokenizer = Tokenizer.from_file(str(tokenizer_file))
    tokenizer.enable_padding(length=128)
    tokenizer.enable_truncation(16)
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    encoded = TextEncoder(tmp_path / "tokenizer.json", 64, pad_id=0).encode(TEXTS)
    assert encoded.lengths[[0, 1, 3]].tolist() == [4, 2, 64]


@pytest.mark.parametrize("content", ["", "{}", "not json", '{"version": "1.0", "model": {"type": "Nothing"}}'])
def test_what_is_no_tokenizer_is_refused(content, write_file, refused):
    path = write_file("tokenizer.json", content)
    with refused(str(path), "is not a tokenizer"):
        TextEncoder(path, 64, pad_id=0)
