"""Runs a bundle's graph in ONNX Runtime. Padded token ids come in, logits go out."""

from pathlib import Path

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from lossaudit.engine.bundle import KNOWN_INPUTS
from lossaudit.engine.encoding import Ids
from lossaudit.engine.errors import LossAuditError, brief

CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"
PROVIDERS = ("auto", "cpu", "cuda")


class Session:
    """One loaded graph on one provider."""

    def __init__(self, model: Path, provider: str, threads: int) -> None:
        """Loads `model`, an ONNX file that takes some of `KNOWN_INPUTS` and gives "logits".

        provider: "cpu", "cuda" (an error if it can't be had) or "auto" (CUDA where it works, else the CPU).
        threads: how many CPUs one run uses. Raises LossAuditError if the graph can't be loaded.
        """
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        self.provider = _choose(provider)
        self._session = _load(model, options, self.provider)
        if self.provider == CUDA and self._session.get_providers()[0] != CUDA:
            if provider == "cuda":
                raise LossAuditError(
                    "CUDA can't be used: onnxruntime-gpu is installed but CUDA or cuDNN doesn't load; "
                    "install the versions that it asks for, or use --provider cpu"
                )
            self.provider = CPU
        self.inputs = tuple(i.name for i in self._session.get_inputs())
        unknown = set(self.inputs) - set(KNOWN_INPUTS)
        if unknown or "logits" not in (o.name for o in self._session.get_outputs()):
            raise LossAuditError(
                f"{model} is no text classifier's graph: it must take some of {', '.join(KNOWN_INPUTS)} and give logits"
            )

    def run(self, ids: Ids, mask: Ids) -> NDArray[np.float32]:
        """Logits (rows, classes) of padded token ids and attention mask, each (rows, tokens)."""
        made = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        feed = {name: made[name] for name in self.inputs}
        logits: NDArray[np.float32] = self._session.run(["logits"], feed)[0]
        return logits


def _choose(provider: str) -> str:
    available = ort.get_available_providers()
    if provider == "cpu" or (provider == "auto" and CUDA not in available):
        return CPU
    if CUDA not in available:
        raise LossAuditError(
            "CUDA can't be used: the installed onnxruntime has no CUDA provider; write onnxruntime-gpu over it: "
            "pip uninstall --yes onnxruntime && pip install --force-reinstall --no-deps onnxruntime-gpu"
        )
    return CUDA


def _load(model: Path, options: ort.SessionOptions, provider: str) -> ort.InferenceSession:
    providers = [CUDA, CPU] if provider == CUDA else [CPU]
    try:
        return ort.InferenceSession(str(model), options, providers=providers)
    except Exception as error:  # ONNX Runtime's errors share no public base class
        raise LossAuditError(f"{model} is not an ONNX file that this onnxruntime can run: {brief(error)}") from error
