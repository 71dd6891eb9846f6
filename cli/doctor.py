"""`lossaudit doctor`: checks this machine, its packages and a bundle, and advises on what isn't in order."""

from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.box import SIMPLE_HEAD
from rich.filesize import decimal
from rich.table import Column, Table
from rich.text import Text

from .command import Command
from .console import out, steps
from .wording import in_command

if TYPE_CHECKING:
    from lossaudit.engine.doctor.checks import BundleFacts, Diagnosis
    from lossaudit.engine.doctor.speed import SpeedTest
    from lossaudit.engine.model.bundle import Manifest

_STYLES = {"ok": "green", "note": "yellow", "problem": "bold red"}
_EXAMPLES = """
lossaudit doctor
lossaudit doctor bundle
lossaudit doctor bundle --json > diagnosis.json
"""


@click.command(cls=Command, examples=_EXAMPLES, short_help="Check this machine, its packages and a bundle.")
@click.argument("bundle", type=click.Path(path_type=Path), required=False)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object, for other programs.")
@click.pass_context
def doctor(ctx: click.Context, bundle: Path | None, as_json: bool) -> None:
    """Check CPUs, memory, ONNX Runtime, CUDA, packages and caches, and advise on what isn't in order.

    With a BUNDLE, also check its files and measure, for a few seconds, how fast each of its graphs runs here. The exit
    code is 2 if there is a problem, else 0.
    """
    import json

    from lossaudit.engine.doctor.checks import diagnose

    with steps("Checking") as on_step:
        found = diagnose(bundle, on_step, in_command)
    if as_json:
        click.echo(json.dumps(found.to_dict(), indent=2, ensure_ascii=False))
    else:
        _print(found)
    ctx.exit(2 if found.problems else 0)


def _print(found: "Diagnosis") -> None:
    out.print(f"lossaudit {found.lossaudit}, Python {found.python}, {found.system}")
    checks = Table(Column("", no_wrap=True), Column("what", no_wrap=True), Column("found", ratio=1), box=SIMPLE_HEAD)
    for check in found.checks:
        finding = Text(check.finding)
        if check.advice is not None:
            finding.append(f"\n→ {check.advice}", style="bold")
        checks.add_row(Text(check.state, style=_STYLES[check.state]), check.name, finding)
    out.print(checks)
    folders = Table("cache", Column("size", justify="right"), Column("folder", overflow="fold"), box=SIMPLE_HEAD)
    for cache in found.caches:
        folders.add_row(cache.name, decimal(cache.bytes), Text(str(cache.folder)))
    out.print(folders)
    if found.bundle is not None:
        _print_bundle(found.bundle)
    states = [check.state for check in found.checks]
    what = f"{states.count('problem')} problems, {states.count('note')} notes"
    out.print(what if found.problems else f"In order: {what}", style="bold")


def _print_bundle(bundle: "BundleFacts") -> None:
    if bundle.manifest is not None:
        out.print(_graphs(bundle.manifest))
        for name, reason in bundle.manifest.left_out.items():
            out.print(f"Not in the bundle: {name} ({reason})", soft_wrap=True)
    if bundle.speed is not None:
        test = bundle.speed
        out.print(_speeds(test))
        out.print(
            f"On {test.cpus} CPUs, {test.texts} built-in texts of {test.tokens_per_text:.0f} tokens on average. "
            "An audit measures again, on the first rows of its dataset.",
            soft_wrap=True,
        )


def _graphs(manifest: "Manifest") -> Table:
    graphs = Table(
        Column("graph", no_wrap=True),
        "runs on",
        Column("from fp32", justify="right", no_wrap=True),
        Column("what export did to it", ratio=1),
        box=SIMPLE_HEAD,
    )
    for graph in manifest.graphs:
        difference = "–" if graph.precision == "fp32" else f"{graph.mean_difference:.4f}"
        graphs.add_row(Text(graph.name), Text(", ".join(graph.backends)), difference, Text("; ".join(graph.applied)))
    return graphs


def _speeds(test: "SpeedTest") -> Table:
    speeds = Table(
        Column("graph", no_wrap=True),
        "backend",
        Column("tokens/s", justify="right"),
        Column("texts/s", justify="right"),
        box=SIMPLE_HEAD,
    )
    for speed in sorted(test.speeds, key=lambda speed: -(speed.tokens_per_second or 0.0)):
        figures = [
            "–" if value is None else f"{value:,.0f}" for value in (speed.tokens_per_second, speed.texts_per_second)
        ]
        speeds.add_row(Text(speed.graph), speed.backend, *figures)
    return speeds
