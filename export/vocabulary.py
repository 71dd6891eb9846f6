"""Finds a checkpoint's tokenizer without transformers.

It is tokenizer.json, or made from vocab.txt, or from vocab.json and merges.txt, by the rules that transformers has for
BERT's and RoBERTa's tokenizers.
"""

import json
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

from lossaudit.engine.errors import LossAuditError, brief
from lossaudit.engine.model.bundle import TOKENIZER

from .config import TOKENIZER_CONFIG, read_object
from .tokenizer import read_tokenizer
from .writer.settings import NotWrittenError

_WORDS, _PIECES, _MERGES, _ADDED = "vocab.txt", "vocab.json", "merges.txt", "added_tokens.json"
_BERT = {"unk": "[UNK]", "sep": "[SEP]", "pad": "[PAD]", "cls": "[CLS]", "mask": "[MASK]"}
_MPNET = {"unk": "[UNK]", "sep": "</s>", "pad": "<pad>", "cls": "<s>", "mask": "<mask>", "bos": "<s>", "eos": "</s>"}
_ROBERTA = _MPNET | {"unk": "<unk>"}
_STRIPPING = "<mask>"
"""Token that takes the space before it, in MPNet's and RoBERTa's tokenizers."""


def tokenizer_of(folder: Path, model_type: str) -> Tokenizer:
    """The tokenizer of a checkpoint's folder. Raises LossAuditError if a file is missing or broken, NotWrittenError if
    the tokenizer is of another kind."""
    config = read_object(folder / TOKENIZER_CONFIG) if (folder / TOKENIZER_CONFIG).is_file() else {}
    if (folder / TOKENIZER).is_file():
        return _as_configured(read_tokenizer(folder / TOKENIZER), config)
    try:
        if (folder / _WORDS).is_file():
            return _word_piece(folder, config, model_type == "mpnet")
        if (folder / _PIECES).is_file() and (folder / _MERGES).is_file():
            return _byte_bpe(folder, config)
    except (LossAuditError, NotWrittenError):
        raise
    except Exception as error:  # the library raises bare Exceptions
        raise LossAuditError(f"no tokenizer can be made of the vocabulary in {folder}: {brief(error)}") from error
    pieces = next(folder.glob("*.model"), None)
    if pieces is not None:
        raise NotWrittenError(f"its tokenizer is only in {pieces.name}, and it takes SentencePiece to read that")
    return read_tokenizer(folder / TOKENIZER)


def _as_configured(tokenizer: Tokenizer, config: dict[str, Any]) -> Tokenizer:
    """The tokenizer of a file with the settings that transformers takes from tokenizer_config.json instead."""
    made = json.loads(tokenizer.to_str())
    normalizer = made["normalizer"] or {}
    wanted = {
        inner: config[outer]
        for inner, outer in (
            ("lowercase", "do_lower_case"),
            ("strip_accents", "strip_accents"),
            ("handle_chinese_chars", "tokenize_chinese_chars"),
        )
        if outer in config
    }
    if normalizer.get("type") == "BertNormalizer" and wanted.items() - normalizer.items():
        kept = {name: value for name, value in normalizer.items() if name != "type"}
        tokenizer.normalizer = normalizers.BertNormalizer(**kept | wanted)
    before = made["pre_tokenizer"] or {}
    prefix = config.get("add_prefix_space")
    if before.get("type") == "ByteLevel" and prefix not in (None, before["add_prefix_space"]):
        raise NotWrittenError(f"its {TOKENIZER_CONFIG} has add_prefix_space: {prefix}, which its {TOKENIZER} hasn't")
    return tokenizer


def _word_piece(folder: Path, config: dict[str, Any], mpnet: bool) -> Tokenizer:
    with (folder / _WORDS).open(encoding="utf-8") as file:
        words = {line.rstrip("\n"): number for number, line in enumerate(file)}
    special = _special(config, _MPNET if mpnet else _BERT)
    tokenizer = Tokenizer(models.WordPiece(words, unk_token=special["unk"]))
    tokenizer.normalizer = normalizers.BertNormalizer(
        clean_text=True,
        handle_chinese_chars=config.get("tokenize_chinese_chars", True),
        strip_accents=config.get("strip_accents"),
        lowercase=config.get("do_lower_case", True),
    )
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    cls, sep = special["cls"], special["sep"]
    between = f"{sep}:0 {sep}:0" if mpnet else f"{sep}:0"
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{cls}:0 $A:0 {sep}:0",
        pair=f"{cls}:0 $A:0 {between} $B:1 {sep}:1",
        special_tokens=[(token, _id(tokenizer, token, folder)) for token in (cls, sep)],
    )
    tokenizer.decoder = decoders.WordPiece(prefix="##")
    return _with_added(tokenizer, folder, config, special)


def _byte_bpe(folder: Path, config: dict[str, Any]) -> Tokenizer:
    special, prefix = _special(config, _ROBERTA), bool(config.get("add_prefix_space", False))
    tokenizer = Tokenizer(models.BPE.from_file(str(folder / _PIECES), str(folder / _MERGES)))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=prefix)
    tokenizer.decoder = decoders.ByteLevel()
    sep, cls = ((special[kind], _id(tokenizer, special[kind], folder)) for kind in ("sep", "cls"))
    tokenizer.post_processor = processors.RobertaProcessing(sep=sep, cls=cls, add_prefix_space=prefix)
    return _with_added(tokenizer, folder, config, special)


def _special(config: dict[str, Any], usual: dict[str, str]) -> dict[str, str]:
    """The special tokens by their kinds."""
    given = {kind: config.get(f"{kind}_token") for kind in usual}
    named = {kind: token.get("content") if isinstance(token, dict) else token for kind, token in given.items()}
    return usual | {kind: str(token) for kind, token in named.items() if token is not None}


def _id(tokenizer: Tokenizer, token: str, folder: Path) -> int:
    found = tokenizer.token_to_id(token)
    if found is None:
        raise LossAuditError(f"the vocabulary in {folder} doesn't hold the special token {token!r}")
    return int(found)


def _with_added(tokenizer: Tokenizer, folder: Path, config: dict[str, Any], special: dict[str, str]) -> Tokenizer:
    """The tokenizer with the special tokens of its vocabulary and those that were added to it. Raises NotWrittenError
    if an added one would get another id than the checkpoint's."""
    known = [token for token in dict.fromkeys(special.values()) if tokenizer.token_to_id(token) is not None]
    tokenizer.add_special_tokens([AddedToken(token, lstrip=token == _STRIPPING, normalized=False) for token in known])
    added = {str(token): int(number) for token, number in _added_file(folder).items()}
    details: dict[str, dict[str, Any]] = {}
    for number, token in dict(config.get("added_tokens_decoder") or {}).items():
        details[token["content"]] = token
        added[token["content"]] = int(number)
    for text, number in sorted(added.items(), key=lambda one: one[1]):
        detail = details.get(text, {})
        kinds = {kind: bool(detail.get(kind, False)) for kind in ("lstrip", "rstrip", "single_word", "normalized")}
        token = AddedToken(text, special=bool(detail.get("special", text in special.values())), **kinds)
        (tokenizer.add_special_tokens if token.special else tokenizer.add_tokens)([token])
        if tokenizer.token_to_id(text) != number:
            raise NotWrittenError(f"its tokenizer has the added token {text!r} with the id {number}, which isn't next")
    return tokenizer


def _added_file(folder: Path) -> dict[str, Any]:
    return read_object(folder / _ADDED) if (folder / _ADDED).is_file() else {}
