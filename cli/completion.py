"""`lossaudit completion`: prints the script with which a shell completes commands, options and values."""

import click
from click.shell_completion import get_completion_class

from lossaudit.engine.errors import LossAuditError

from .command import Command

_NAME, _VARIABLE = "lossaudit", "_LOSSAUDIT_COMPLETE"
_EXAMPLES = """
lossaudit completion bash > ~/.lossaudit-completion.bash
eval "$(lossaudit completion zsh)"
lossaudit completion fish > ~/.config/fish/completions/lossaudit.fish
"""


@click.command(cls=Command, examples=_EXAMPLES, short_help="Print the script for completion in a shell.")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the script with which SHELL completes lossaudit's commands, options and values.

    Load it in the shell's start file; docs/install.md has the line for each shell. Bash must be 4.4 or newer.
    """
    shell_class = get_completion_class(shell)
    if shell_class is None:
        raise LossAuditError(
            f"this version of click has no completion for {shell}; upgrade it: pip install --upgrade click"
        )
    click.echo(shell_class(ctx.find_root().command, {}, _NAME, _VARIABLE).source())
