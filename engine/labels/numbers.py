"""Labels that are numbers: which number each one is, and whether they count as the model's class indices do.

A dataset's labels and the model's label names come in; where the numbers are another numbering, an error goes out.
"""

import re
from collections.abc import Iterable, Mapping, Sequence

from ..errors import LossAuditError, Option
from .given import Key, shown, shown_list

_NUMBER = re.compile(r"\s*([+-]?\d{1,19})(?:\.0*)?\s*")
_TRUTHS = {"false": 0, "true": 1}
_MAPPED_AT_ONCE = 12
"""Labels that the advice on a label map names one by one."""


class NumberingError(LossAuditError):
    """Numbers that aren't the model's class indices, or a label map that leaves some of them out."""


def number_text(name: str) -> str | None:
    """The number that a name is, as "+1" or "1" for "1.0" too; None for another name."""
    found = _NUMBER.fullmatch(name)
    return found[1] if found else None


def numbers_of(names: Mapping[Key, str]) -> dict[Key, int]:
    """The numbers of those names that are some; where all are false and true, 0 and 1."""
    if are_truths(names.values()):
        return {key: _TRUTHS[_plain(name)] for key, name in names.items()}
    return {key: int(text) for key, name in names.items() if (text := number_text(name)) is not None}


def are_numbers(names: Iterable[str]) -> bool:
    """Whether all names are whole numbers."""
    return all(number_text(name) is not None for name in names)


def are_truths(names: Iterable[str]) -> bool:
    """Whether all names are false and true."""
    return all(_plain(name) in _TRUTHS for name in names)


def _plain(name: str) -> str:
    return name.strip().casefold()


def numbered(model_labels: tuple[str, ...]) -> dict[str, int]:
    """The place of each of the model's labels by its number, where all are numbers or LABEL_n, each another."""
    texts = [number_text(re.sub(r"LABEL_(?=\d)", "", label, flags=re.IGNORECASE)) for label in model_labels]
    places = {text: index for index, text in enumerate(texts) if text is not None}
    return places if len(places) == len(model_labels) else {}


def check_numbering(
    names: Mapping[Key, str], class_names: tuple[str, ...] | None, mapped: Iterable[Key], model_labels: tuple[str, ...]
) -> None:
    """Raises NumberingError where labels that would go by index are numbered otherwise, unless all of them are mapped.

    names: all labels of the dataset. Those that are no numbers don't matter, and −1 alone beside others is no label.
    """
    numbers, n = numbers_of(names), len(model_labels)
    everywhere = {*numbers.values(), *numbers_of(dict(enumerate(class_names or ()))).values()}
    if are_truths(names.values()):
        what = f"the labels are false and true, but the model has {n} labels"
        order, theirs = None, everywhere if n != 2 else set()
    else:
        what = "the labels are numbers from {low} to {high}, but the model's are numbered from 0 to {last}"
        order, theirs = _another(everywhere, n)
    left = sorted((key for key in numbers.keys() - {*mapped} if numbers[key] in theirs), key=numbers.__getitem__)
    if not left:
        return
    what = what.format(low=min(theirs), high=max(theirs), last=n - 1)
    if numbers.keys() & {*mapped}:
        what += f", and the label map says nothing of {shown_list(names[key] for key in left)}"
    if order is not None and len(left) <= _MAPPED_AT_ONCE:
        how = "Say which each of them is; where they are in the model's order, with "
        advice = {names[key]: model_labels[order.index(numbers[key])] for key in left}
    else:
        how, advice = "Say which each of them is, such as ", {names[left[0]]: model_labels[0]}
    raise NumberingError(f"{what}. Model: {shown_list(model_labels)}. {how}", Option("label_map", advice))


def check_rest(
    names: Mapping[Key, str], mapped: Mapping[Key, int], places: Mapping[Key, int], model_labels: tuple[str, ...]
) -> None:
    """Raises NumberingError where a label map contradicts the class indices by which the other labels would go.

    places: those indices. A map that gives an index another label, or a negative number an index's own, isn't about
    this label alone.
    """
    left = {key: place for key, place in places.items() if key not in mapped}
    numbers = numbers_of(names)
    for key, place in mapped.items():
        contrary = places.get(key, place) != place or (numbers.get(key, 0) < 0 and place in left.values())
        if contrary and left:
            raise NumberingError(
                f"the label map says that {shown(names[key])} is {shown(model_labels[place])}, so the labels aren't "
                f"the model's indices; say which each of {shown_list(names[other] for other in left)} is, too, with ",
                Option("label_map"),
            )


def _another(numbers: set[int], n: int) -> tuple[Sequence[int] | None, set[int]]:
    """Those of a numbering that isn't 0 to n − 1, with their order in the model if that can be told; else none."""
    low, high = min(numbers, default=0), max(numbers, default=0)
    counted = numbers - {-1}  # as `datasets` marks an example without a label
    if numbers == {-1, 1}:
        return ((-1, 1) if n == 2 else None), numbers
    if len(numbers) == n and high - low == n - 1 and low != 0:
        return range(low, high + 1), numbers
    if sum(number < 0 for number in numbers) > 1:
        return None, numbers
    if n in counted and min(counted) >= 1:
        return range(1, n + 1), {number for number in counted if number <= n}
    return None, set()
