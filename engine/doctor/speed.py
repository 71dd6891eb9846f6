"""Measures how fast a bundle runs here: each graph on each backend, for a few seconds, on built-in texts."""

from dataclasses import dataclass, replace

from ..cpus import instructions
from ..errors import LossAuditError, Wording, brief, in_library
from ..model import backends, tuning
from ..model.bundle import Bundle
from ..model.encoding import Encoded, TextEncoder
from ..model.precision import TOP, Choice, approximation, choice_by_speed
from ..model.tuning import Plan

SECONDS = 5.0
"""Time for measuring, shared by all graphs and backends; loading the graphs comes on top."""
_MANY_ROWS = 100_000
"""Number of rows for which to say what `audit` would choose."""
_WORDS = (8, 16, 24, 32, 48, 64, 96, 160)
"""Lengths of the texts in words: a question, headlines, short news, a review."""
_PARAGRAPH = (
    "The committee that looked into last winter's delays met again on Thursday, and nobody expected the answer to be "
    "simple. Two of the older bridges had been closed for repairs at the same time, the company that runs the trains "
    "was short of drivers, and a storm took down the power lines near the coast just before the holidays. Passengers "
    "who had paid for a seat stood for three hours in the cold; some gave up and went home by taxi. The chairwoman "
    "said that each cause alone would have been harmless, but that nobody had been asked to look at all of them "
    "together. She wants one office to keep a calendar of every repair, with the right to move them, and she wants "
    "the money for tickets to be returned without a form. The operator agrees with the first and calls the second too "
    "costly, at about 4 million a year. A vote is due in March, when the new timetable is printed anyway."
)


@dataclass(frozen=True)
class Speed:
    """One graph on one backend."""

    graph: str
    precision: str
    backend: str
    tokens_per_second: float | None
    """None if it failed."""
    texts_per_second: float | None
    """Built-in texts per second."""
    fault: str | None


@dataclass(frozen=True)
class SpeedTest:
    """What was measured, and what `audit` would make of it."""

    texts: int
    """Number of texts measured on."""
    tokens_per_text: float
    """Tokens per text, on average."""
    cpus: int
    speeds: tuple[Speed, ...]
    choice: Choice | None
    """What the precision auto would choose for 100,000 rows by these figures; None if no fp32 graph runs.

    An audit measures again, on its own rows.
    """


def speed_test(bundle: Bundle, cpus: int, seconds: float, *, worded: Wording = in_library) -> SpeedTest:
    """Measures every graph × backend that can run here. Raises LossAuditError if the tokenizer can't be used.

    worded: as in `diagnose`.
    """
    sample = built_in_sample(bundle)
    usable = backends.available()
    pairs = [(graph, name) for graph in bundle.manifest.graphs for name in graph.backends if name in usable]
    plans = []
    speeds = []
    for graph, name in pairs:
        plan = tuning.starting_plan(graph.name, name, cpus)
        measured, fault = _measured(bundle, plan, sample, seconds / len(pairs), worded)
        plans.append(measured)
        tokens = measured.tokens_per_second
        texts = tokens / float(sample.lengths.mean()) if tokens is not None else None
        speeds.append(Speed(graph.name, graph.precision, name, tokens, texts, fault))
    return SpeedTest(len(sample.lengths), float(sample.lengths.mean()), cpus, tuple(speeds), _choice(bundle, plans))


def built_in_sample(bundle: Bundle) -> Encoded:
    """The tokens of built-in texts of typical lengths, cut at the model's maximum."""
    manifest = bundle.manifest
    encoder = TextEncoder(bundle.tokenizer, manifest.max_length, manifest.pad_id, manifest.truncation_side)
    words = _PARAGRAPH.split()
    starts = range(0, len(words), 10)
    return encoder.encode([" ".join((words[start:] + words)[:length]) for start in starts for length in _WORDS])


def _measured(bundle: Bundle, plan: Plan, sample: Encoded, seconds: float, worded: Wording) -> tuple[Plan, str | None]:
    try:
        runner = backends.load(plan.backend, bundle.file_of(plan.graph), plan.workers, plan.threads)
        speed = tuning.tokens_per_second(runner, plan, sample, seconds)
    except LossAuditError as error:
        return plan, worded(error.parts)
    except Exception as error:  # whatever the runtime raises
        return plan, brief(error)
    return replace(plan, tokens_per_second=speed), None


def _choice(bundle: Bundle, plans: list[Plan]) -> Choice | None:
    """The choice that `precision.choose` would make with these speeds: CUDA where it runs, else the CPU."""
    ran = [plan for plan in plans if plan.tokens_per_second is not None]
    on_gpu = any(plan.backend == backends.CUDA for plan in ran)
    ran = [plan for plan in ran if (plan.backend == backends.CUDA) == on_gpu]

    def fastest(precision: str) -> Plan | None:
        of_it = [plan for plan in ran if bundle.graph(plan.graph).precision == precision]
        return max(of_it, key=lambda plan: plan.tokens_per_second or 0.0, default=None)

    other = approximation(backends.CUDA if on_gpu else backends.CPU)
    fp32, approximate = fastest("fp32"), fastest(other)
    if fp32 is None:
        return None
    if approximate is None:
        return Choice("fp32", fp32, None, TOP, f"no {other} graph runs here")
    return choice_by_speed(other, approximate, fp32, TOP, _MANY_ROWS, instructions())
