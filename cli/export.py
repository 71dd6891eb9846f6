"""`lossaudit export`: exports a checkpoint or an ONNX folder to a bundle."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from lossaudit.export.opening import export_encoder, export_model

from .command import Command
from .console import out, steps
from .options import offline_option
from .process import go_offline

if TYPE_CHECKING:
    from lossaudit.engine.model.bundle import Manifest, Parity

_EXAMPLES = """
lossaudit export ./my-finetuned-model -o bundle
lossaudit export distilbert-base-uncased-finetuned-sst-2-english -o sst2
lossaudit export ./optimums-onnx-folder -o bundle
lossaudit export ./my-tagger -o tagger --multi-label
lossaudit export ./my-finetuned-model -o bundle --fp16
lossaudit export ./my-encoder -o encoder --encoder
"""


@click.command(cls=Command, examples=_EXAMPLES, short_help="Export a fine-tuned classifier to a bundle.")
@click.argument("model")
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="Folder to write the bundle to.")
@click.option(
    "--multi-label",
    is_flag=True,
    help="A text may have any number of the labels. For models whose config.json has no problem_type.",
)
@click.option("--fp16", is_flag=True, help="Also write a form for GPUs, which audit --provider cuda uses.")
@click.option("--encoder", is_flag=True, help="Export the encoder alone, for `lossaudit fit` where there is no torch.")
@offline_option
def export(model: str, output: Path, multi_label: bool, fp16: bool, encoder: bool, offline: bool) -> None:
    """Export MODEL, a fine-tuned text classifier, to a bundle that needs no torch.

    MODEL is a folder written by save_pretrained, or a hub name. It may also be a folder with model.onnx, config.json
    and tokenizer.json, as Optimum writes it.

    With the extra (pip install 'lossaudit[export]'), a checkpoint is compared with PyTorch before its bundle is
    written. Without it, lossaudit writes the graphs of common families by itself, and the output says that they
    weren't compared.
    """
    if encoder and multi_label:
        raise click.UsageError("--multi-label is for classifiers; an encoder has no labels")
    if offline:
        go_offline()
    with steps(f"Exporting {model}") as on_step:
        if encoder:
            bundle = export_encoder(model, output, on_step, fp16)
        else:
            bundle = export_model(model, output, on_step, multi_label, fp16)
    manifest = bundle.manifest
    size = sum(file.stat().st_size for file in output.iterdir()) / 1e6
    out.print(
        f"{output}: {manifest.architecture}, {_outputs(manifest)}, {size:.0f} MB",
        soft_wrap=True,
    )
    out.print(_parity(manifest.parity), soft_wrap=True)
    for form, reason in manifest.left_out.items():
        out.print(f"Without {form}: {reason}", soft_wrap=True)


def _outputs(manifest: "Manifest") -> str:
    """What the graph outputs for a text."""
    return f"{len(manifest.labels)} {'numbers per text' if manifest.task == 'features' else 'labels'}"


def _parity(parity: "Parity") -> str:
    if parity.texts == 0:
        return (
            "Not compared with PyTorch, since there was no PyTorch model; "
            f"logits alone, in a batch and before the graph was rewritten differ by at most {parity.max_difference:.1e}"
        )
    return (
        f"Parity with PyTorch: logits differ by at most {parity.max_difference:.1e} "
        f"({parity.texts} texts, alone and in a batch)"
    )
