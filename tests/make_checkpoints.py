"""Makes the checkpoints that prove the writer of graphs: `python -m tests.make_checkpoints [name …]`.

Each is a classifier with random weights, as transformers saves it, in tests/export/checkpoints/NAME/, and beside it
cases.safetensors: token ids, mask and types of a few texts, and the logits that PyTorch gives each text alone. They are
stored, so that the writer is tested where there is no PyTorch. transformers 4.57.6 and torch 2.13.0 made them.
"""

import json
import shutil
import sys
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from safetensors.numpy import save_file

FOLDER = Path(__file__).parent / "export" / "checkpoints"
CASES = "cases.safetensors"
TOKENS = 24
"""The most that each takes."""
_VOCABULARY = 40
_LENGTHS = (1, 2, 3, 7, 13, TOKENS)


@dataclass(frozen=True)
class Variant:
    """A checkpoint."""

    model_type: str
    config: dict[str, Any] = field(default_factory=dict)
    """What differs from the small usual one."""
    dtype: torch.dtype = torch.float16
    """Type of the stored weights; half of float32's size, and as good for a proof."""
    shards: bool = False
    old_names: bool = False
    """Whether normalisations have the names of 2018."""
    types: bool | None = None
    """Whether its tokenizer says that tokens have types; None if it says nothing."""

    @property
    def has_types(self) -> bool:
        """Whether its tokens have types."""
        return self.model_type in ("albert", "bert", "electra") if self.types is None else self.types


_AFTER_PADDING = {"max_position_embeddings": TOKENS + 2, "pad_token_id": 1}
_RELATIVE = {"relative_attention": True, "position_biased_input": False, "pos_att_type": ["p2c", "c2p"]}
_RELATIVE |= {"position_buckets": 8, "norm_rel_ebd": "layer_norm", "share_att_key": True}
VARIANTS = {
    "albert": Variant("albert", {"embedding_size": 8, "num_hidden_layers": 3}),
    "albert-odd": Variant(
        "albert",
        {
            "embedding_size": 16,
            "num_hidden_layers": 4,
            "num_hidden_groups": 2,
            "inner_group_num": 2,
            "hidden_act": "gelu",
        }
        | {"num_attention_heads": 4, "type_vocab_size": 1},
        types=False,
    ),
    "bert": Variant("bert"),
    "bert-odd": Variant(
        "bert",
        {"hidden_act": "gelu_new", "num_attention_heads": 4, "layer_norm_eps": 0.01, "num_labels": 3, "pad_token_id": 5}
        | {"is_decoder": False, "type_vocab_size": 3, "problem_type": "multi_label_classification"},
    ),
    "bert-relu": Variant(
        "bert", {"hidden_act": "relu", "num_hidden_layers": 1, "intermediate_size": 64}, old_names=True, types=False
    ),
    "bert-shards": Variant("bert", {"num_hidden_layers": 3}, torch.bfloat16, shards=True),
    "roberta": Variant("roberta", _AFTER_PADDING | {"type_vocab_size": 1}),
    "roberta-odd": Variant(
        "roberta", {"max_position_embeddings": TOKENS + 5, "pad_token_id": 4, "hidden_act": "gelu_fast"}, types=True
    ),
    "xlm-roberta": Variant("xlm-roberta", _AFTER_PADDING | {"type_vocab_size": 1}, torch.float32),
    "camembert": Variant("camembert", _AFTER_PADDING | {"type_vocab_size": 1, "num_labels": 2}),
    "deberta-v2": Variant(
        "deberta-v2", _RELATIVE | {"conv_kernel_size": 3, "conv_act": "gelu", "type_vocab_size": 2}, types=True
    ),
    "deberta-v3": Variant("deberta-v2", _RELATIVE),
    "deberta-apart": Variant(
        "deberta-v2",
        {"relative_attention": True, "pos_att_type": "c2p|p2c", "max_relative_positions": 9, "num_labels": 3}
        | {"embedding_size": 8, "num_attention_heads": 4, "pooler_hidden_act": "relu"},
    ),
    "deberta-one-way": Variant(
        "deberta-v2",
        _RELATIVE
        | {
            "pos_att_type": ["c2p"],
            "norm_rel_ebd": "none",
            "conv_kernel_size": 5,
            "conv_groups": 2,
            "num_hidden_layers": 1,
        }
        | {"position_buckets": 4, "max_relative_positions": 20},
    ),
    "deberta-absolute": Variant("deberta-v2", {"pos_att_type": ["p2c"], "hidden_act": "gelu_new"}),
    "distilbert": Variant("distilbert"),
    "distilbert-odd": Variant(
        "distilbert", {"activation": "relu", "sinusoidal_pos_embds": True, "n_heads": 4, "n_layers": 1, "num_labels": 7}
    ),
    "electra": Variant("electra", {"embedding_size": 8}),
    "gpt2": Variant("gpt2", {"pad_token_id": 0}),
    "gpt2-odd": Variant(
        "gpt2", {"n_inner": 40, "activation_function": "relu", "layer_norm_epsilon": 0.01, "n_head": 4}
    ),
    "llama": Variant("llama", {"pad_token_id": 5}),
    "llama-odd": Variant(
        "llama",
        {"num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 6, "attention_bias": True, "mlp_bias": True}
        | {"rope_theta": 300.0, "rms_norm_eps": 0.01, "num_labels": 2},
    ),
    "qwen2": Variant("qwen2", {"pad_token_id": 0, "num_key_value_heads": 1}),
    "qwen3": Variant("qwen3", {"pad_token_id": 0, "num_key_value_heads": 1, "head_dim": 8, "num_labels": 3}),
    "mpnet": Variant("mpnet", _AFTER_PADDING),
    "mpnet-odd": Variant(
        "mpnet", _AFTER_PADDING | {"hidden_act": "gelu_new", "num_attention_heads": 4, "num_labels": 3}
    ),
    "modernbert": Variant("modernbert", {"local_attention": 6, "num_hidden_layers": 4}),
    "modernbert-mean": Variant(
        "modernbert",
        {"local_attention": 8, "classifier_pooling": "mean", "num_hidden_layers": 3, "num_labels": 3}
        | {"global_attn_every_n_layers": 2, "global_rope_theta": 10.0, "local_rope_theta": 1000.0, "pad_token_id": 7},
    ),
    "modernbert-odd": Variant(
        "modernbert",
        {"local_attention": 7, "num_hidden_layers": 2, "norm_bias": True, "attention_bias": True, "mlp_bias": True}
        | {"classifier_bias": True, "classifier_activation": "relu", "hidden_activation": "gelu_new", "norm_eps": 0.01}
        | {"num_attention_heads": 4},
    ),
    "electra-wide": Variant("electra", {"embedding_size": 16, "hidden_act": "gelu_pytorch_tanh", "num_labels": 2}),
}


def make(name: str, folder: Path) -> Path:
    """Writes a checkpoint and its cases to a folder, which is replaced."""
    shutil.rmtree(folder, ignore_errors=True)
    variant = VARIANTS[name]
    torch.manual_seed(sum(name.encode()))
    model = _model(variant)
    size = "12KB" if variant.shards else "1GB"
    model.to(variant.dtype).save_pretrained(folder, max_shard_size=size)
    if variant.old_names:
        _rename(folder / "model.safetensors")
    if variant.types is not None:
        inputs = ["input_ids", "attention_mask", *(["token_type_ids"] if variant.types else [])]
        (folder / "tokenizer_config.json").write_text(json.dumps({"model_input_names": inputs}) + "\n")
    # Loaded again, since rounding the weights rounds what isn't saved too (rotary positions).
    saved = transformers.AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.float32).eval()
    save_file(_cases(saved, variant.has_types, np.random.default_rng(0)), folder / CASES)
    return folder


