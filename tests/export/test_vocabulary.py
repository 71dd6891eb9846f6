"""Tokenizers made of vocabularies, without transformers: they give the tokens that transformers' own give."""

import json

import pytest
import transformers
from tokenizers import Tokenizer

from bench.families import FAMILIES
from lossaudit.export.comparison import reference_pairs, reference_texts
from lossaudit.export.vocabulary import tokenizer_of
from lossaudit.export.writer.settings import NotWrittenError

KINDS = {
    "BERT": transformers.BertTokenizer,
    "DistilBERT": transformers.DistilBertTokenizer,
    "MPNet": transformers.MPNetTokenizer,
    "RoBERTa": transformers.RobertaTokenizer,
}
SETTINGS = ({}, {"do_lower_case": False}, {"strip_accents": False, "tokenize_chinese_chars": False})


@pytest.fixture
def vocabulary(tmp_path):
    """Makes the folder of a tokenizer that has a vocabulary and no tokenizer.json."""

    def make(family, **settings):
        made = FAMILIES[family].tokenizer(64, reference_texts(64))
        made.save_pretrained(tmp_path / "fast")
        slow = KINDS[family].from_pretrained(tmp_path / "fast", **settings)
        slow.add_tokens(["strikers"])
        slow.save_pretrained(tmp_path / "slow")
        assert not (tmp_path / "slow" / "tokenizer.json").exists()
        return tmp_path / "slow"

    return make


@pytest.mark.parametrize(
    ("family", "settings"),
    [*((family, {}) for family in KINDS), *(("BERT", settings) for settings in SETTINGS[1:])],
)
def test_the_tokens_are_those_of_transformers(family, settings, vocabulary):
    folder = vocabulary(family, **settings)
    expected = transformers.AutoTokenizer.from_pretrained(folder, use_fast=True)
    found = tokenizer_of(folder, FAMILIES[family].model_type)
    texts = [*reference_texts(64), "[MASK] and <mask> or [SEP]s, the strikers </s>", *reference_pairs(64)]
    for text in texts:
        pieces = (text,) if isinstance(text, str) else text
        assert found.encode(*pieces).ids == expected(*pieces)["input_ids"], text
        if family == "BERT":
            assert found.encode(*pieces).type_ids == expected(*pieces)["token_type_ids"]
    assert found.get_vocab() == expected.get_vocab()


def test_tokenizer_config_decides_about_cases_as_in_transformers(vocabulary, tmp_path):
    vocabulary("BERT")
    path = tmp_path / "fast" / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"do_lower_case": False}))
    expected = transformers.AutoTokenizer.from_pretrained(tmp_path / "fast")
    found = tokenizer_of(tmp_path / "fast", "bert")
    assert found.encode("Ok. Shares ROSE").ids == expected("Ok. Shares ROSE")["input_ids"]
    assert (
        found.encode("Ok. Shares ROSE").ids
        != Tokenizer.from_file(str(tmp_path / "fast" / "tokenizer.json")).encode("Ok. Shares ROSE").ids
    )


class TestRefused:
    def test_sentencepiece_alone(self, tmp_path):
        (tmp_path / "spiece.model").write_bytes(b"")
        with pytest.raises(NotWrittenError, match=r"only in spiece\.model, and it takes SentencePiece"):
            tokenizer_of(tmp_path, "albert")

    def test_none_at_all(self, tmp_path, refused):
        with refused("has no tokenizer.json"):
            tokenizer_of(tmp_path, "bert")

    def test_no_special_tokens(self, tmp_path, refused):
        (tmp_path / "vocab.txt").write_text("the\nbank\n[UNK]\n")
        with refused("doesn't hold the special token '[CLS]'"):
            tokenizer_of(tmp_path, "bert")

    @pytest.mark.parametrize("content", [b"\xff\xfe", b""])
    def test_a_vocabulary_that_is_none(self, content, tmp_path, refused):
        (tmp_path / "vocab.txt").write_bytes(content)
        with refused(str(tmp_path)):
            tokenizer_of(tmp_path, "bert")

    @pytest.mark.parametrize("content", ["{", "[]", '{"a": "b"}'])
    def test_pieces_that_are_none(self, content, tmp_path, refused):
        (tmp_path / "vocab.json").write_text(content)
        (tmp_path / "merges.txt").write_text("#version: 0.2\n")
        with refused("the vocabulary in"):
            tokenizer_of(tmp_path, "roberta")

    def test_an_added_token_with_a_gap(self, vocabulary):
        folder = vocabulary("BERT")
        path = folder / "tokenizer_config.json"
        data = json.loads(path.read_text())
        last = max(data["added_tokens_decoder"], key=int)
        data["added_tokens_decoder"]["9000"] = data["added_tokens_decoder"].pop(last)
        path.write_text(json.dumps(data))
        (folder / "added_tokens.json").unlink()
        with pytest.raises(NotWrittenError, match="with the id 9000, which isn't next"):
            tokenizer_of(folder, "bert")
