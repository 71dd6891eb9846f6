"""The options that `audit` and `fit` share: what to read of a dataset, and what to run a model on.

Those that a command doesn't name among its arguments are fields of `AuditOptions`, and are handed on as they come.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import click

Function = TypeVar("Function", bound=Callable[..., Any])


offline_option = click.option(
    "--offline", is_flag=True, help="Ask nobody on the network, also where a hub name is given."
)


def dataset_options(command: Function) -> Function:
    """--config, --split, --text-column, --label-column, --limit."""
    return _with(
        command,
        click.option("--config", help="Configuration of a hub dataset."),
        click.option("--split", help="Split of a hub or saved dataset.  [default: train, or the only one]"),
        click.option("--text-column", help="Column with the text.  [default: guessed, and said]"),
        click.option("--label-column", help="Column with the label.  [default: guessed, and said]"),
        click.option("--limit", type=click.IntRange(min=1), help="Only the first rows."),
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
        click.option("--threads", type=click.IntRange(min=1), help="CPUs to use.  [default: all that may be used]"),
        click.option(
            "--provider",
            type=click.Choice(["auto", "cpu", "cuda", "openvino"]),
            default="auto",
            show_default=True,
            help="What runs the model: auto takes CUDA where it is installed, else the faster of the others.",
        ),
        offline_option,
        click.option(
            "--no-tune",
            is_flag=True,
            help="Don't measure what is fastest here, which takes seconds once a bundle.",
        ),
    )


def _with(command: Function, *options: Callable[[Function], Function]) -> Function:
    for option in reversed(options):  # click shows them in the order in which they stand above a function
        command = option(command)
    return command
