"""Argilla's real server on SQLite, with a search engine that finds nothing; runs in its own environment.

Arguments: a port and an empty folder. Users are `argilla`, the owner, and `ann` of the workspace `argilla`; their keys
are `argilla.apikey` and `ann.apikey`. Redis, which holds jobs for changed datasets and webhooks, is replaced by one in
memory, and no worker runs the jobs.
"""

# ruff: noqa: ARG001, E402 - the signatures are the server's own, which is imported once it is set up

import asyncio
import os
import sys

port, folder = int(sys.argv[1]), sys.argv[2]
os.environ |= {
    "ARGILLA_HOME_PATH": folder,
    "ARGILLA_DATABASE_URL": f"sqlite+aiosqlite:///{folder}/argilla.db",
    "ARGILLA_SEARCH_ENGINE": "nothing",
    "ARGILLA_ENABLE_TELEMETRY": "0",
    "HF_HUB_DISABLE_TELEMETRY": "1",
}

import fakeredis
import redis

redis.from_url = lambda url: fakeredis.FakeRedis()

import uvicorn
from argilla_server._app import app
from argilla_server.cli.database.migrate import migrate_db
from argilla_server.contexts import accounts
from argilla_server.database import AsyncSessionLocal
from argilla_server.models import User, UserRole, Workspace
from argilla_server.search_engine.base import SearchEngine


async def nothing(*arguments, **options):
    return None


# Whatever is asked of the search engine is done at once, to no effect.
methods = dict.fromkeys(SearchEngine.__abstractmethods__, nothing)
methods["new_instance"] = classmethod(lambda cls: made(cls))
methods["close"] = nothing
Nothing = type("Nothing", (SearchEngine,), methods)
SearchEngine.register("nothing")(Nothing)


async def made(cls):
    return cls()


async def add_users():
    async with AsyncSessionLocal() as session:
        workspace = await Workspace.create(session, name="argilla")
        for name, role in (("argilla", UserRole.owner), ("ann", UserRole.annotator)):
            await User.create(
                session,
                first_name=name,
                username=name,
                role=role,
                api_key=f"{name}.apikey",
                password_hash=accounts.hash_password("12345678"),
                workspaces=[workspace],
            )


migrate_db("head")
asyncio.run(add_users())
uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning", lifespan="off")
