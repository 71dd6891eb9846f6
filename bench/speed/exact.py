"""Is the exact top exact, and what does it cost? Compares exact-top audits with an fp32 audit of the same rows.

    python -m bench.speed.exact --model mini --data ag_news --top 50 --top 500 --top 1000

Prints, for each K, whether the first K rows are fp32's in fp32's order (but for ties within 1e-5), how many rows were
scored again, and the speed as a share of int8's and of fp32's. Exits with 1 if a top isn't exact.
"""

import sys
import tempfile
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from lossaudit.engine.data.source import open_dataset
from lossaudit.engine.model.bundle import Bundle
from lossaudit.engine.run.audit import Audit
from lossaudit.engine.run.options import AuditOptions
from lossaudit.engine.run.passes import Audited
from lossaudit.export.exporter import export_bundle

from ..quality.parity import swapped_rows
from . import shapes


@click.command()
@click.option("--model", type=click.Choice(list(shapes.MODELS)), default="mini", show_default=True)
@click.option("--data", type=click.Choice(list(shapes.DATA)), default="ag_news", show_default=True)
@click.option("--top", "tops", type=int, multiple=True, default=(50, 500, 1000), show_default=True)
@click.option("--inputs", type=click.Path(path_type=Path), default=Path("../shared"), show_default=True)
@click.option("--provider", default="cpu", show_default=True, help="What runs int8.")
def main(model: str, data: str, tops: tuple[int, ...], inputs: Path, provider: str) -> None:
    """Compare the tops of exact-top audits with that of fp32."""
    with tempfile.TemporaryDirectory() as folder:
        shape = shapes.make(model, data, sys.maxsize, inputs, Path(folder))
        bundle = export_bundle(str(shape.model), Path(folder) / "bundle")
        found = Table("K", "exact", "scored again", "margin", "of int8's speed", "× fp32's", title=f"{model} on {data}")
        fp32 = _audit(bundle, shape.data, AuditOptions(precision="fp32", provider="cpu"))
        int8 = _audit(bundle, shape.data, AuditOptions(precision="int8", provider=provider))
        wrong = 0
        for top in tops:
            audited = _audit(bundle, shape.data, AuditOptions(precision="exact-top", top=top, provider=provider))
            assert audited.exact is not None
            swapped = swapped_rows(_losses(audited), _losses(fp32), top)
            wrong += swapped
            found.add_row(
                str(top),
                "yes" if swapped == 0 else f"no, {swapped} places",
                f"{len(audited.exact.rows):,} of {len(audited.table):,}",
                f"{audited.exact.margin:.2f}",
                f"{int8.seconds / audited.seconds:.0%}",
                f"{fp32.seconds / audited.seconds:.2f}",
            )
    differences = np.abs(_losses(int8) - _losses(fp32))
    Console().print(found)
    click.echo(
        f"int8 against fp32: a loss differs by {differences.mean():.4f} on average, "
        f"{np.quantile(differences, 0.99):.3f} at the 99th percentile, {differences.max():.3f} at most"
    )
    sys.exit(int(wrong > 0))


def _audit(bundle: Bundle, data: Path, options: AuditOptions) -> Audited:
    audit = Audit(bundle, open_dataset(str(data)), options)
    _ = audit.choice  # measured before the clock starts
    return audit.run()


def _losses(audited: Audited) -> NDArray[np.float64]:
    return np.asarray(audited.table.sort_by("id")["loss"].to_numpy(), dtype=np.float64)


if __name__ == "__main__":
    main()
