"""A bundle set up for a dataset: how it reads the texts, and what computes their logits.

What doesn't fit the bundle, or isn't available on this machine, shows here, before any work.
"""

import functools
from collections.abc import Sequence
from typing import Any

from lossaudit.version import __version__

from ..cpus import usable_cpus
from ..data.texts import Text
from ..errors import LossAuditError, Option
from ..model import backends
from ..model.bundle import Bundle
from ..model.encoding import TextEncoder
from ..model.precision import Choice, Wish, choose
from ..table.schema import schema_of, source_names
from .options import AuditOptions
from .reading import Reading
from .shards import ShardJob, encoder_of
from .tasks import LabelReader, Task

_WORTH_MEASURING = 1000
"""Rows below which measuring takes longer than it can save."""


class Setup:
    """A bundle, the dataset that it is to read, and the options."""

    def __init__(self, bundle: Bundle, reading: Reading, options: AuditOptions) -> None:
        """Raises LossAuditError if the dataset or the options don't fit the bundle or the machine."""
        self._bundle, self._reading, self._options = bundle, reading, options
        longest = bundle.manifest.max_length
        if options.max_length is not None and options.max_length > longest:
            raise LossAuditError(
                Option("max_length", options.max_length), f" is more than the model's maximum of {longest} tokens"
            )
        self.max_length = options.max_length or longest
        if reading.text_pair_column is not None:
            bundle.check_reads_pairs()
            if options.stride is not None:
                raise LossAuditError(
                    Option("stride"),
                    " can't be combined with ",
                    Option("text_pair_column"),
                    ": windows are made of a single text",
                )
        if options.stride is not None:
            _ = self._encoder  # refuses a stride that leaves no new tokens
        self.cpus = min(options.threads or usable_cpus(), usable_cpus())
        if options.provider != "auto":
            backends.check_available(options.provider)

    @functools.cached_property
    def _encoder(self) -> TextEncoder:
        return encoder_of(self._bundle, self.max_length, self._options.stride)

    @property
    def note_on_pairs(self) -> str | None:
        """A warning about how the model reads pairs, if they are asked for."""
        if self._reading.text_pair_column is None or self._encoder.separates_pairs:
            return None
        return "the model's tokenizer has no template for pairs: it puts nothing between the two texts"

    def choose(self, texts: Sequence[Text]) -> Choice:
        """What computes the logits. The first time a bundle is used, measuring it on the texts takes a few seconds."""
        options, rows = self._options, len(self._reading.rows)
        sample = self._encoder.encode(texts) if options.tune and rows >= _WORTH_MEASURING and texts else None
        wish = Wish(options.precision, options.top, options.provider, self.cpus)
        return choose(self._bundle, wish, rows, sample)

    def job(self, task: Task, labels: LabelReader) -> ShardJob:
        """What a shard's part depends on."""
        reading = self._reading
        same = reading.label_column if labels.alignment.identity else None
        return ShardJob(
            bundle=self._bundle,
            task=task,
            labels=labels,
            text_columns=reading.text_columns,
            names=source_names(reading.features, same, schema_of(task.schema, bool(reading.rows.splits))),
            splits=reading.rows.splits,
            max_length=self.max_length,
            stride=self._options.stride,
        )

    @property
    def identity(self) -> dict[str, Any]:
        """What must be the same for this run to reuse another one's logits of the same graphs."""
        reading, options = self._reading, self._options
        return {
            "lossaudit": __version__,
            "dataset": reading.rows.fingerprint,
            "rows": reading.sharding.rows,
            "shard rows": reading.sharding.size,
            "text column": reading.text_column,
            "text pair column": reading.text_pair_column,
            "max length": self.max_length,
            "stride": options.stride,
            "precision": options.precision,
            "provider": options.provider,
        }
