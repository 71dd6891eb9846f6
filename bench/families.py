"""Classifiers of every family that lossaudit knows: a name comes in, a checkpoint with random weights goes out.

Each has a tokenizer of its real kind, trained on a few sentences: WordPiece, byte-level BPE or SentencePiece's unigram.
The weights are far from zero, so that logits differ from text to text as a trained model's do.
"""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import sentencepiece
import torch
import transformers
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

from lossaudit.export.comparison import reference_texts

LABELS = ("World", "Sports", "Business", "Sci/Tech")
Texts = Sequence[str]
_TEXTS = reference_texts(64)
_BERT_SPECIALS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
_ROBERTA_SPECIALS = ("<s>", "<pad>", "</s>", "<unk>", "<mask>")


@dataclass(frozen=True)
class Size:
    """How large a checkpoint is."""

    hidden: int = 32
    layers: int = 2
    heads: int = 2
    intermediate: int = 64
    tokens: int = 64
    """The most that it takes."""


@dataclass(frozen=True)
class Family:
    """One family of models."""

    name: str
    """As people write it."""
    model_type: str
    """As transformers does."""
    tokenizer: Callable[[int, Texts], transformers.PreTrainedTokenizerFast]
    """Makes one that takes so many tokens, trained on texts."""
    config: dict[str, Any] = field(default_factory=dict)
    """What distinguishes it from others of its model type."""
    reserved_positions: int = 0
    """Positions that hold no token."""

    def make(
        self,
        folder: Path,
        size: Size | None = None,
        labels: Sequence[str] = LABELS,
        texts: Texts = _TEXTS,
        **config: Any,
    ) -> Path:
        """Writes a classifier to a folder, as save_pretrained does. texts: that its tokenizer is trained on.

        `config` changes the model's configuration.
        """
        size = size or Size()
        tokenizer = self.tokenizer(size.tokens, texts)
        tokenizer.save_pretrained(folder)
        known = transformers.AutoConfig.for_model(
            self.model_type,
            **self._sizes(size)
            | {"vocab_size": len(tokenizer), "pad_token_id": tokenizer.pad_token_id}
            | {"id2label": dict(enumerate(labels)), "label2id": {name: index for index, name in enumerate(labels)}}
            | {"initializer_range": 0.2 if size.hidden < 128 else 0.05}
            | self.config
            | config,
        )
        torch.manual_seed(0)
        model = transformers.AutoModelForSequenceClassification.from_config(known).eval()
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.ndim == 1:  # biases, which begin as 0, and scales, which begin as 1
                    parameter += 0.1 * torch.randn_like(parameter)
        model.save_pretrained(folder)
        return folder

    def _sizes(self, size: Size) -> dict[str, Any]:
        positions = {"max_position_embeddings": size.tokens + self.reserved_positions}
        if self.model_type == "distilbert":
            sizes = {"dim": size.hidden, "n_layers": size.layers, "n_heads": size.heads}
            return sizes | positions | {"hidden_dim": size.intermediate}
        if self.model_type == "gpt2":
            sizes = {"n_embd": size.hidden, "n_layer": size.layers, "n_head": size.heads}
            return sizes | {"n_positions": size.tokens, "n_inner": size.intermediate}
        if self.model_type in ("llama", "qwen2", "qwen3"):
            positions |= {"num_key_value_heads": 1}
        return positions | {
            "hidden_size": size.hidden,
            "num_hidden_layers": size.layers,
            "num_attention_heads": size.heads,
            "intermediate_size": size.intermediate,
        }


def _word_piece(kind: type, specials: tuple[str, ...], cls: str, sep: str) -> Callable[[int, Texts], Any]:
    def make(tokens: int, texts: Texts) -> Any:
        tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
        tokenizer.normalizer = normalizers.BertNormalizer()
        tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        trainer = trainers.WordPieceTrainer(special_tokens=list(specials), vocab_size=400, show_progress=False)
        tokenizer.train_from_iterator(texts, trainer)
        tokenizer.post_processor = processors.BertProcessing((sep, specials.index(sep)), (cls, specials.index(cls)))
        return kind(tokenizer_object=tokenizer, model_max_length=tokens)

    return make


def _byte_bpe(specials: tuple[str, ...], texts: Texts) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        special_tokens=list(specials),
        vocab_size=600,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def _roberta(tokens: int, texts: Texts) -> Any:
    tokenizer = _byte_bpe(_ROBERTA_SPECIALS, texts)
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    return transformers.RobertaTokenizerFast(tokenizer_object=tokenizer, model_max_length=tokens)


def _modernbert(tokens: int, texts: Texts) -> Any:
    tokenizer = _byte_bpe(_BERT_SPECIALS, texts)
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    names = {"pad": "[PAD]", "unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]", "mask": "[MASK]"}
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, model_max_length=tokens, **{f"{kind}_token": name for kind, name in names.items()}
    )


