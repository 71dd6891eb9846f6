"""`python -m lossaudit`, and the console script `lossaudit`: signals are handled before anything slow is imported."""

import sys

from lossaudit.cli import signals


def main() -> None:
    """Runs the command."""
    signals.listen()
    from lossaudit.cli import streams

    streams.prepare()
    from lossaudit.cli.main import main as command

    try:
        command()
    except OSError as error:  # a help or a version; Command handles those of its work, but for --debug
        if "--debug" in sys.argv:
            raise
        print(f"Error: standard output can't be written: {error}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
