"""What the commands print with: results go to standard output, progress to standard error."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from rich.console import Console, ConsoleOptions, RenderableType
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
from rich.segment import Segment
from rich.text import Text

from .wording import harmless


class _Console(Console):
    """A console that prints file names, labels and texts of strangers, which must not control the terminal."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(harmless(segment.text), segment.style)


# No markup: in a label, "[red]" is plain text.
out = _Console(highlight=False, markup=False)
err = _Console(stderr=True, highlight=False, markup=False)


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


def warn(text: str) -> None:
    """Prints a warning, which is one line however long."""
    err.print(f"Warning: {text}", style="yellow", soft_wrap=True)


def warn_of_unknown(fields: Iterable[str]) -> None:
    """Warns of fields of a file, if there are any."""
    if names := ", ".join(map(printable, fields)):
        warn(f"fields that mean nothing here were left out: {names}")


def counted(number: int, what: str) -> str:
    """`1 record`, `1,200 records`."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def seconds(value: float) -> str:
    """A duration for people to read: `8.2 s`, `3 min 05 s`."""
    if value < 100:
        return f"{value:.1f} s"
    return f"{int(value) // 60} min {int(value) % 60:02d} s"


def printable(text: str) -> str:
    """A text in one line, without what controls the terminal."""
    return harmless(" ".join(text.split()))


class _RowsPerSecond(TextColumn):
    def __init__(self) -> None:
        super().__init__("")

    def render(self, task: RichTask) -> Text:
        speed = task.finished_speed or task.speed
        return Text("– rows/s" if speed is None else f"{speed:,.0f} rows/s")