def _decoder(padding_side: str, pad: str) -> Callable[[int, Texts], Any]:
    def make(tokens: int, texts: Texts) -> Any:
        tokenizer = _byte_bpe(tuple(dict.fromkeys(["<|endoftext|>", pad])), texts)
        tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
        return transformers.GPT2TokenizerFast(
            tokenizer_object=tokenizer,
            model_max_length=tokens,
            pad_token=pad,
            padding_side=padding_side,
            bos_token="<|endoftext|>",
            eos_token="<|endoftext|>",
            unk_token="<|endoftext|>",
        )

    return make


def _unigram(kind: type, **pieces: Any) -> Callable[[int, Texts], Any]:
    """`pieces`: how the family numbers its special tokens, in SentencePiece's options."""

    def make(tokens: int, texts: Texts) -> Any:
        with tempfile.TemporaryDirectory() as scratch:
            sentencepiece.SentencePieceTrainer.train(
                sentence_iterator=iter(text for text in texts if text),
                model_prefix=f"{scratch}/spm",
                model_type="unigram",
                vocab_size=300,
                hard_vocab_limit=False,
                minloglevel=2,
                **pieces,
            )
            return kind(vocab_file=f"{scratch}/spm.model", model_max_length=tokens)

    return make


_ALBERT_PIECES = {
    "pad_id": 0,
    "unk_id": 1,
    "bos_id": -1,
    "eos_id": -1,
    "pad_piece": "<pad>",
    "control_symbols": ["[CLS]", "[SEP]", "[MASK]"],
}
_DEBERTA_PIECES = {
    "pad_id": 0,
    "bos_id": 1,
    "eos_id": 2,
    "unk_id": 3,
    "pad_piece": "[PAD]",
    "bos_piece": "[CLS]",
    "eos_piece": "[SEP]",
    "unk_piece": "[UNK]",
}
_RELATIVE = {"relative_attention": True, "position_biased_input": False, "pos_att_type": ["p2c", "c2p"]}
_RELATIVE |= {"position_buckets": 16, "norm_rel_ebd": "layer_norm", "share_att_key": True, "type_vocab_size": 0}

_bert = _word_piece(transformers.BertTokenizerFast, _BERT_SPECIALS, "[CLS]", "[SEP]")
_mpnet_specials = ("<s>", "<pad>", "</s>", "[UNK]", "<mask>")
_deberta = _unigram(transformers.DebertaV2TokenizerFast, **_DEBERTA_PIECES)

FAMILIES = {
    family.name: family
    for family in (
        Family("BERT", "bert", _bert),
        Family(
            "DistilBERT",
            "distilbert",
            _word_piece(transformers.DistilBertTokenizerFast, _BERT_SPECIALS, "[CLS]", "[SEP]"),
        ),
        Family("RoBERTa", "roberta", _roberta, {"type_vocab_size": 1}, reserved_positions=2),
        Family(
            "XLM-R",
            "xlm-roberta",
            _unigram(transformers.XLMRobertaTokenizerFast),
            {"type_vocab_size": 1},
            reserved_positions=2,
        ),
        Family(
            "CamemBERT",
            "camembert",
            _unigram(transformers.CamembertTokenizerFast),
            {"type_vocab_size": 1},
            reserved_positions=2,
        ),
        Family(
            "ALBERT", "albert", _unigram(transformers.AlbertTokenizerFast, **_ALBERT_PIECES), {"embedding_size": 16}
        ),
        Family(
            "ELECTRA",
            "electra",
            _word_piece(transformers.ElectraTokenizerFast, _BERT_SPECIALS, "[CLS]", "[SEP]"),
            {"embedding_size": 16},
        ),
        Family(
            "MPNet",
            "mpnet",
            _word_piece(transformers.MPNetTokenizerFast, _mpnet_specials, "<s>", "</s>"),
            reserved_positions=2,
        ),
        Family("DeBERTa-v2", "deberta-v2", _deberta, _RELATIVE | {"conv_kernel_size": 3, "conv_act": "gelu"}),
        Family("DeBERTa-v3", "deberta-v2", _deberta, _RELATIVE),
        Family(
            "ModernBERT",
            "modernbert",
            _modernbert,
            {"cls_token_id": 2, "sep_token_id": 3, "bos_token_id": 2, "eos_token_id": 3, "local_attention": 16},
        ),
        Family("GPT-2", "gpt2", _decoder("right", "<|endoftext|>"), {"bos_token_id": 0, "eos_token_id": 0}),
        Family("Llama", "llama", _decoder("left", "<|pad|>"), {"bos_token_id": 0, "eos_token_id": 0}),
        Family("Qwen2", "qwen2", _decoder("left", "<|pad|>"), {"bos_token_id": 0, "eos_token_id": 0}),
        Family("Qwen3", "qwen3", _decoder("left", "<|pad|>"), {"bos_token_id": 0, "eos_token_id": 0, "head_dim": 16}),
    )
}
