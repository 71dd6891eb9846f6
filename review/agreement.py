"""How far people agree who decided the same rows: percentage agreement, Cohen's κ and Krippendorff's α.

κ, for two people, is Cohen's (1960, Educational and Psychological Measurement 20, 37-46); α, for more, Krippendorff's
(2004, Content Analysis, chapter 11). Intervals are Wilson's for shares of two people, else bootstrapped.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lossaudit.engine.table.identity import given_key
from lossaudit.engine.table.losses import LossesTable

from .estimate import wrong_share
from .label_sets import names_of
from .store import ADJUDICATION, Decision, DecisionStore

_RESAMPLES = 2000
_SEED = 1
_Floats = NDArray[np.float64]
Answer = str | tuple[str, str]
"""What a person decided: the label that they found right, or a verdict without one."""
Pair = tuple[str, str]
"""Given and predicted label."""


@dataclass(frozen=True)
class Measure:
    """A figure with a 95 % interval; `low` and `high` are None where it has none."""

    value: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class PairAgreement:
    """The agreement about the rows of one given and one predicted label."""

    given: str
    predicted: str
    rows: int
    share: Measure


@dataclass(frozen=True)
class Agreement:
    """How far people agree about the rows that two or more of them decided."""

    people: tuple[str, ...]
    rows: int
    share: Measure
    """Share of the pairs of people who decided alike, averaged over the rows."""
    kappa: Measure | None
    """Of two people; None for more, and where all answers are the same."""
    alpha: Measure | None
    """Of more than two people; None where all answers are the same."""
    pairs: tuple[PairAgreement, ...]
    """By given and predicted label, those with most rows first."""


def agreement_of(losses: LossesTable) -> Agreement | None:
    """The agreement about the rows of a losses file; None if no row was decided by two people.

    Raises LossAuditError as the store does.
    """
    with DecisionStore.open(losses, create=False) as store:
        histories = store.histories()
    pairs: dict[int, Pair] = {}
    for batch in losses.batches(["id", "label_name", "prediction_name"]):
        rows = (row for row in batch.to_pylist() if row["id"] in histories)
        pairs |= {row["id"]: (row["label_name"] or "", row["prediction_name"] or "") for row in rows}
    return agreement_among(histories, pairs.__getitem__, losses.is_multi_label)


def agreement_among(
    histories: Mapping[int, Sequence[Decision]], pair: Callable[[int], Pair], sets: bool
) -> Agreement | None:
    """The agreement about some rows. pair: gives a row's given and predicted label; sets: whether labels are sets."""
    answers = answers_of(histories, sets)
    return agreement(answers, {row: pair(row) for row in answers})


def answers_of(histories: Mapping[int, Sequence[Decision]], sets: bool) -> dict[int, dict[str, Answer]]:
    """What each person decided first about the rows that two or more people decided, adjudicators aside.

    Whoever decides a row again may have seen what others decided, so that only the first decision is independent.
    sets: whether labels are sets.
    """
    answers: dict[int, dict[str, Answer]] = {}
    for row, made in histories.items():
        first: dict[str, Answer] = {}
        for one in made:
            if one.origin != ADJUDICATION:
                first.setdefault(one.annotator, _answer(one, sets))
        if len(first) > 1:
            answers[row] = first
    return answers


def agreement(answers: Mapping[int, Mapping[str, Answer]], pairs: Mapping[int, Pair]) -> Agreement | None:
    """answers: by row and person, at least two for each row; pairs: given and predicted label by row."""
    if not answers:
        return None
    people = sorted({name for row in answers.values() for name in row})
    by_pair = defaultdict(list)
    for row, given in answers.items():
        by_pair[pairs[row]].append(given)
    most = sorted(by_pair.items(), key=lambda item: (-len(item[1]), item[0]))
    rows = list(answers.values())
    two = len(people) == 2
    return Agreement(
        people=tuple(people),
        rows=len(rows),
        share=_share(rows),
        kappa=cohens_kappa([(row[people[0]], row[people[1]]) for row in rows]) if two else None,
        alpha=None if two else krippendorffs_alpha([list(row.values()) for row in rows]),
        pairs=tuple(PairAgreement(*pair, len(given), _share(given)) for pair, given in most),
    )


