"""The export room: a checkpoint comes in, a bundle goes out. The only room where torch and transformers are imported.

The room itself can be called, since `lossaudit.export` is also what the public package offers by that name.
"""

import sys
from pathlib import Path
from types import ModuleType

from lossaudit.engine.model.bundle import Bundle


class _Room(ModuleType):
    def __call__(self, model: str | Path, out: str | Path, *, multi_label: bool = False, fp16: bool = False) -> Bundle:
        """Exports a fine-tuned checkpoint (folder or hub name) to a bundle folder, checked against PyTorch.

        multi_label: any of the model's labels may be right for a text, where its config doesn't say. fp16: with a form
        for GPUs. Needs the extra `export`. A folder that is ONNX already, in Optimum's layout, needs no torch. Raises
        LossAuditError if the model can't be exported, or `out` holds other files.
        """
        from .adopted import adopt_bundle, is_onnx_folder

        if is_onnx_folder(model):
            return adopt_bundle(model, Path(out), multi_label=multi_label, fp16=fp16)
        from .exporter import export_bundle

        return export_bundle(str(model), Path(out), multi_label=multi_label, fp16=fp16)


sys.modules[__name__].__class__ = _Room
