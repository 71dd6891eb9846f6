"""The `lossaudit` command: the group that the commands hang on."""

import click

from lossaudit.cli.apply import apply
from lossaudit.cli.audit import audit
from lossaudit.cli.cache import cache
from lossaudit.cli.completion import completion
from lossaudit.cli.demo import demo
from lossaudit.cli.doctor import doctor
from lossaudit.cli.export import export
from lossaudit.cli.fit import fit
from lossaudit.cli.log import log
from lossaudit.cli.pull import pull
from lossaudit.cli.report import report
from lossaudit.cli.review import review
from lossaudit.cli.top import top
from lossaudit.version import __version__

_EXAMPLES = """\b
Examples:
  lossaudit demo
  lossaudit audit my-model/ reviews.csv -o losses.parquet
  lossaudit top losses.parquet -n 50
"""


class _InOrder(click.Group):
    """Lists the commands in the order of their use."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(self.commands)


@click.group(cls=_InOrder, context_settings={"help_option_names": ["-h", "--help"]}, epilog=_EXAMPLES)
@click.version_option(__version__, package_name="lossaudit")
def main() -> None:
    """Finds the mislabelled examples of a text-classification dataset.

    A fine-tuned classifier gives the highest loss to the examples whose label is wrong. lossaudit scores every
    example, ranks them by loss and shows the top.
    """


for command in (export, audit, fit, top, report, review, log, pull, apply, demo, doctor, cache, completion):
    main.add_command(command)