def cohens_kappa(answers: Sequence[tuple[Answer, Answer]]) -> Measure | None:
    """Agreement of two people beyond chance, (pₒ − pₑ) / (1 − pₑ), 1 for all alike; None if pₑ is 1."""
    counted = Counter(answers)
    place = _places(answer for pair in counted for answer in pair)
    kinds = np.array([(place[one], place[other]) for one, other in counted])
    first, second = (np.eye(len(place))[kinds[:, side]] for side in (0, 1))
    same = (kinds[:, 0] == kinds[:, 1]).astype(np.float64)

    def kappa(weights: _Floats) -> _Floats:
        total = weights.sum(axis=1)
        observed = weights @ same / total
        expected = ((weights @ first) * (weights @ second)).sum(axis=1) / total**2
        return _ratio(observed - expected, 1 - expected)

    return _defined(_measured(kappa, list(counted.values())))


def krippendorffs_alpha(answers: Sequence[Sequence[Answer]]) -> Measure | None:
    """Agreement of any number of people beyond chance, 1 − Dₒ / Dₑ; None if all answers are the same.

    answers: those about each row, at least two.
    """
    counted = Counter(tuple(sorted(Counter(row).items(), key=repr)) for row in answers)
    place = _places(answer for row in counted for answer, _ in row)
    kinds = np.zeros((len(counted), len(place)))
    for number, row in enumerate(counted):
        for answer, times in row:
            kinds[number, place[answer]] = times
    sizes = kinds.sum(axis=1)
    differing = (sizes**2 - (kinds**2).sum(axis=1)) / (sizes - 1)

    def alpha(weights: _Floats) -> _Floats:
        values = weights @ kinds
        total = values.sum(axis=1)
        expected = (total**2 - (values**2).sum(axis=1)) / (total - 1)
        return 1 - _ratio(weights @ differing, expected)

    return _defined(_measured(alpha, list(counted.values())))


def _share(rows: Sequence[Mapping[str, Answer]]) -> Measure:
    """The share of pairs of people who agree, averaged over rows; Wilson's interval if each row has one pair."""
    alike = [_alike(list(row.values())) for row in rows]
    estimate = wrong_share(round(sum(alike)), len(alike)) if all(len(row) == 2 for row in rows) else None
    if estimate is not None:
        return Measure(estimate.share, estimate.low, estimate.high)
    counted = Counter(alike)
    kinds = np.array(list(counted))
    return _measured(lambda weights: weights @ kinds / weights.sum(axis=1), list(counted.values()))


def _alike(answers: Sequence[Answer]) -> float:
    """The share of pairs of answers that are the same."""
    number = len(answers)
    return sum(times * (times - 1) for times in Counter(answers).values()) / (number * (number - 1))


def _measured(statistic: Callable[[_Floats], _Floats], counts: Sequence[int]) -> Measure:
    """A statistic of rows of several kinds, with the interval between the percentiles of a bootstrap over rows.

    counts: rows of each kind; statistic: for (m, kinds) counts of rows, the (m,) values, NaN where there is none.
    """
    (value,) = statistic(np.array([counts], dtype=np.float64))
    total = sum(counts)
    drawn = np.random.default_rng(_SEED).multinomial(total, np.array(counts) / total, size=_RESAMPLES)
    values = statistic(drawn.astype(np.float64))
    values = values[~np.isnan(values)]
    if len(values) < _RESAMPLES / 2:  # of very few rows, most draws hold one kind alone
        return Measure(float(value), None, None)
    low, high = np.quantile(values, [0.025, 0.975])
    return Measure(float(value), float(min(low, value)), float(max(high, value)))


def _defined(measure: Measure) -> Measure | None:
    return None if np.isnan(measure.value) else measure


def _ratio(above: _Floats, below: _Floats) -> _Floats:
    """NaN where the lower part is zero, but for rounding."""
    is_defined = np.abs(below) > 1e-12
    return np.where(is_defined, above / np.where(is_defined, below, 1.0), np.nan)


def _places(answers: Iterable[Answer]) -> dict[Answer, int]:
    return {answer: place for place, answer in enumerate(dict.fromkeys(answers))}


def _answer(decision: Decision, sets: bool) -> Answer:
    if decision.label is not None:
        return given_key(names_of(decision.label)) if sets else decision.label
    return decision.given if decision.verdict == "keep" else ("", decision.verdict)
