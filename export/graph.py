"""Exports a transformers model to an ONNX file, by Optimum."""

import warnings
from pathlib import Path

import onnx
import transformers
from optimum.exporters.onnx import export
from optimum.exporters.tasks import TasksManager

from lossaudit.engine.errors import LossAuditError, brief
from lossaudit.engine.model.bundle import KNOWN_INPUTS


def input_names(path: Path) -> tuple[str, ...]:
    """The names of a graph's inputs."""
    return tuple(given.name for given in onnx.load(path, load_external_data=False).graph.input)


def write_graph(model: transformers.PreTrainedModel, path: Path, task: str = "text-classification") -> int:
    """Writes `path` and returns the opset. task: Optimum's name of the model's task.

    Raises LossAuditError if Optimum can't export the architecture, or if the graph has an input that lossaudit doesn't
    provide.
    """
    architecture = type(model).__name__
    try:
        constructor = TasksManager.get_exporter_config_constructor(
            "onnx", model, task=task, library_name="transformers"
        )
        onnx_config = constructor(model.config)
        opset: int = onnx_config.DEFAULT_ONNX_OPSET
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the tracer's remarks on constants
            export(model, onnx_config, path, opset=opset)
    except Exception as error:  # the tracer and Optimum raise anything
        raise LossAuditError(f"Optimum can't export {architecture} to ONNX: {brief(error)}") from error
    unknown = sorted(set(input_names(path)) - set(KNOWN_INPUTS))
    if unknown:
        raise LossAuditError(
            f"{architecture} can't be exported: its graph needs {', '.join(unknown)} besides a text's tokens, "
            "which lossaudit doesn't provide"
        )
    return opset
