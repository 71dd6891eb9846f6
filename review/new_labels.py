"""Labels that people add to the model's: what may be one, and those of the decisions so far."""

from collections.abc import Iterable, Sequence

from lossaudit.engine.errors import LossAuditError
from lossaudit.engine.labels.alignment import spelling_key

from .store import Decision

_LONGEST = 100


def new_labels(decisions: Iterable[Decision], labels: Sequence[str]) -> list[str]:
    """The labels of decisions that the model doesn't have, sorted. labels: the model's."""
    return sorted({one.label for one in decisions if one.label is not None} - set(labels))


def checked_new(label: str, known: Iterable[str]) -> str:
    """A label as it is added; raises LossAuditError unless it is a name that no other label has.

    known: the model's labels, and those that were added already. A label that is one of them is no error.
    """
    named = {spelling_key(name): name for name in known}
    if not label.strip() or label != label.strip() or len(label) > _LONGEST:
        raise LossAuditError(f"a new label is a text of up to {_LONGEST} characters, without spaces around it")
    if named.get(spelling_key(label), label) != label:
        raise LossAuditError(f"there is a label {named[spelling_key(label)]!r} already")
    return label
