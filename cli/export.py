"""`lossaudit export`: a checkpoint to a bundle."""

from pathlib import Path

import click

from lossaudit.cli.command import Command
from lossaudit.cli.console import out, steps

_EXAMPLES = """
lossaudit export ./my-finetuned-model -o bundle
lossaudit export distilbert-base-uncased-finetuned-sst-2-english -o sst2
"""


@click.command(cls=Command, examples=_EXAMPLES, short_help="Export a fine-tuned classifier to a bundle.")
@click.argument("model")
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="Folder to write the bundle to.")
def export(model: str, output: Path) -> None:
    """Export MODEL, a fine-tuned text classifier, to a bundle that needs no torch.

    MODEL is a folder made by save_pretrained, or a hub name. The bundle is checked against PyTorch before it
    is written. Needs the extra: pip install 'lossaudit[export]'
    """
    with steps(f"Exporting {model}") as on_step:
        from lossaudit.cli.rooms import exporter

        bundle = exporter().export_bundle(model, output, on_step)
    manifest = bundle.manifest
    size = sum(file.stat().st_size for file in output.iterdir()) / 1e6
    out.print(
        f"{output}: {manifest.architecture}, {len(manifest.labels)} labels, {size:.0f} MB",
        soft_wrap=True,
    )
    out.print(
        f"Parity with PyTorch: {manifest.parity.max_difference:.1e} at most between two logits "
        f"({manifest.parity.texts} texts, alone and in a batch)",
        soft_wrap=True,
    )
