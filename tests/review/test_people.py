"""Several people at one review: who sees what, what is open for whom, conflicts, blind decisions and adjudication."""

import pytest

from lossaudit.engine.table.losses import LossesTable
from lossaudit.review.examples import Example
from lossaudit.review.opinions import People, is_shared
from lossaudit.review.store import DecisionStore
from tests.review.browsing import decided, expect, press, title

ADA, BOB, CY = ({"annotator": name} for name in ("Ada", "Bob", "Cy"))


def keep(row, **values):
    return {"row": row, "verdict": "keep", "label": None, **ADA, **values}


# Conflicts.


def test_what_somebody_else_decided_meanwhile_is_told_and_not_overwritten(client):
    client.decide(0, "relabel", "Sports", "Bob")
    answer = client.post_json("decide", keep(0))
    assert answer.status_code == 409
    (shown,) = answer.json()["record"]["history"]
    assert (shown["annotator"], shown["label"]) == ("Bob", "Sports")
    assert client.view(status="keep")["ranks"] == []
    assert client.post_json("decide", keep(0, seen=shown["made_at"])).status_code == 200
    assert client.view(status="keep")["ranks"] == [1]


def test_another_decision_since_the_one_that_was_seen_is_told_again(client):
    first = client.decide(0, "discard", annotator="Bob")["record"]["history"][-1]["made_at"]
    client.decide(0, "unsure", annotator="Cy")
    assert client.post_json("decide", keep(0, seen=first)).status_code == 409


def test_ones_own_decision_is_no_conflict(client):
    client.decide(0, "discard")
    assert client.post_json("decide", keep(0)).status_code == 200


def test_a_decision_in_another_process_is_a_conflict_too(serving):
    one, other = serving().enter(), serving().enter()
    one.decide(0, "discard", annotator="Bob")
    assert other.post_json("decide", keep(0)).status_code == 409


@pytest.mark.parametrize("bad", [{"seen": 1}, {"ranks": "x"}, {"ranks": 7.5}])
def test_odd_requests_are_refused(client, bad):
    assert client.post_json("decide", keep(0, **bad)).status_code == 400
    assert client.view()["decided"] == 0


# The next record, and what counts.


def test_the_next_record_is_the_next_undecided_one(client):
    client.decide(1, "keep", annotator="Bob")
    client.decide(3, "keep")
    assert client.decide(0, "keep", ranks="2,3,4")["next"] == 3
    assert client.decide(2, "keep", ranks="4")["next"] is None
    assert client.view(after=5)["first_undecided"] == 5
    assert client.view(after=12)["first_undecided"] == 4


def test_by_choice_only_ones_own_decisions_count(client):
    client.decide(0, "keep", annotator="Bob")
    client.decide(1, "unsure")
    mine = {**ADA, "whose": "me"}
    assert client.view(status="decided", **ADA)["ranks"] == [1, 2]
    assert client.view(status="decided", **mine)["ranks"] == [2]
    assert client.view(**mine)["first_undecided"] == 0
    assert client.view(**mine)["progress"]["counts"] == {"relabel": 0, "keep": 0, "unsure": 1, "discard": 0}
    assert client.decide(2, "keep", whose="me", ranks="1,2,4")["next"] == 1


# Blind decisions.


@pytest.fixture
def blind(serving):
    """A client of the twelve examples, all of which two people decide."""
    return serving(people=People(overlap=100)).enter()


def test_the_second_person_does_not_see_the_first_decision(blind):
    blind.decide(0, "relabel", "Sports", "Ada")
    assert blind.records(1, **BOB)[0]["history"] == blind.records(1)[0]["history"] == []
    assert len(blind.records(1, **ADA)[0]["history"]) == 1
    assert (blind.view(**BOB)["decided"], blind.view(**ADA)["decided"]) == (0, 1)
    assert blind.view(**BOB)["progress"]["counts"]["relabel"] == 0
    items = blind.get("/api/items", params={"ranks": "1", **BOB}).json()["items"]
    assert items[0]["decision"] is None
    assert blind.post_json("decide", keep(0, **BOB)).status_code == 200  # it is no conflict


def test_both_decisions_are_shown_once_both_are_made(blind):
    blind.decide(0, "relabel", "Sports", "Ada")
    blind.decide(0, "keep", annotator="Bob")
    for viewer in (ADA, BOB, CY):
        assert [one["annotator"] for one in blind.records(1, **viewer)[0]["history"]] == ["Ada", "Bob"]
        assert blind.view(**viewer)["decided"] == 1
        assert blind.view(status="disagreements", **viewer)["ranks"] == [1]
    assert blind.post_json("decide", keep(0, **CY)).status_code == 409


def test_the_share_is_the_same_whenever_it_is_asked_for():
    examples = [Example(row, f"{row * 2654435761 % 2**32:08x}" + "0" * 24, "", "") for row in range(2000)]
    shared = [{one.row for one in examples if is_shared(one, percent)} for percent in (0, 20, 60, 100)]
    assert (len(shared[0]), len(shared[3])) == (0, 2000)
    assert shared[1] < shared[2]
    assert 350 < len(shared[1]) < 450


