"""Is the ranking the same as the loop's? Runs both on the same rows and compares losses and the top of the ranking.

    python -m bench.quality.parity MODEL DATA --top 500

Losses are compared in fp32, the top in fp32 and as `audit` does it by default, mostly by way of int8.

Exits with 1 if a loss differs by more than 1e-4 or if the top differs but for ties within 1e-5.
"""

import sys
import tempfile
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray

from lossaudit.engine.data.source import open_dataset
from lossaudit.engine.run.audit import Audit
from lossaudit.engine.run.options import AuditOptions
from lossaudit.export.exporter import export_bundle

from ..speed import loop

TOLERANCE = 1e-4
TIE = 1e-5


@click.command()
@click.argument("model")
@click.argument("data")
@click.option("--top", default=500, show_default=True, help="How many rows of the ranking must agree.")
def main(model: str, data: str, top: int) -> None:
    """Compare lossaudit's losses of DATA with those of the PyTorch loop over MODEL."""
    rows = open_dataset(data)
    with tempfile.TemporaryDirectory() as folder:
        bundle = export_bundle(model, Path(folder) / "bundle")
        fp32 = Audit(bundle, rows, AuditOptions(precision="fp32"))
        ours = _losses(fp32)
        by_default = _losses(Audit(bundle, rows, AuditOptions(top=top)))
    whole = rows.take(0, len(rows))
    theirs = loop.losses(
        model, whole[fp32.reading.text_column].to_pylist(), whole[fp32.reading.label_column].to_pylist()
    )
    difference = float(np.abs(ours - theirs).max())
    click.echo(f"{len(rows):,} rows; largest difference of a loss in fp32: {difference:.1e} (allowed: {TOLERANCE:.0e})")
    swapped = 0
    for way, losses in (("in fp32", ours), ("as audit chooses", by_default)):
        places = swapped_rows(losses, theirs, top)
        click.echo(f"top {top} {way}: {places} places differ by more than a tie within {TIE:.0e}")
        swapped += places
    sys.exit(int(difference > TOLERANCE or swapped > 0))


def _losses(audit: Audit) -> NDArray[np.float64]:
    return np.asarray(audit.run().table.sort_by("id")["loss"].to_numpy(), dtype=np.float64)


def swapped_rows(ours: NDArray[np.float64], theirs: NDArray[np.float64], top: int) -> int:
    """Places of the top whose rows differ although the two rows' losses are no tie.

    ours, theirs: (n,) losses of the same rows in the same order.
    """
    first, second = np.argsort(-ours, kind="stable")[:top], np.argsort(-theirs, kind="stable")[:top]
    differ = first != second
    return int((np.abs(theirs[first] - theirs[second]) > TIE)[differ].sum())


if __name__ == "__main__":
    main()
