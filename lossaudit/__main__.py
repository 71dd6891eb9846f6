"""`python -m lossaudit` is the `lossaudit` command."""

from lossaudit.cli.main import main

main()
