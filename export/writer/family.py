"""What the writer knows of a family of models."""

from collections.abc import Callable
from dataclasses import dataclass

from .parts import Draft
from .settings import Settings


@dataclass(frozen=True)
class Body:
    """A family's encoder in a draft."""

    states: str
    """Tensor (rows, tokens, hidden)."""
    hidden: int
    limit: int | None
    """The most tokens that there are positions for; None without a limit."""
    pad_id: int
    """The token that the graph knows as padding."""
    vocabulary: int
    """Number of tokens that have embeddings."""
    read: str = "the first token"
    """The token that classifiers read, if they read one."""


@dataclass(frozen=True)
class Family:
    """A family of models, by the names that transformers gives its parts."""

    name: str
    """Name as people write it."""
    model_type: str
    stem: str
    """Start of its classes' names."""
    prefix: str
    """Start of the names of the encoder's tensors."""
    body: Callable[[Draft], Body]
    head: Callable[[Draft, Body, int], str]
    """Function (draft, encoder, number of classes) that writes the head and returns the logits, (rows, classes)."""
    types: bool = False
    """Whether its usual tokenizer marks the second text of a pair."""
    plain: bool = False
    """Whether its layers are written in plain operators, pruned and in their final form, not in fused ones."""
    reads_first: Callable[[Settings], bool] = lambda settings: True
    """Whether a classifier reads the first token's state alone; asked if the layers are plain."""
    leftovers: tuple[str, ...] = (r".*\.position_ids",)
    """Patterns of the names of tensors that checkpoints hold without a use."""

    @property
    def classifier(self) -> str:
        """Name of its sequence classifier."""
        return f"{self.stem}ForSequenceClassification"
