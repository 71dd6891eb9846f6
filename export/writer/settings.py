"""Reads a config.json for the writer of graphs, key by key.

A key that a family doesn't read must be one that never changes a computation; any other is refused by name, since it
might.
"""

from pathlib import Path
from typing import Any

from lossaudit.engine.errors import LossAuditError

_LARGEST = 10_000_000
"""Largest size that is believed. A vocabulary has some hundred thousand tokens at most."""
_INERT = frozenset(
    {
        "architectures", "attn_implementation", "bos_token_id", "chunk_size_feed_forward", "cls_token_id",
        "decoder_start_token_id", "dtype", "eos_token_id", "finetuning_task", "gradient_checkpointing", "id2label",
        "initializer_range", "label2id", "language", "mask_token_id", "model_max_length", "model_type", "name",
        "num_labels", "output_attentions", "output_hidden_states", "output_past", "pad_token_id", "prefix",
        "problem_type", "return_dict", "sentence_transformers", "sep_token_id", "task_specific_params",
        "tf_legacy_loss", "tie_encoder_decoder", "tie_weights_", "tie_word_embeddings", "tokenizer_class",
        "torch_dtype", "torchscript", "transformers_version", "unk_token_id", "use_bfloat16", "use_cache",
        # How decoders generate.
        "bad_words_ids", "begin_suppress_tokens", "diversity_penalty", "do_sample", "early_stopping",
        "encoder_no_repeat_ngram_size", "exponential_decay_length_penalty", "forced_bos_token_id",
        "forced_eos_token_id", "length_penalty",
        "max_length", "min_length", "no_repeat_ngram_size", "num_beam_groups", "num_beams", "num_return_sequences",
        "output_scores", "remove_invalid_values", "repetition_penalty", "return_dict_in_generate", "suppress_tokens",
        "temperature", "top_k", "top_p", "typical_p",
    }
)  # fmt: skip
"""Keys that change neither the computation nor the weights' names."""
_USUAL: dict[str, tuple[object, ...]] = {
    "add_cross_attention": (False,),
    "auto_map": ({},),
    "cross_attention_hidden_size": (),
    "is_decoder": (False,),
    "is_encoder_decoder": (False,),
    "pruned_heads": ({},),
    "quantization_config": (),
}
"""Values of keys that change the computation in any family; None is usual for all of them."""


class NotWrittenError(Exception):
    """The reason why a checkpoint isn't one that the writer knows."""


class Settings:
    """The keys of a config.json, which remembers those that were read."""

    def __init__(self, path: Path, values: dict[str, Any]) -> None:
        self.path = path
        self._values = values
        self._read: set[str] = set()

    def whole(self, name: str, default: int, at_least: int = 1) -> int:
        """A size or a count. Raises LossAuditError for what is none."""
        value = self._value(name, default)
        if not isinstance(value, int) or isinstance(value, bool) or not at_least <= value <= _LARGEST:
            raise LossAuditError(
                f"{self.path} can't be used: its {name} is {value!r}, not a number from {at_least} to {_LARGEST:,}"
            )
        return value

    def real(self, name: str, default: float) -> float:
        """A positive number. Raises LossAuditError for what is none."""
        value = self._value(name, default)
        if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value < float("inf"):
            raise LossAuditError(f"{self.path} can't be used: its {name} is {value!r}, not a positive number")
        return float(value)

    def one_of(self, name: str, *known: Any) -> Any:
        """One of the known values, of which the first is the default. Raises NotWrittenError for another."""
        value = self._value(name, known[0])
        if not any(type(value) is type(one) and value == one for one in known):
            raise NotWrittenError(f"its config.json has {name}: {value!r}")
        return value

    def structure(self, name: str) -> Any:
        """A list or an object, or what else is there; None if nothing is."""
        return self._value(name, None)

    def inert(self, *names: str) -> None:
        """Marks keys that don't change this family's classifier."""
        self._read.update(names)

    def check_all_read(self) -> None:
        """Raises NotWrittenError for an unusual value, and for a key that might change the computation."""
        for name, value in self._values.items():
            if name in self._read or name in _INERT or name.startswith("_") or "dropout" in name or value is None:
                continue
            if value not in _USUAL.get(name, ()):
                raise NotWrittenError(f"its config.json has {name}: {_shown(value)}")

    def _value(self, name: str, default: Any) -> Any:
        self._read.add(name)
        value = self._values.get(name)
        return default if value is None else value


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}…"
