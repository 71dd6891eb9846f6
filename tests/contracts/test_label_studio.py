"""Label Studio 1.23: a real server on SQLite accepts our project and tasks, and returns people's annotations."""

import pytest

NAME = "AG News errors, <b>May</b>"


def test_the_round_trip(studio, losses, lossaudit, decided):
    environment = {"LABEL_STUDIO_URL": studio.url, "LABEL_STUDIO_API_KEY": studio.key}
    where = ("--name", NAME)
    said = lossaudit("log", losses, "--to", "label-studio", *where, "-n", 300, **environment)
    assert f"Sent 300 records to Label Studio project {NAME}" in said
    assert studio.key not in said

    # What an annotator sees: the tasks by falling loss, each with the prediction chosen already.
    tasks = studio.tasks()
    assert list(tasks) == list(range(1299, 999, -1))
    following = studio.ask.get("/api/projects/1/next/").json()
    assert following["data"] == {
        "text": 'Text 1299: <b>"😀"</b> & é 😀',
        "given_label": "😀",
        "loss": 13.09,
        "rank": 1,
        "row_id": 1299,
    }
    (prediction,) = following["predictions"]
    assert prediction["model_version"] == "acme/distilbert-agnews"
    assert prediction["score"] == pytest.approx(0.7)
    assert prediction["result"][0]["value"] == {"choices": ["x"]}
    project = studio.ask.get("/api/projects/1/").json()
    assert project["parsed_label_config"]["label"]["labels"] == ["World", "a, b", 'say "hi" & <bye>', "😀", "x", "x "]

    studio.annotate(tasks[1299], "😀")
    studio.annotate(tasks[1298], "x ")
    studio.annotate(tasks[1297], "x")
    studio.annotate(tasks[1296], was_cancelled=True)
    studio.annotate(tasks[1295])
    studio.ask.post(f"/api/tasks/{tasks[1294]['id']}/drafts", json={"result": []}).raise_for_status()

    said = lossaudit("log", losses, "--to", "label-studio", *where, "-n", 310, **environment)
    assert "Sent 10 records" in said
    assert "300 were already there" in said
    assert list(studio.tasks()) == list(range(1299, 989, -1))

    said = lossaudit("pull", losses, "--from", "label-studio", *where, **environment)
    assert "Pulled 4 new decisions" in said
    assert decided() == {
        1299: ("keep", None, studio.user),
        1298: ("relabel", "x ", studio.user),
        1297: ("relabel", "x", studio.user),
        1296: ("unsure", None, studio.user),
    }
    assert "Pulled 0 new decisions" in lossaudit("pull", losses, "--from", "label-studio", *where, **environment)

    # A second thought in Label Studio is a new decision here.
    (annotation,) = studio.tasks()[1297]["annotations"]
    changed = annotation["result"][0] | {"value": {"choices": ["World"]}}
    studio.ask.patch(f"/api/annotations/{annotation['id']}/", json={"result": [changed]}).raise_for_status()
    lossaudit("pull", losses, "--from", "label-studio", *where, **environment)
    assert decided()[1297] == ("relabel", "World", studio.user)


def test_sets_of_labels_over_two_texts(studio, sets, losses, lossaudit, decided_sets):
    environment = {"LABEL_STUDIO_URL": studio.url, "LABEL_STUDIO_API_KEY": studio.key}
    where = ("--name", NAME)
    assert "Sent 6 records" in lossaudit("log", sets, "--to", "label-studio", *where, **environment)
    tasks = studio.tasks()
    assert tasks[0]["data"]["text_pair"] == "<b>so?</b> 0"
    assert tasks[0]["data"]["given_label"] == "World, a, b"
    assert tasks[0]["predictions"][0]["result"][0]["value"] == {"choices": ["World"]}
    assert tasks[3]["predictions"][0]["result"][0]["value"] == {"choices": ["None of these"]}
    studio.annotate(tasks[0], "a, b", "World")
    studio.annotate(tasks[1], "😀", "World")
    studio.annotate(tasks[2], "None of these")
    studio.annotate(tasks[3], was_cancelled=True)
    studio.annotate(tasks[4])
    studio.annotate(tasks[5], "None of these")
    assert "6 were already there" in lossaudit("log", sets, "--to", "label-studio", *where, **environment)
    lossaudit("pull", sets, "--from", "label-studio", *where, **environment)
    assert decided_sets() == {0: "keep", 1: ["World", "😀"], 2: "keep", 3: "unsure", 5: []}
    refused = lossaudit("log", losses, "--to", "label-studio", *where, fails=True, **environment)
    assert "is for several labels per text" in refused


def test_keys_and_projects_of_other_tasks(studio, losses, lossaudit):
    def log(*options, key=studio.key, fails=True):
        arguments = ("log", losses, "--to", "label-studio", "-n", 3, "--url", studio.url, *options)
        return lossaudit(*arguments, fails=fails, LABEL_STUDIO_API_KEY=key)

    assert "refuses the key" in log("--name", "Errors", key="0123")
    said = log("--name", "Errors", key=studio.legacy)
    assert "legacy token authentication has been disabled" in said
    assert studio.legacy not in said
    studio.ask.post(
        "/api/jwt/settings", json={"api_tokens_enabled": True, "legacy_api_tokens_enabled": True}
    ).raise_for_status()
    log("--name", "Errors", key=studio.legacy, fails=False)
    choices = '<Choices name="label" toName="image"><Choice value="a"/></Choices>'
    other = f'<View><Image name="image" value="$image"/>{choices}</View>'
    studio.ask.post("/api/projects/", json={"title": "Pictures", "label_config": other}).raise_for_status()
    assert "is for another task" in log("--name", "Pictures")
    assert "3 to 50 characters" in log("--name", "x" * 51)
    said = lossaudit(
        "pull",
        losses,
        "--from",
        "label-studio",
        "--name",
        "Nothing",
        "--url",
        studio.url,
        "--key",
        studio.key,
        fails=True,
    )
    assert "there are Errors, Pictures" in said
