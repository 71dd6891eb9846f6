"""Makes a bundle of an ONNX graph that there is no PyTorch model to compare with: an adopted one, or a written one.

The manifest's parity counts no texts. Instead, a text's logits mustn't depend on its batch, and the forms that are made
of the graph must agree with it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import onnx
from tokenizers import Tokenizer

from lossaudit.engine.cpus import usable_cpus
from lossaudit.engine.data.texts import Text
from lossaudit.engine.errors import LossAuditError, brief
from lossaudit.engine.model import backends
from lossaudit.engine.model.bundle import FEATURES, MODEL, PAIRS, TOKENIZER, About, Parity, Source
from lossaudit.engine.model.encoding import TextEncoder

from .comparison import (
    MOST_TOKENS,
    TOLERANCE,
    Check,
    Exported,
    Reference,
    Shape,
    logits_alone,
    reference_pairs,
    texts_with_tokens,
    with_pairs,
)
from .forms import make_forms
from .manifest import Forms, versions_of, write_manifest
from .tokenizer import without_padding

_MAKERS = ("onnxruntime", "onnx", "safetensors", "tokenizers")

Step = Callable[[str], None]


@dataclass(frozen=True)
class Given:
    """A graph and what its folder says about it."""

    graph: Path
    architecture: str
    task: str
    """A task of `engine/model/bundle.py`."""
    labels: Callable[[int], tuple[str, ...]]
    """Function that names the outputs, given their number. Raises LossAuditError if it is another one."""
    tokenizer: Tokenizer
    max_length: int
    """The most tokens that the model accepts."""
    truncation_side: str
    pad_id: int
    heads: int
    """Number of attention heads; 0 if unknown."""
    hidden: int
    """Width of the states; 0 if unknown."""
    source: Source
    family: str = ""
    applied: tuple[str, ...] | None = None
    """See `Exported` for both."""


@dataclass(frozen=True)
class _Results:
    """The output of the given graph for some texts or pairs."""

    given: Given
    reference: Reference
    """Logits of each text by itself."""
    difference: float
    """Largest difference between a text's logits alone and in a batch."""

    @classmethod
    def of(cls, given: Given, encoder: TextEncoder, texts: Sequence[Text]) -> "_Results":
        runner = load(given.graph)
        try:
            logits = logits_alone(runner, encoder, texts)
        except Exception as error:  # ONNX Runtime's errors share no public base class
            raise LossAuditError(f"{given.graph} can't be run: {brief(error)}") from error
        # An encoder's scale is arbitrary, as `encoder.py` says.
        tolerance = TOLERANCE * (float(np.abs(logits).max()) if given.task == FEATURES else 1)
        reference = Reference("itself", encoder, texts, logits, tolerance)
        difference = reference.compare_batches(f"{given.graph} ({given.architecture})", runner)
        return cls(given, replace(reference, name="the given one"), difference)

    def check(self, runner: backends.Runner) -> Parity:
        """The parity of another form of the graph. Raises LossAuditError if it differs."""
        difference = self.reference.compare(f"the rewritten graph of {self.given.architecture}", runner)
        return Parity(max(difference, self.difference), self.reference.tolerance, texts=0)


def write_given(given: Given, folder: Path, on_step: Step, fp16: bool) -> None:
    """Writes the files of a bundle into an empty folder. Raises LossAuditError if the graph isn't a text classifier
    whose logits depend on a text alone."""
    without_padding(given.tokenizer).save(str(folder / TOKENIZER))
    limit = min(given.max_length, MOST_TOKENS)
    encoder = TextEncoder(folder / TOKENIZER, limit, given.pad_id, given.truncation_side)
    on_step("checking the graph")
    run = partial(_Results.of, given, encoder)
    results = run(texts_with_tokens(encoder))
    check: Check = results.check
    left_out = {PAIRS: "it was made for single texts"}
    if given.task != FEATURES:
        check, left_out = with_pairs(check, lambda: run(reference_pairs(limit)).check)
    outputs = int(results.reference.logits.shape[1])
    labels = given.labels(outputs)
    shape = Shape(given.heads, given.hidden, outputs, given.task)
    on_step("rewriting it for CPUs and comparing it with the given graph")
    forms = _rewritten(Exported(given.graph, shape, encoder, check, given.family, given.applied), folder, fp16)
    about = About(
        architecture=given.architecture,
        task=given.task,
        labels=labels,
        max_length=given.max_length,
        truncation_side=given.truncation_side,
        pad_id=given.pad_id,
        opset=_opset(given.graph),
        inputs=load(folder / MODEL).inputs,
        source=given.source,
    )
    write_manifest(folder, about, replace(forms, left_out=forms.left_out | left_out), versions_of(_MAKERS))


def load(graph: Path) -> backends.onnxruntime.Session:
    """A graph, to be run one batch at a time."""
    return backends.onnxruntime.Cpu().load(graph, workers=1, threads=usable_cpus())


def _rewritten(exported: Exported, folder: Path, fp16: bool) -> Forms:
    try:
        return make_forms(exported, folder, fp16)
    except LossAuditError:
        raise
    except Exception as error:  # onnx and protobuf raise anything for a graph that they don't expect
        raise LossAuditError(f"{exported.graph} can't be rewritten: {brief(error)}") from error


def _opset(graph: Path) -> int:
    opsets = onnx.load(graph, load_external_data=False).opset_import
    return max((one.version for one in opsets if one.domain in ("", "ai.onnx")), default=0)
