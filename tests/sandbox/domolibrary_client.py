"""Start and list runs of the sandbox with domolibrary, a client of Domo that is none of ours.

Its install is heavy (380 MB), so it has an environment of its own::

    python3 -m venv /tmp/peer && /tmp/peer/bin/pip install -q --group pyproject.toml:peer
    PYTHONPATH=. /tmp/peer/bin/python tests/sandbox/domolibrary_client.py

It always speaks to ``https://{instance}.domo.com``; a transport leads that to the sandbox. The script prints
what was seen, and fails where domolibrary and the sandbox do not understand each other.
"""

from __future__ import annotations

import asyncio
from importlib.metadata import version
from typing import Any

import httpx
from domolibrary.client.DomoAuth import DomoTokenAuth
from domolibrary.client.get_data import get_data
from domolibrary.routes.dataset import get_dataset_by_id
from domolibrary.routes.stream import execute_stream, get_stream_by_id, get_streams, update_stream

from domo_magic.sandbox import ManualClock, Sandbox


class ToSandbox(httpx.AsyncHTTPTransport):
    """Send to the sandbox what is meant for a Domo."""

    def __init__(self, sandbox: Sandbox) -> None:
        super().__init__()
        self._url = httpx.URL(sandbox.url)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request with the sandbox's address."""
        request.url = request.url.copy_with(scheme="http", host=self._url.host, port=self._url.port)
        return await super().handle_async_request(request)


async def talk(sandbox: Sandbox, clock: ManualClock) -> dict[str, Any]:
    """Look, start, follow, list and change, each by domolibrary's own functions where it has one."""
    auth = DomoTokenAuth(domo_instance="sandbox", domo_access_token=sandbox.token)
    base = "https://sandbox.domo.com/api/data/v1/streams/25775/executions"
    async with httpx.AsyncClient(transport=ToSandbox(sandbox)) as session:
        use: dict[str, Any] = {"auth": auth, "session": session}
        stream = (await get_stream_by_id(stream_id="25775", **use)).response
        dataset = (await get_dataset_by_id(dataset_id=stream["dataSource"]["id"], **use)).response
        streams = (await get_streams(loop_until_end=False, **use)).response
        started = (await execute_stream(stream_id="25775", **use)).response
        clock.advance(60)
        read = (await get_data(url=f"{base}/{started['executionId']}", method="GET", **use)).response
        listed = (await get_data(url=base, method="GET", params={"offset": 199}, **use)).response
        paused = (await update_stream(stream_id="25775", body={"scheduleState": "INACTIVE"}, **use)).response
    return {
        "stream": stream["dataSource"]["name"],
        "DataSet": dataset["name"],
        # It misspells offset, and so reads the first page again and again.
        "streams": len({stream["id"] for stream in streams}),
        "started": (started["executionId"], started["currentState"]),
        "then": read["currentState"],
        "listed": [run["executionId"] for run in listed],
        "schedule": paused["scheduleState"],
    }


def main() -> None:
    """Print what was seen; check it."""
    clock = ManualClock(1_734_458_216.0)
    with Sandbox(clock=clock) as sandbox:
        seen = asyncio.run(talk(sandbox, clock))
        bodies = [request.body for request in sandbox.requests if request.method == "POST"]
    print(
        f"domolibrary {version('domolibrary')}:",
        *(f"{name}: {value}" for name, value in seen.items()),
        sep="\n  ",
    )
    assert bodies == [b""], "one start, and domolibrary sends no body"
    assert seen == {
        "stream": "Sales Orders",
        "DataSet": "Sales Orders",
        "streams": 44,
        "started": (201, "ACTIVE"),
        "then": "SUCCESS",
        "listed": [200, 201],
        "schedule": "INACTIVE",
    }


if __name__ == "__main__":
    main()
