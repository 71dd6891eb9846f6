"""Is a row of a multi-label model best ranked by its worst label? Compares that with the sum over its labels.

    python -m bench.quality.multi_label

Texts with one to three labels are put together from AG News rows; one label of some of them is flipped. Losses are
those of a head for each label, out of fold, on MiniLM's states. Prints the average precision of the flipped rows by
each score.
"""

from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from sklearn.metrics import average_precision_score

from lossaudit.engine.scores.multi_label import binary_cross_entropy
from lossaudit.export.demo import encoder
from lossaudit.export.heads import LabelledStates, out_of_fold_logits

from .noise_data import mean_states, texts_and_labels

_WORDS = 25
"""Of each row, so that the encoder reads all of a text."""
_FOLDS = 5


@click.command()
@click.option("--texts", type=int, default=3000, show_default=True)
@click.option("--share", "shares", type=float, multiple=True, default=(0.05, 0.15), show_default=True)
@click.option("--seeds", type=int, default=3, show_default=True)
@click.option("--inputs", type=click.Path(path_type=Path), default=Path("../shared"), show_default=True)
def main(texts: int, shares: tuple[float, ...], seeds: int, inputs: Path) -> None:
    """Compare two scores of a row with several labels."""
    joined, labels = _join(*texts_and_labels("AG News", inputs), texts)
    states = mean_states(joined, encoder())
    table = Table("flipped", "by the worst label", "by the sum", title=f"{len(joined):,} texts, {seeds} seeds")
    for share in shares:
        found = []
        for seed in range(seeds):
            draw = np.random.default_rng(seed)
            flipped = draw.random(len(labels)) < share
            given = labels.copy()
            given[flipped, draw.integers(labels.shape[1], size=int(flipped.sum()))] ^= 1
            losses = binary_cross_entropy(_out_of_fold(states, given, seed), given)
            scores = (losses.max(axis=1), losses.sum(axis=1))
            found.append([average_precision_score(flipped, score) for score in scores])
        worst, total = np.mean(found, axis=0)
        table.add_row(f"{share:.0%}", f"{worst:.3f}", f"{total:.3f}")
    Console().print(table)


def _join(rows: list[str], classes: NDArray[np.int64], texts: int) -> tuple[list[str], NDArray[np.int64]]:
    """Texts of one to three random rows each, and their labels, (texts, classes) of 0 and 1."""
    draw = np.random.default_rng(0)
    order = iter(draw.permutation(len(rows)))
    joined, labels = [], np.zeros((texts, int(classes.max()) + 1), dtype=np.int64)
    for place, count in enumerate(draw.integers(1, 4, size=texts)):
        parts = [next(order) for _ in range(count)]
        joined.append(" ".join(" ".join(rows[part].split()[:_WORDS]) for part in parts))
        labels[place, classes[parts]] = 1
    return joined, labels


def _out_of_fold(states: NDArray[np.float32], given: NDArray[np.int64], seed: int) -> NDArray[np.float64]:
    """(texts, classes): each label's logit, of a head that never saw the text."""
    alone = np.arange(len(given))
    both = [out_of_fold_logits(LabelledStates(states, column, alone, 2), _FOLDS, seed) for column in given.T]
    return np.stack([logits[:, 1] - logits[:, 0] for logits in both], axis=1).astype(np.float64)


if __name__ == "__main__":
    main()