def pytorch_logits(model: transformers.PreTrainedModel, cases: dict[str, np.ndarray]) -> np.ndarray:
    """(texts, classes) logits of each text alone."""
    lengths = cases["attention_mask"].sum(axis=1)
    inputs = {name: torch.from_numpy(value) for name, value in cases.items() if name != "logits"}
    with torch.inference_mode():
        logits = [
            model(**{name: value[[row], : lengths[row]] for name, value in inputs.items()}).logits.numpy()
            for row in range(len(lengths))
        ]
    return np.concatenate(logits)


def _model(variant: Variant) -> transformers.PreTrainedModel:
    known = {"vocab_size": _VOCABULARY, "num_labels": 4, "max_position_embeddings": TOKENS, "initializer_range": 0.3}
    if variant.model_type == "modernbert":
        known |= dict.fromkeys(("pad_token_id", "bos_token_id", "eos_token_id", "cls_token_id", "sep_token_id"), 3)
    if variant.model_type == "gpt2":
        known |= {"n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": TOKENS}
        del known["max_position_embeddings"]
    elif variant.model_type == "distilbert":
        known |= {"dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 24}
    else:
        known |= {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
    config = transformers.AutoConfig.for_model(variant.model_type, **known | variant.config)
    model = transformers.AutoModelForSequenceClassification.from_config(config, attn_implementation="eager").eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 1:  # biases, which begin as 0, and scales, which begin as 1
                parameter += 0.2 * torch.randn_like(parameter)
            parameter.copy_(parameter.to(variant.dtype))
    return model


def _cases(model: transformers.PreTrainedModel, types: bool, random: np.random.Generator) -> dict[str, np.ndarray]:
    pad, rows = int(model.config.pad_token_id or 0), len(_LENGTHS)
    mask = (np.arange(TOKENS) < np.array(_LENGTHS)[:, None]).astype(np.int64)
    tokens = random.choice([token for token in range(_VOCABULARY) if token != pad], (rows, TOKENS))
    cases = {"input_ids": np.where(mask, tokens, pad), "attention_mask": mask}
    if types:
        cases["token_type_ids"] = random.integers(0, 2, mask.shape) * mask
    return cases | {"logits": pytorch_logits(model, cases)}


def _rename(path: Path) -> None:
    from safetensors.torch import load_file
    from safetensors.torch import save_file as save

    ends = {"LayerNorm.weight": "LayerNorm.gamma", "LayerNorm.bias": "LayerNorm.beta"}
    tensors = load_file(path)
    renamed = {next((n.replace(o, e) for o, e in ends.items() if n.endswith(o)), n): t for n, t in tensors.items()}
    save(renamed, path, metadata={"format": "pt"})


def main(names: list[str]) -> None:
    transformers.utils.logging.set_verbosity_error()
    warnings.filterwarnings("ignore")
    for name in names or VARIANTS:
        made = make(name, FOLDER / name)
        size = sum(file.stat().st_size for file in made.iterdir())
        print(f"{name}: {size:,} bytes, {len(json.loads((made / 'config.json').read_text()))} keys")


if __name__ == "__main__":
    main(sys.argv[1:])
