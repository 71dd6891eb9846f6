"""What the commands print with: results go to standard output, progress to standard error."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Task as RichTask
from rich.text import Text

# No markup: what is printed includes file names, labels and texts, in which "[red]" is plain text.
out = Console(highlight=False, markup=False)
err = Console(stderr=True, highlight=False, markup=False)


@contextmanager
def rows_bar() -> Iterator[Callable[[str, int], Callable[[int], None]]]:
    """Progress bars with rows/s and the time left. Yields a function that begins a stage of so many rows and returns
    the function that reports rows as done; a stage that begins again extends its bar."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        _RowsPerSecond(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=err, disable=not err.is_terminal, transient=True) as progress:
        tasks: dict[str, TaskID] = {}

        def begin(stage: str, rows: int) -> Callable[[int], None]:
            if stage in tasks:
                progress.update(tasks[stage], total=(progress.tasks[tasks[stage]].total or 0) + rows)
            else:
                tasks[stage] = progress.add_task(stage, total=rows)
            return lambda done: progress.advance(tasks[stage], done)

        yield begin


@contextmanager
def steps(what: str) -> Iterator[Callable[[str], None]]:
    """A spinner. Yields the function that reports which step begins; off a terminal, each step is printed as a line."""
    with err.status(Text(f"{what} …")) as status:

        def begin(step: str) -> None:
            if err.is_terminal:
                status.update(Text(f"{what}: {step} …"))
            else:
                err.print(f"{what}: {step}")

        yield begin


def seconds(value: float) -> str:
    """A duration for people to read: `8.2 s`, `3 min 05 s`."""
    if value < 100:
        return f"{value:.1f} s"
    return f"{int(value) // 60} min {int(value) % 60:02d} s"


def printable(text: str) -> str:
    """A text in one line, with a dot for every character that controls the terminal or the direction of others."""
    return "".join(c if c.isprintable() else "·" for c in " ".join(text.split()))


class _RowsPerSecond(TextColumn):
    def __init__(self) -> None:
        super().__init__("")

    def render(self, task: RichTask) -> Text:
        speed = task.finished_speed or task.speed
        return Text("– rows/s" if speed is None else f"{speed:,.0f} rows/s")