def test_other_records_are_not_blind(serving):
    client = serving(people=People(overlap=50)).enter()
    for row in range(12):
        client.decide(row, "keep")
    seen = {record["row"] for record in client.records(*range(1, 13), **BOB) if record["history"]}
    assert 0 < len(seen) < 12
    assert client.view(**BOB)["decided"] == len(seen)


def test_agreement_of_the_records_under_review(blind):
    assert blind.get("/api/agreement").json() == {"agreement": None}
    blind.decide(0, "keep")
    assert blind.view(**BOB)["progress"]["joint"] == 0
    blind.decide(0, "relabel", "World", "Bob")
    blind.decide(1, "keep")
    blind.decide(1, "discard", annotator="Bob")
    found = blind.get("/api/agreement").json()["agreement"]
    assert (found["people"], found["rows"], found["share"]["value"]) == (["Ada", "Bob"], 2, 0.5)
    assert (found["pairs"][0]["given"], found["pairs"][0]["predicted"]) == ("Sports", "Business")
    assert blind.view(**BOB)["progress"]["joint"] == 2


# Adjudication.


def test_an_adjudicator_sees_all_and_decides_for_good(serving, losses_file):
    blind, final = serving(people=People(overlap=100)).enter(), serving(people=People(adjudicating=True)).enter()
    blind.decide(0, "keep")
    assert len(final.records(1, annotator="Eve")[0]["history"]) == 1
    blind.decide(0, "relabel", "Sports", "Bob")
    assert final.view(status="disagreements", annotator="Eve")["ranks"] == [1]
    decided = final.decide(0, "relabel", "Business", "Eve")["record"]["history"][-1]
    assert (decided["origin"], decided["label"]) == ("adjudication", "Business")
    assert final.view(status="disagreements", annotator="Eve")["ranks"] == []
    # Somebody else's later decision is kept, and doesn't count.
    later = blind.decide(0, "discard", annotator="Cy")["record"]["history"]
    assert [one["annotator"] for one in later] == ["Ada", "Bob", "Cy", "Eve"]
    assert final.get("/api/start").json()["adjudicating"]
    with DecisionStore.open(LossesTable.open(losses_file)) as store:
        assert store.decisions()[0].label == "Business"
    assert final.post_json("undo", {"annotator": "Eve"}).json()["undone"] == 1
    with DecisionStore.open(LossesTable.open(losses_file)) as store:
        assert store.decisions()[0].verdict == "discard"


def test_a_bulk_of_the_disagreements(serving):
    client = serving(people=People(adjudicating=True)).enter()
    plain = serving().enter()
    for row in (0, 1):
        plain.decide(row, "keep")
        plain.decide(row, "unsure", annotator="Bob")
    plain.decide(2, "keep")
    values = {"query": {"status": "disagreements"}, "verdict": "accept", "label": None, "expected": 2}
    assert client.post_json("decide-all", {**values, "annotator": "Eve"}).json()["decided"] == 2
    assert client.view(status="disagreements", annotator="Eve")["ranks"] == []


# On the page.


def test_two_people_at_once(serve, visit, losses_file):
    server = serve(annotator=None)
    pages = []
    for name in ("Ada", "Ana"):
        page = visit(server.link)
        page.fill("#name", name)
        page.keyboard.press("Enter")
        expect(page.locator("#who")).to_have_text(name)
        pages.append(page)
    ada, ana = pages
    title(ana, "Record 1 of 12")
    press(ana, "3")
    ada.keyboard.press("Enter")  # before or after the page has shown it
    expect(ada.locator("#said")).to_have_text(
        "Ana relabelled this as Business just now; press the key again to decide otherwise"
    )
    title(ada, "Record 1 of 12")
    expect(ada.locator("#decision")).to_contain_text("Relabelled as Business by Ana")
    press(ada, "Enter")
    press(ana, "k")
    title(ana, "Record 3 of 12")
    title(ada, "Record 2 of 12")
    expect(ada.locator("#said")).to_contain_text("Ana kept the given label")  # it appears by itself
    ada.keyboard.press("Enter")
    expect(ada.locator("#said")).to_contain_text("press the key again")
    ada.keyboard.press("ArrowRight")
    title(ada, "Record 3 of 12")
    ada.check("#filter-mine")
    expect(ada.locator("#counts")).to_have_text("1 of 12 decided")
    press(ada, "j", "u")
    title(ada, "Record 5 of 12")
    ada.reload()
    expect(ada.locator("#filter-mine")).to_be_checked()
    ada.select_option("#filter-status", "disagreements")
    expect(ada.locator("#found")).to_have_text("1 record")
    assert decided(losses_file) == {0: ("relabel", "Sports"), 1: ("keep", None), 3: ("unsure", None)}
    ana.click("#agreement-open")
    expect(ana.locator("#agreement-people")).to_have_text("1 record decided by two or more of Ada, Ana")
    expect(ana.locator("#agreement-figures")).to_contain_text("0 % (0 % to 79 %)")
    expect(ana.locator("#agreement-pairs")).to_contain_text("World → Sports")
