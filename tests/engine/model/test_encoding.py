"""Texts and pairs to ragged token ids, truncated or in windows, and padded batches of them."""

import itertools

import numpy as np
import pytest
import transformers
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, processors

from lossaudit.engine.model.encoding import TextEncoder

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


WORDS = ("the", "bank", "shares", "rose", "on", "価格", "unheard")
some_words = st.lists(st.sampled_from(WORDS), max_size=90).map(" ".join)


@pytest.fixture(scope="module")
def theirs(checkpoint):
    return transformers.AutoTokenizer.from_pretrained(checkpoint)


class TestPairs:
    @given(st.lists(st.tuples(some_words, some_words), min_size=1, max_size=6), st.sampled_from(["right", "left"]))
    def test_they_are_cut_and_told_apart_as_transformers_does(self, tokenizer_file, theirs, pairs, side):
        encoder = TextEncoder(tokenizer_file, 64, 0, side)
        theirs.truncation_side = side
        batch = encoder.encode(pairs).padded(np.arange(len(pairs)))
        expected = theirs(*map(list, zip(*pairs, strict=True)), truncation=True, max_length=64, padding=True)
        assert batch.ids.tolist() == expected["input_ids"]
        assert batch.mask.tolist() == expected["attention_mask"]
        assert batch.types.tolist() == expected["token_type_ids"]

    def test_a_pair_is_cut_where_the_two_are_longer_than_the_maximum(self, encoder):
        encoded = encoder.encode([("team " * 30, "team " * 31), ("team " * 31, "team " * 31), ("team", "team " * 99)])
        assert encoded.truncated.tolist() == [False, True, True]
        assert encoded.lengths.tolist() == [64, 64, 64]

    @pytest.mark.parametrize(
        ("processor", "separates"),
        [
            (None, False),
            (processors.TemplateProcessing("? $A", special_tokens=[("?", 1)]), False),
            (processors.TemplateProcessing("$A ?", "$A ? $B ?", special_tokens=[("?", 1)]), True),
        ],
        ids=["none", "of texts alone", "of pairs"],
    )
    def test_a_tokenizer_without_a_template_for_them_is_known(self, processor, separates, tmp_path):
        tokenizer = Tokenizer(models.WordLevel({"a": 0, "?": 1}, unk_token="?"))
        if processor is not None:
            tokenizer.post_processor = processor
        tokenizer.save(str(tmp_path / "tokenizer.json"))
        assert TextEncoder(tmp_path / "tokenizer.json", 64, 0).separates_pairs is separates


class TestWindows:
    @given(
        texts=st.lists(some_words, min_size=1, max_size=4),
        length=st.integers(3, 12),
        stride=st.integers(0, 9),
        side=st.sampled_from(["right", "left"]),
    )
    def test_they_hold_every_token_and_share_the_stride(self, tokenizer_file, texts, length, stride, side):
        room, step = length - 2, 1 if side == "right" else -1  # the first window is where a cut text would stand
        stride = min(stride, room - 1)
        encoded = TextEncoder(tokenizer_file, length, 0, side, stride).encode(texts)
        tokenizer = Tokenizer.from_file(str(tokenizer_file))
        assert encoded.lengths.max() <= length
        assert encoded.truncated.tolist() == [False] * len(texts)
        for place, text in enumerate(texts):
            windows = [encoded.padded(np.array([w])).ids[0].tolist() for w in np.flatnonzero(encoded.text_of == place)]
            assert all(window[0] == 2 and window[-1] == 3 for window in windows), "each has its special tokens"
            inner = [window[1:-1][::step] for window in windows]
            whole = tokenizer.encode(text).ids[1:-1][::step]
            assert all(len(window) == room for window in inner[:-1])
            assert inner[0] + [token for window in inner[1:] for token in window[stride:]] == whole
            assert all(a[len(a) - stride :] == b[:stride] for a, b in itertools.pairwise(inner))
            assert len(inner) == 1 or len(inner[-1]) > stride, "each has new tokens"
            assert encoded.firsts[place] == np.flatnonzero(encoded.text_of == place)[0]

    @pytest.mark.parametrize("stride", [-1, 6, 7, 8, 100])
    def test_a_stride_that_leaves_no_new_tokens_is_refused(self, stride, tokenizer_file, refused):
        with refused(f"stride={stride} must be from 0 to 5", "a window of 8 tokens holds 6 of the text"):
            TextEncoder(tokenizer_file, 8, 0, stride=stride)

    def test_without_a_stride_each_text_is_one(self, encoded):
        assert encoded.text_of.tolist() == encoded.firsts.tolist() == list(range(len(TEXTS)))


@pytest.mark.parametrize("stride", [None, 20])
def test_texts_that_are_tokenised_in_several_calls_are_the_same(stride, tokenizer_file):
    encoder = TextEncoder(tokenizer_file, 64, 0, stride=stride)
    long = "x" * 600_000  # two are more than a call takes
    texts = [*TEXTS, long, *TEXTS, long, *TEXTS, long, *TEXTS]
    alone, together = [encoder.encode([text]) for text in texts], encoder.encode(texts)
    for name in ("ids", "types", "lengths", "truncated"):
        assert getattr(together, name).tolist() == np.concatenate([getattr(one, name) for one in alone]).tolist()
    assert together.text_of.tolist() == [place for place, one in enumerate(alone) for _ in one.lengths]
    assert together.starts.tolist() == (np.cumsum(together.lengths) - together.lengths).tolist()
