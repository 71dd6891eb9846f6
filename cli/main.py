"""The `lossaudit` command, a group of all commands."""

import click

from lossaudit.version import __version__

from .apply import apply
from .audit import audit
from .cache import cache
from .completion import completion
from .decisions import decisions
from .demo import demo
from .doctor import doctor
from .export import export
from .fit import fit
from .log import log
from .pull import pull
from .report import report
from .rerank import rerank
from .review import review
from .top import top

_EXAMPLES = """\b
Examples:
  lossaudit demo
  lossaudit audit my-model/ reviews.csv -o losses.parquet
  lossaudit top losses.parquet -n 50
"""


class _InOrder(click.Group):
    """Lists the commands in the order in which they are used."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(self.commands)


@click.group(cls=_InOrder, context_settings={"help_option_names": ["-h", "--help"]}, epilog=_EXAMPLES)
@click.version_option(__version__, package_name="lossaudit")
def main() -> None:
    """Find the mislabelled examples of a text-classification dataset.

    A fine-tuned classifier gives the highest loss to the examples whose label is wrong. lossaudit scores every
    example, ranks them by loss and shows the top.
    """


for command in (
    *(export, audit, fit, top, report, review, log, pull, rerank, decisions),
    *(apply, demo, doctor, cache, completion),
):
    main.add_command(command)
