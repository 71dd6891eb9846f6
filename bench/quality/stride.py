"""How to pool the windows of a long text? Compares rules on articles that are longer than what the model reads at once.

    python -m bench.quality.stride

The model is a head on MiniLM's states of each article's first window, as a model that was fine-tuned on cut texts is.
Half of BBC News, with wrong labels planted, is fitted on; the other half is audited. Prints each rule's accuracy on the
true labels, and the average precision of the planted labels by loss: means over kinds of noise and seeds.
"""

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import click
import numpy as np
from rich.console import Console
from rich.table import Table
from sklearn.metrics import average_precision_score

from lossaudit.engine.model.bundle import Bundle
from lossaudit.engine.model.encoding import Encoded
from lossaudit.engine.model.scoring import EncodedShard
from lossaudit.engine.model.tuning import default_plan
from lossaudit.engine.run.shards import encoder_of, load_scorer
from lossaudit.engine.scores.loss import log_softmax, score
from lossaudit.export.demo import encoder, read_corpus
from lossaudit.export.encoder import export_encoder
from lossaudit.export.heads import fit_head

from .noise_labels import Floats, Ints, class_dependent, uniform

Rule = Callable[[Floats, Encoded], Floats]
"""(windows, classes) logits to (texts, classes) ones."""


def _mean(values: Floats, encoded: Encoded) -> Floats:
    counts = np.bincount(encoded.text_of)
    return np.asarray(np.add.reduceat(values, encoded.firsts, axis=0) / counts[:, None])


def _mean_by_tokens(logits: Floats, encoded: Encoded) -> Floats:
    weights = encoded.lengths[:, None].astype(np.float64)
    return _mean(logits * weights, encoded) / _mean(weights, encoded)


RULES: dict[str, Rule] = {
    "the first window alone": lambda logits, encoded: logits[encoded.firsts],
    "mean of logits": _mean,
    "mean of logits, by tokens": _mean_by_tokens,
    "mean of probabilities": lambda logits, encoded: np.log(_mean(np.exp(log_softmax(logits)), encoded)),
    "maximum of logits": lambda logits, encoded: np.maximum.reduceat(logits, encoded.firsts, axis=0),
}


def window_states(bundle: Bundle, texts: list[str], length: int, stride: int) -> tuple[Floats, Encoded]:
    """(windows, hidden) states, and which text each window is of."""
    encoded = encoder_of(bundle, length, stride).encode(texts)
    windows = np.arange(len(encoded.lengths))
    alone = replace(encoded, text_of=windows, truncated=np.zeros(len(windows), dtype=np.bool_))
    plan = default_plan(bundle, "fp32", "cpu", 1)
    assert plan is not None, "a bundle has fp32"
    with load_scorer(bundle, plan) as scorer:
        return scorer.score(EncodedShard(alone, windows, {})).logits, encoded


def trials(
    states: Floats, encoded: Encoded, labels: Ints, share: float, seeds: int
) -> Iterator[tuple[str, float, float]]:
    """Each rule's accuracy and average precision, for each kind of noise and seed."""
    firsts, classes, whole = states[encoded.firsts], int(labels.max()) + 1, _mean(states, encoded)
    for plant in (uniform, class_dependent):  # instance-dependent noise would be of one way to read the articles
        for seed in range(seeds):
            given = plant(whole, labels, share, seed)
            order = np.random.default_rng(seed).permutation(len(labels))
            fitted, audited = order[: len(order) // 2], order[len(order) // 2 :]
            logits = fit_head(firsts[fitted], given[fitted], classes).logits(states).astype(np.float64)
            for name, rule in RULES.items():
                pooled = rule(logits, encoded)[audited]
                loss = score(pooled, given[audited]).loss
                planted = given[audited] != labels[audited]
                right = pooled.argmax(axis=1) == labels[audited]
                yield name, float(right.mean()), float(average_precision_score(planted, loss))


@click.command()
@click.option("--length", "lengths", type=int, multiple=True, default=(64, 128), show_default=True)
@click.option("--articles", type=int, default=1000, show_default=True)
@click.option("--share", type=float, default=0.1, show_default=True, help="Of labels that are made wrong.")
@click.option("--seeds", type=int, default=5, show_default=True)
def main(lengths: tuple[int, ...], articles: int, share: float, seeds: int) -> None:
    """Compare rules for pooling windows; a quarter of a window is shared with the one before."""
    corpus = read_corpus().articles
    chosen = np.random.default_rng(0).permutation(len(corpus))[:articles]
    texts, labels = [corpus.texts[row] for row in chosen], corpus.labels[chosen]
    with tempfile.TemporaryDirectory() as folder:
        bundle = export_encoder(str(encoder()), Path(folder) / "bundle")
        for length in lengths:
            states, encoded = window_states(bundle, texts, length, length // 4)
            found: dict[str, list[tuple[float, float]]] = {name: [] for name in RULES}
            for name, accuracy, precision in trials(states, encoded, labels, share, seeds):
                found[name].append((accuracy, precision))
            print_rules(found, f"{len(states) / len(texts):.1f} windows of {length} tokens an article")


def print_rules(found: dict[str, list[tuple[float, float]]], title: str) -> None:
    """Means, and the difference of the average precision from the mean of logits' in the same trial, ± its spread."""
    table = Table("rule", "accuracy", "average precision", "difference", title=title)
    reference = np.array(found["mean of logits"])
    for name, values in found.items():
        accuracy, precision = np.mean(values, axis=0)
        difference = np.array(values)[:, 1] - reference[:, 1]
        spread = f"{difference.mean():+.3f} ± {difference.std():.3f}"
        table.add_row(name, f"{accuracy:.1%}", f"{precision:.3f}", spread)
    Console().print(table)


if __name__ == "__main__":
    main()
