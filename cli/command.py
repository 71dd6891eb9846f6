"""What every command shares: `--debug`, examples in the help, and errors as one line with an exit code.

0 success · 1 a bug in lossaudit · 2 a user's mistake or bad input · 129, 130, 143 a signal (docs/exit-codes.md)
"""

import inspect
import sys
from typing import Any

import click

from lossaudit.engine.errors import LossAuditError, brief

from . import signals
from .wording import harmless, has_no_scratch, is_full, message_of


class Command(click.Command):
    """A command whose errors are one line on standard error; `--debug` adds a traceback."""

    def __init__(self, *args: Any, examples: str = "", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.examples = inspect.cleandoc(examples)
        self.params.append(
            click.Option(["--debug"], is_flag=True, expose_value=False, help="Show tracebacks of errors.")
        )

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        super().format_epilog(ctx, formatter)
        if self.examples:
            with formatter.section("Examples"):
                formatter.write("".join(f"  {line}\n" for line in self.examples.splitlines()))

    def invoke(self, ctx: click.Context) -> Any:
        try:
            signals.work()
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort, BrokenPipeError):
            signals.rest()  # click would take a signal here for an abort of its own
            raise
        except KeyboardInterrupt as error:
            signals.rest()
            _say(f"{signals.word(error)}; run the same command again to resume.")
            ctx.exit(signals.exit_code(error))
        except Exception as error:
            signals.rest()
            if "--debug" in sys.argv:
                raise
            if isinstance(error, LossAuditError):
                _say(f"Error: {message_of(error)}")
                ctx.exit(2)
            if has_no_scratch(error):
                _say("Error: no folder for temporary files can be written; name one in TMPDIR")
                ctx.exit(2)
            if is_full(error):
                _say(f"Error: {message_of(error)}; make room on the disk or behind standard output")
                ctx.exit(2)
            fault = f"{type(error).__name__}: {brief(error)}"
            _say(f"Error: a fault in lossaudit: {fault}. Run it again with --debug to see where.")
            ctx.exit(1)
        finally:
            signals.rest()


def _say(message: str) -> None:
    click.echo(harmless(" ".join(message.splitlines())), err=True)
