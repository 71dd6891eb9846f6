"""`python -m lossaudit`, and the console script `lossaudit`: signals are handled before anything slow is imported."""

from lossaudit.cli import signals


def main() -> None:
    """Runs the command."""
    signals.listen()
    from lossaudit.cli.main import main as command

    command()


if __name__ == "__main__":
    main()
