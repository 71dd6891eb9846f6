"""Label Studio 1.23: a real server on SQLite takes our project and tasks, and gives back what people annotate."""

import re

import httpx
import pytest

NAME = "AG News errors, <b>May</b>"
USER, PASSWORD, LEGACY = "ann@a.example", "a-long-password-1", "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def server(environment, start, tmp_path):
    python = environment("label_studio")
    return start(
        "/health",
        [
            *(python.with_name("label-studio"), "start", "--no-browser", "--internal-host", "127.0.0.1"),
            *("--port", "{port}", "--username", USER, "--password", PASSWORD, "--user-token", LEGACY),
        ],
        DATABASE_NAME=str(tmp_path / "label_studio.sqlite3"),
        LABEL_STUDIO_BASE_DATA_DIR=str(tmp_path / "label_studio"),
        LATEST_VERSION_CHECK="false",
        COLLECT_ANALYTICS="false",
        SENTRY_DSN="",
    )


@pytest.fixture
def key(server):
    """A personal access token, made as the page makes one."""
    with httpx.Client(base_url=server) as page:
        form = page.get("/user/login/").text
        token = re.search(r'csrfmiddlewaretoken" value="([^"]+)', form)[1]
        login = {"csrfmiddlewaretoken": token, "email": USER, "password": PASSWORD}
        assert page.post("/user/login/", data=login, headers={"Referer": f"{server}/user/login/"}).status_code == 302
        made = page.post("/api/token/", headers={"X-CSRFToken": page.cookies["csrftoken"], "Referer": server})
        return made.json()["token"]


@pytest.fixture
def ask(server, key):
    """The server's own interface, as an annotator's page uses it."""
    access = httpx.post(f"{server}/api/token/refresh", json={"refresh": key}).json()["access"]
    with httpx.Client(base_url=server, headers={"Authorization": f"Bearer {access}"}, timeout=60) as client:
        yield client


def tasks_of(ask):
    found = ask.get("/api/tasks/", params={"project": 1, "fields": "all", "page_size": 1000}).json()["tasks"]
    return {task["data"]["row_id"]: task for task in found}


def annotate(ask, task, *choices, **more):
    result = [
        {"from_name": "label", "to_name": "text", "type": "choices", "value": {"choices": [choice]}}
        for choice in choices
    ]
    ask.post(f"/api/tasks/{task['id']}/annotations/", json={"result": result} | more).raise_for_status()


def test_the_round_trip(server, key, ask, losses, lossaudit, decided):
    environment = {"LABEL_STUDIO_URL": server, "LABEL_STUDIO_API_KEY": key}
    where = ("--name", NAME)
    said = lossaudit("log", losses, "--to", "label-studio", *where, "-n", 300, **environment)
    assert f"Sent 300 records to Label Studio project {NAME}" in said
    assert key not in said

    # What an annotator sees: the tasks by falling loss, each with the prediction chosen already.
    tasks = tasks_of(ask)
    assert list(tasks) == list(range(1299, 999, -1))
    following = ask.get("/api/projects/1/next/").json()
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
    project = ask.get("/api/projects/1/").json()
    assert project["parsed_label_config"]["label"]["labels"] == ["World", "a, b", 'say "hi" & <bye>', "😀", "x", "x "]

    annotate(ask, tasks[1299], "😀")
    annotate(ask, tasks[1298], "x ")
    annotate(ask, tasks[1297], "x")
    annotate(ask, tasks[1296], was_cancelled=True)
    annotate(ask, tasks[1295])
    ask.post(f"/api/tasks/{tasks[1294]['id']}/drafts", json={"result": []}).raise_for_status()

    said = lossaudit("log", losses, "--to", "label-studio", *where, "-n", 310, **environment)
    assert "Sent 10 records" in said
    assert "300 were there already" in said
    assert list(tasks_of(ask)) == list(range(1299, 989, -1))

    said = lossaudit("pull", losses, "--from", "label-studio", *where, **environment)
    assert "Pulled 4 new decisions" in said
    assert decided() == {
        1299: ("keep", None, USER),
        1298: ("relabel", "x ", USER),
        1297: ("relabel", "x", USER),
        1296: ("unsure", None, USER),
    }
    assert "Pulled 0 new decisions" in lossaudit("pull", losses, "--from", "label-studio", *where, **environment)

    # A second thought in Label Studio is a new decision here.
    (annotation,) = tasks_of(ask)[1297]["annotations"]
    changed = annotation["result"][0] | {"value": {"choices": ["World"]}}
    ask.patch(f"/api/annotations/{annotation['id']}/", json={"result": [changed]}).raise_for_status()
    lossaudit("pull", losses, "--from", "label-studio", *where, **environment)
    assert decided()[1297] == ("relabel", "World", USER)


def test_keys_and_projects_of_other_tasks(server, key, ask, losses, lossaudit):
    def log(*options, key=key, fails=True):
        arguments = ("log", losses, "--to", "label-studio", "-n", 3, "--url", server, *options)
        return lossaudit(*arguments, fails=fails, LABEL_STUDIO_API_KEY=key)

    assert "refuses the key" in log("--name", "Errors", key="0123")
    said = log("--name", "Errors", key=LEGACY)
    assert "legacy token authentication has been disabled" in said
    assert LEGACY not in said
    ask.post(
        "/api/jwt/settings", json={"api_tokens_enabled": True, "legacy_api_tokens_enabled": True}
    ).raise_for_status()
    log("--name", "Errors", key=LEGACY, fails=False)
    choices = '<Choices name="label" toName="image"><Choice value="a"/></Choices>'
    other = f'<View><Image name="image" value="$image"/>{choices}</View>'
    ask.post("/api/projects/", json={"title": "Pictures", "label_config": other}).raise_for_status()
    assert "is for another task" in log("--name", "Pictures")
    assert "3 to 50 characters" in log("--name", "x" * 51)
    said = lossaudit(
        "pull", losses, "--from", "label-studio", "--name", "Nothing", "--url", server, "--key", key, fails=True
    )
    assert "there are Errors, Pictures" in said
