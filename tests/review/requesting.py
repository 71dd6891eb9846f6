"""Requests to the review page's server as the page sends them, without a network."""

import asyncio

import httpx

ORIGIN = "http://127.0.0.1:8765"
TOKEN = "a-token"


class Client:
    """A browser of one page, without the browser; requests go one at a time, redirects aren't followed."""

    def __init__(self, app, base_url):
        self._runner = asyncio.Runner()
        self._http = httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url=base_url)

    def get(self, path, **options):
        return self._runner.run(self._http.get(path, **options))

    def post(self, path, **options):
        return self._runner.run(self._http.post(path, **options))

    def close(self):
        self._runner.run(self._http.aclose())
        self._runner.close()

    def enter(self):
        """Comes in by the start link."""
        entered = self.get("/", params={"token": TOKEN})
        assert entered.status_code == 303
        self._http.headers["X-Lossaudit-Key"] = entered.headers["location"].removeprefix("./#key=")
        return self

    def post_json(self, path, values, origin=ORIGIN):
        return self.post(f"/api/{path}", json=values, headers={"Origin": origin})

    def decide(self, row, verdict, label=None, annotator="Ada", **values):
        """Decides like a person who has seen what others decided."""
        values = {"row": row, "verdict": verdict, "label": label, "annotator": annotator} | values
        answer = self.post_json("decide", values)
        if answer.status_code == 409:
            seen = answer.json()["record"]["history"][-1]["made_at"]
            answer = self.post_json("decide", values | {"seen": seen})
        return _told(answer)

    def view(self, **query):
        return _told(self.get("/api/view", params=query))

    def records(self, *ranks, **viewer):
        return _told(self.get("/api/records", params={"ranks": ",".join(map(str, ranks)), **viewer}))["records"]


def _told(answer):
    assert answer.status_code == 200, answer.text
    return answer.json()
