"""Agreement between people: published examples, what counts, and where there is none."""

import pytest

from lossaudit.engine.table.losses import LossesTable
from lossaudit.review.agreement import agreement_of, cohens_kappa, krippendorffs_alpha
from lossaudit.review.resolving import resolved
from lossaudit.review.store import Decision, DecisionStore

T = "2026-01-02T03:04:{:02}+00:00"


def test_kappa_of_a_table():
    # 20 both yes, 5 and 10 differ, 15 both no: pₒ = 0.7, pₑ = 0.5.
    answers = [("y", "y")] * 20 + [("y", "n")] * 5 + [("n", "y")] * 10 + [("n", "n")] * 15
    found = cohens_kappa(answers)
    assert found.value == pytest.approx(0.4)
    assert found.low == pytest.approx(0.4 - 0.25, abs=0.05)  # its standard error is 0.127
    assert found.high == pytest.approx(0.4 + 0.25, abs=0.05)


def test_alpha_of_krippendorffs_example():
    # Krippendorff (2011), "Computing Krippendorff's Alpha-Reliability", part C: four observers, missing values.
    observers = ("123321412...", "1233224125.3", ".3332342251.", "12332441251.")
    units = [[code for code in unit if code != "."] for unit in zip(*observers, strict=True)]
    found = krippendorffs_alpha([unit for unit in units if len(unit) > 1])
    assert found.value == pytest.approx(0.743, abs=5e-4)
    assert found.low < found.value < found.high


def test_no_figure_beyond_chance_where_all_answers_are_the_same():
    assert cohens_kappa([("y", "y")] * 5) is None
    assert krippendorffs_alpha([["y", "y", "y"]] * 5) is None


def test_all_alike_and_all_different():
    assert cohens_kappa([("y", "y"), ("n", "n")] * 20).value == 1
    assert cohens_kappa([("y", "n"), ("n", "y")] * 20).value == -1
    assert krippendorffs_alpha([["y", "y", "y"], ["n", "n", "n"]]).value == 1


@pytest.fixture
def decide(losses_file):
    """Stores decisions, (row, verdict, label, annotator[, origin]), each later than the one before it."""

    def store(*made):
        with DecisionStore.open(LossesTable.open(losses_file)) as opened:
            for second, (row, verdict, label, name, *origin) in enumerate(made):
                opened.add([Decision(row, verdict, label, name, *(origin or ["page"]), T.format(second))])
        return LossesTable.open(losses_file)

    return store


def test_each_persons_first_decision_is_compared_by_its_label(decide):
    found = agreement_of(
        decide(
            (0, "keep", None, "Ada"),
            (0, "relabel", "Sports", "Bob"),
            (0, "relabel", "Sports", "Ada"),  # she may have seen his
            (0, "keep", None, "Eve", "adjudication"),
            (1, "relabel", "World", "Ada"),
            (1, "relabel", "World", "Bob"),
            (4, "discard", None, "Ada"),
            (4, "unsure", None, "Bob"),
            (5, "keep", None, "Ada"),
        )
    )
    assert (found.people, found.rows, found.share.value) == (("Ada", "Bob"), 3, pytest.approx(1 / 3))
    assert [(one.given, one.predicted, one.rows, one.share.value) for one in found.pairs] == [
        ("World", "Sports", 2, 0),
        ("Sports", "Business", 1, 1),
    ]
    assert found.alpha is None


def test_more_than_two_people(decide):
    found = agreement_of(decide(*((row, "keep", None, name) for row in (0, 1) for name in ("Ada", "Bob", "Cy"))))
    assert (found.rows, found.share.value, found.kappa, found.alpha.value) == (2, 1, None, 1)


def test_nothing_that_two_people_decided(decide):
    assert agreement_of(decide((0, "keep", None, "Ada"), (1, "keep", None, "Bob"))) is None


# Which decision counts.


@pytest.mark.parametrize(
    ("rule", "counts", "none"),
    [
        ("adjudicated", {0: "unsure", 1: "keep", 2: "keep"}, ()),
        ("latest", {0: "keep", 1: "keep", 2: "keep"}, ()),
        ("majority", {0: "keep", 2: "keep"}, (1,)),
        ("Ada", {0: "discard", 1: "discard", 2: "discard"}, ()),
        ("Eve", {0: "unsure"}, ()),
    ],
)
def test_rules(decide, rule, counts, none):
    losses = decide(
        (0, "discard", None, "Ada"),
        (0, "keep", None, "Bob"),
        (0, "unsure", None, "Eve", "adjudication"),
        (0, "keep", None, "Cy"),
        (1, "discard", None, "Ada"),
        (1, "keep", None, "Bob"),
        (2, "discard", None, "Bob"),
        (2, "discard", None, "Ada"),
        (2, "keep", None, "Bob"),
        (2, "keep", None, "Cy"),
    )
    with DecisionStore.open(losses) as store:
        found = resolved(store, rule)
    assert ({row: one.verdict for row, one in found.decisions.items()}, found.open) == (counts, none)


def test_a_person_without_decisions(decide, refused):
    with DecisionStore.open(decide((0, "keep", None, "Ada"))) as store, refused("'Bob' has decided nothing", "Ada"):
        resolved(store, "Bob")
