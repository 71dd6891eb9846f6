"""People's decisions about a losses file, as a report shows them: counts and a share."""

from collections import Counter
from dataclasses import dataclass

from lossaudit.engine.errors import LossAuditError
from lossaudit.engine.table.losses import LossesTable

from ..estimate import Estimate, wrong_share
from ..sampling import SampledShare, read_sample
from ..store import VERDICTS, DecisionStore, store_path
from .figures import Missing


@dataclass(frozen=True)
class Reviewed:
    """The decisions that count, one per row."""

    rows: int
    verdicts: dict[str, int]
    """Rows by verdict, for all of VERDICTS."""
    wrong: Estimate | None
    """Share of wrong labels among the rows that were relabelled or kept; None without any."""
    sampled: SampledShare | None
    """What those of a random sample say of all rows; None where no sample was drawn."""


def reviewed(losses: LossesTable) -> Reviewed | Missing:
    """The decisions in the store beside a losses file, or why there are none."""
    if not store_path(losses.path).is_file():
        return Missing("Nobody has reviewed these rows yet. The command “lossaudit review” opens a page for it.")
    try:
        with DecisionStore.open(losses, create=False) as store:
            decisions = store.decisions()
        sample = read_sample(losses)
    except LossAuditError as error:
        return Missing(f"The decisions can't be read: {error}.")
    counts = Counter(decision.verdict for decision in decisions.values())
    if not counts:
        return Missing("There are no decisions in the store yet.")
    wrong = wrong_share(counts["relabel"], counts["relabel"] + counts["keep"])
    sampled = sample.estimate(decisions) if sample else None
    return Reviewed(len(decisions), {verdict: counts[verdict] for verdict in VERDICTS}, wrong, sampled)
