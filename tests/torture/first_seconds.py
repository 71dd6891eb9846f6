"""Presses Ctrl-C in the first moments of a command, while its libraries are imported; prints what came of each.

python -m tests.torture.first_seconds BUNDLE DATASET
"""

import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import click


@click.command()
@click.argument("bundle")
@click.argument("dataset")
@click.option("--tries", default=200, show_default=True, help="Interruptions, shared among the commands.")
@click.option("--latest", default=1.5, show_default=True, help="Seconds after the start of the latest ones.")
@click.option("--seed", default=0, show_default=True, help="Another seed tries other moments.")
def main(bundle: str, dataset: str, tries: int, latest: float, seed: int) -> None:
    """Interrupt `--version`, `--help` and an audit at random moments."""
    # A shell's job in the background ignores it, and all that it starts.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    draw, seen, wrong = random.Random(seed), Counter[str](), 0
    with tempfile.TemporaryDirectory() as folder:
        audit = ["audit", bundle, dataset, "-o", f"{folder}/losses.csv", "--no-tune", "--restart"]
        commands = [["--version"], ["--help"], audit]
        for number in range(tries):
            outcome = interrupt(commands[number % len(commands)], draw.uniform(0, latest))
            seen[outcome] += 1
            wrong += outcome.startswith("wrong")
    for outcome, count in seen.most_common():
        click.echo(f"{count:4} {outcome}")
    click.echo(f"{tries - wrong} of {tries} were clean")
    sys.exit(wrong > 0)


def interrupt(arguments: list[str], after_s: float) -> str:
    """What became of a command that was interrupted after so many seconds."""
    script = str(Path(sys.executable).with_name("lossaudit"))
    process = subprocess.Popen([script, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    time.sleep(after_s)
    process.send_signal(signal.SIGINT)
    try:
        _, said = process.communicate(timeout=60)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return "wrong: it goes on"
    code, lines = process.returncode, [line for line in said.splitlines() if line]
    last = lines[-1] if lines else ""
    if "Traceback" in said or "ignored in" in said or code not in (0, 130, -signal.SIGINT):
        place = next((line.split('"')[1] for line in reversed(lines) if line.startswith('  File "')), "")
        return f"wrong: {code}, {last[:100]} {place}"
    if code == 130 and "nterrupted" not in last:
        return f"wrong: 130 without a word, {last[:100]}"
    return {0: "finished before", 130: "130 and a line"}.get(code, "ended by the signal, before Python or after it")


if __name__ == "__main__":
    main()
