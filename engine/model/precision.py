"""Decides what computes the losses: fp32, an approximation of it, or that with the top scored again ("exact-top").

int8 approximates fp32 on CPUs, fp16 on GPUs. The `Choice` depends on the user's wish and the plans of `tuning.py`.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from ..cpus import instructions, multiplies_int8
from ..errors import LossAuditError, Option, Part
from ..scores.exact_top import SAMPLE
from . import backends, tuning
from .bundle import Bundle
from .encoding import Encoded
from .tuning import Plan

PRECISIONS = ("auto", "fp32", "int8", "fp16", "exact-top")
"""Precisions that may be asked for."""
TOP = 500
"""Rows of the ranking that are exact by default: what the tutorial hands to a person."""
_NEAR_THE_TOP = 1.6
"""Rows that exact-top scores again per row asked for, as seen on AG News (docs/design.md)."""
_SPEEDUP = 2.0
"""Speedup by int8 and fp16 that is assumed where nothing was measured."""
_NOT_THERE: dict[str, tuple[Part, ...]] = {
    "int8": (
        "ONNX Runtime's CUDA provider has no kernel for the int8 graphs' products; use fp16, or ",
        Option("provider", backends.CPU),
    ),
    "fp16": ("CPUs would compute it in fp32; it is for ", Option("provider", backends.CUDA)),
}
"""Why a precision isn't offered where the other one is."""
_EXPORTED_WITHOUT = {"int8": "it was exported without one", "fp16": "it was exported without the option fp16"}


@dataclass(frozen=True)
class Wish:
    """What the user asks for."""

    precision: str = "auto"
    """One of `PRECISIONS`."""
    top: int | None = None
    """Rows of the ranking that must be exact under exact-top."""
    provider: str = "auto"
    """A backend's name, or "auto": CUDA where it can be used, else the fastest."""
    cpus: int = 1
    """Number of CPUs that may be used."""


@dataclass(frozen=True)
class Choice:
    """What computes the losses of one audit."""

    precision: str
    """fp32, int8, fp16 or exact-top."""
    first: Plan
    """The plan that scores every row."""
    again: Plan | None
    """The plan that scores the top again, under exact-top."""
    top: int
    """Rows of the ranking that are exact under exact-top."""
    why: str
    """The reason, as half a sentence for the user."""

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """From what `to_dict` gave. Raises KeyError or TypeError for something else."""
        again = data["again"]
        return cls(**{**data, "first": Plan(**data["first"]), "again": again and Plan(**again)})


def choose(bundle: Bundle, wish: Wish, rows: int, sample: Encoded | None = None) -> Choice:
    """Chooses what computes the losses of an audit of so many rows.

    sample: tokens of some rows to measure on, None to measure nothing. Raises LossAuditError if the wish can't be met.
    """
    precision, provider = wish.precision, wish.provider
    if provider == "auto" and backends.cuda_works(bundle.file_of("fp32")):
        provider = backends.CUDA

    def plan(of: str) -> Plan | None:
        if sample is None:
            return tuning.default_plan(bundle, of, provider, wish.cpus)
        return tuning.measured_plan(bundle, of, provider, wish.cpus, sample)

    top, other = min(wish.top or TOP, rows), approximation(provider)
    _check_wish(precision, other)
    approximate = None if precision == "fp32" else plan(other)
    if precision == other and approximate is not None:
        return Choice(other, approximate, None, top, "as asked")
    if approximate is None and provider == backends.OPENVINO:
        raise LossAuditError(
            f"openvino only runs int8, and {_without(bundle, other, provider)}; use ", Option("provider", backends.CPU)
        )
    if approximate is None and precision in (other, "exact-top"):
        raise LossAuditError(
            Option("precision", precision),
            f" isn't available: {_without(bundle, other, provider)}",
            *_how_to_have(bundle, other),
        )
    fp32 = plan("fp32")
    if fp32 is None:
        raise LossAuditError(
            f"{bundle.folder} has no fp32 graph for ", Option("provider", provider), "; export the model again"
        )
    if precision == "fp32":
        return Choice("fp32", fp32, None, top, "as asked")
    if approximate is None:
        return Choice("fp32", fp32, None, top, _without(bundle, other, provider))
    if precision == "exact-top":
        return Choice("exact-top", approximate, fp32, top, f"the top {top} as in fp32")
    return choice_by_speed(other, approximate, fp32, top, rows, instructions())


def approximation(provider: str) -> str:
    """The precision that approximates fp32 on a backend (or, for "auto", on CPUs)."""
    return "fp16" if provider == backends.CUDA else "int8"


def _check_wish(precision: str, approximate: str) -> None:
    """Raises LossAuditError for a precision that isn't known, or isn't offered beside this approximate one."""
    if precision not in PRECISIONS:
        raise LossAuditError(Option("precision", precision), f" isn't known; use one of {', '.join(PRECISIONS)}")
    if precision in _NOT_THERE and precision != approximate:
        raise LossAuditError(Option("precision", precision), " isn't available: ", *_NOT_THERE[precision])


def choice_by_speed(
    precision: str, approximate: Plan, fp32: Plan, top: int, rows: int, has: Mapping[str, bool] | None
) -> Choice:
    """exact-top if the measured speeds say that it saves time over so many rows, else fp32.

    precision: that of the approximate plan. has: the CPU's `instructions`, which decide where nothing was measured.
    """
    if approximate.tokens_per_second and fp32.tokens_per_second:
        speedup = approximate.tokens_per_second / fp32.tokens_per_second
    else:
        speedup = _SPEEDUP if precision != "int8" or multiplies_int8(has) else 1.0
    if speedup <= 1.0:
        return Choice("fp32", fp32, None, top, f"{precision} is no faster here")
    if rows / speedup + _NEAR_THE_TOP * top + SAMPLE >= rows:
        return Choice("fp32", fp32, None, top, f"too few rows for {precision} to save time with an exact top {top}")
    why = f"{precision} is {speedup:.1f} × as fast here; the top {top} as in fp32"
    return Choice("exact-top", approximate, fp32, top, why)


def _without(bundle: Bundle, precision: str, provider: str) -> str:
    """Why there is no plan for a precision that approximates fp32 on a backend, in half a sentence."""
    if any(graph.precision == precision for graph in bundle.manifest.graphs):
        return f"none of the bundle's {precision} graphs is asked for or runs with the provider {provider}"
    reasons = [f"{name}: {why}" for name, why in bundle.manifest.left_out.items() if name.startswith(precision)]
    return f"the bundle has no {precision} graph; {'; '.join(reasons) or _EXPORTED_WITHOUT[precision]}"


def _how_to_have(bundle: Bundle, precision: str) -> tuple[Part, ...]:
    """How to make a bundle with this precision, unless export has left it out for a reason."""
    if precision != "fp16" or any(name.startswith(precision) for name in bundle.manifest.left_out):
        return ()
    return "; export the model again with ", Option("fp16", True)
