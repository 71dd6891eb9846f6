"""Decides what computes the losses: fp32, int8, or int8 with the top scored again in fp32 ("exact-top").

The user's wish and the plans of `tuning.py` come in, a `Choice` goes out.
"""

from dataclasses import dataclass
from typing import Any

from lossaudit.engine import backends, tuning
from lossaudit.engine.bundle import Bundle
from lossaudit.engine.cpus import has_int8_instructions
from lossaudit.engine.encoding import Encoded
from lossaudit.engine.errors import LossAuditError
from lossaudit.engine.exact_top import SAMPLE
from lossaudit.engine.tuning import Plan

TOP = 500
"""How many rows of the ranking are exact where the user doesn't say: what the tutorial hands to a person."""
_NEAR_THE_TOP = 1.6
"""Rows that exact-top scores again for each row asked for, as seen on AG News (docs/design.md)."""
_INT8_SPEEDUP = 2.0
"""Taken where nothing was measured."""


@dataclass(frozen=True)
class Choice:
    """What computes the losses of one audit."""

    precision: str
    """fp32, int8 or exact-top."""
    first: Plan
    """What scores every row."""
    again: Plan | None
    """What scores the top again, under exact-top."""
    top: int
    """Rows of the ranking that are exact under exact-top."""
    why: str
    """Half a sentence for the user."""


def choice_from(data: dict[str, Any]) -> Choice:
    """A choice from what `dataclasses.asdict` made of it."""
    again = data["again"]
    return Choice(**{**data, "first": Plan(**data["first"]), "again": again and Plan(**again)})


def choose(
    bundle: Bundle, precision: str, top: int | None, provider: str, cpus: int, rows: int, sample: Encoded | None
) -> Choice:
    """Chooses for an audit of so many rows.

    provider: a backend's name, or "auto": CUDA where it can be used, else the fastest. sample: tokens of some
    rows to measure on, None to measure nothing. Raises LossAuditError if the wish can't be met.
    """
    if provider == "auto" and backends.cuda_works(bundle.file_of("fp32")):
        provider = backends.CUDA

    def plan(of: str) -> Plan | None:
        if sample is None:
            return tuning.default_plan(bundle, of, provider, cpus)
        return tuning.measured_plan(bundle, of, provider, cpus, sample)

    top = min(top or TOP, rows)
    int8 = None if precision == "fp32" else plan("int8")
    if precision == "int8" and int8 is not None:
        return Choice("int8", int8, None, top, "as asked")
    if int8 is None and provider == backends.OPENVINO:
        raise LossAuditError(f"openvino runs int8 alone, and {_no_int8(bundle, provider)}; use --provider cpu")
    if int8 is None and precision in ("int8", "exact-top"):
        raise LossAuditError(f"--precision {precision} can't be had: {_no_int8(bundle, provider)}")
    fp32 = plan("fp32")
    if fp32 is None:
        raise LossAuditError(f"{bundle.folder} has no fp32 graph for --provider {provider}; export the model again")
    if precision == "fp32":
        return Choice("fp32", fp32, None, top, "as asked")
    if int8 is None:
        return Choice("fp32", fp32, None, top, _no_int8(bundle, provider))
    if precision == "exact-top":
        return Choice("exact-top", int8, fp32, top, f"the top {top} as fp32 gives it")
    return choice_by_speed(int8, fp32, top, rows)


def choice_by_speed(int8: Plan, fp32: Plan, top: int, rows: int) -> Choice:
    """exact-top where the measured speeds say that it saves time over so many rows, else fp32."""
    if int8.tokens_per_second and fp32.tokens_per_second:
        speedup = int8.tokens_per_second / fp32.tokens_per_second
    else:
        speedup = _INT8_SPEEDUP if has_int8_instructions() else 1.0
    if speedup <= 1.0:
        return Choice("fp32", fp32, None, top, "int8 is no faster on this CPU")
    if rows / speedup + _NEAR_THE_TOP * top + SAMPLE >= rows:
        return Choice("fp32", fp32, None, top, f"too few rows for int8 to save time with an exact top {top}")
    return Choice("exact-top", int8, fp32, top, f"int8 is {speedup:.1f} × as fast here; the top {top} as fp32 gives it")


def _no_int8(bundle: Bundle, provider: str) -> str:
    """Why there is no plan for int8, in half a sentence."""
    if any(graph.precision == "int8" for graph in bundle.manifest.graphs):
        return f"none of the bundle's int8 graphs is asked for or runs with --provider {provider}"
    reasons = [f"{name}: {reason}" for name, reason in bundle.manifest.left_out.items()]
    return f"the bundle has no int8 graph; {'; '.join(reasons) or 'it was exported without'}"
