"""The decisions about a losses file while an audit or a fit makes that file anew."""

from pathlib import Path

from lossaudit.engine.table.losses import LossesTable

from .store import DecisionStore, Gone, store_path


def decided_before(losses_path: Path) -> int:
    """How many examples of a losses file are decided, before it is made anew.

    A store of an older version learns its texts here, while the file still has them. Raises LossAuditError if the
    file or the store can't be read.
    """
    if not losses_path.exists() or not store_path(losses_path).exists():
        return 0
    with DecisionStore.open(LossesTable.open(losses_path), create=False) as store:
        return len(store.decisions()) + len(store.gone())


def decided_after(losses_path: Path) -> tuple[int, list[Gone]]:
    """How many decided examples a new losses file has, and the decisions about those that it lacks.

    Raises LossAuditError as `decided_before` does.
    """
    with DecisionStore.open(LossesTable.open(losses_path), create=False) as store:
        return len(store.decisions()), store.gone()
