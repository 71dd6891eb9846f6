"""Which label is meant by a name that a person or a program wrote."""

from collections.abc import Sequence

from lossaudit.engine.labels.alignment import spelling_key


def meant(label: str, names: Sequence[str]) -> str | None:
    """The name that is meant: the same one, or the only one that differs in spaces around it, or in its spelling."""
    if label in names:
        return label
    for written in (str.strip, spelling_key):
        close = {name for name in names if written(name) == written(label)}
        if close:
            return close.pop() if len(close) == 1 else None
    return None
