"""The options that `audit` and `fit` share: what to read from a dataset, and how to run a model.

Options that a command doesn't name among its arguments are fields of `AuditOptions` and are passed on unchanged.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import click

Function = TypeVar("Function", bound=Callable[..., Any])


offline_option = click.option("--offline", is_flag=True, help="Don't use the network, even for a hub name.")


def dataset_options(command: Function) -> Function:
    """--config, --split, --separator, --encoding, --no-header, --sheet, --text-column, --label-column, --limit."""
    return _with(
        command,
        click.option("--config", help="Configuration of a hub dataset."),
        click.option(
            "--split",
            help="Split of a hub or saved dataset; several with commas, or all.  [default: train, or the only one]",
        ),
        click.option("--separator", metavar="CHARACTER", help="Separator of CSV or TSV files.  [default: guessed]"),
        click.option("--encoding", help="Encoding of CSV or TSV files.  [default: UTF-8, or UTF-16 if it looks so]"),
        click.option("--no-header", is_flag=True, help="CSV or TSV files have no header; columns are 0, 1 and so on."),
        click.option("--sheet", help="Sheet of an Excel workbook.  [default: the first one]"),
        click.option(
            "--text-column",
            help="Column with the text, or field such as data.text.  [default: guessed; the guess is printed]",
        ),
        click.option(
            "--label-column",
            help="Column with the label, or field such as meta.label.  [default: guessed; the guess is printed]",
        ),
        click.option("--limit", type=click.IntRange(min=1), help="Read only this many rows, from the first on."),
    )


def model_options(command: Function) -> Function:
    """--max-length, --threads, --provider, --offline, --no-tune."""
    return _with(
        command,
        click.option(
            "--max-length",
            type=click.IntRange(min=8),
            help="Cut texts at this many tokens.  [default: the model's maximum]",
        ),
        click.option("--threads", type=click.IntRange(min=1), help="CPUs to use.  [default: all available]"),
        click.option(
            "--provider",
            type=click.Choice(["auto", "cpu", "cuda", "openvino"]),
            default="auto",
            show_default=True,
            help="What runs the model: auto takes CUDA if it is installed, else the faster of the others.",
        ),
        offline_option,
        click.option(
            "--no-tune",
            is_flag=True,
            help="Don't measure what is fastest here; that takes a few seconds, once per bundle.",
        ),
    )


def _with(command: Function, *options: Callable[[Function], Function]) -> Function:
    for option in reversed(options):  # the order of decorators above a function, which is the order in the help
        command = option(command)
    return command
