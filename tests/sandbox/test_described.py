"""The sandbox's description of itself: served, whole, and true."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import requests
from described import described

from domo_magic.sandbox import routes

if TYPE_CHECKING:
    from domo_magic.sandbox import Sandbox


def test_the_description_is_served_to_anybody(sandbox: Sandbox) -> None:
    """``/openapi.json`` needs no token, and says of each operation how sure it is."""
    response = requests.get(f"{sandbox.url}/openapi.json", timeout=10)
    operations = [operation for path in response.json()["paths"].values() for operation in path.values()]
    assert response.headers["Content-Type"] == "application/json"
    assert {operation["x-certainty"] for operation in operations} == {"A", "B", "C"}


def test_every_route_is_described(sandbox: Sandbox) -> None:
    """The description has the sandbox's paths and methods, no more and no fewer."""
    paths = requests.get(f"{sandbox.url}/openapi.json", timeout=10).json()["paths"]
    sample = {re.sub(r"\{\w+\}", "7", path): {each.upper() for each in paths[path]} for path in paths}
    for path, methods in sample.items():
        assert methods == set(next(h for p, h in routes.ROUTES if p.fullmatch(f"/api/data{path}")))
    assert len(sample) == len(routes.ROUTES)


def test_the_description_is_true() -> None:
    """What schemathesis sends in its short form, right and wrong, is met as described."""
    found = described(0)
    assert found.returncode == 0, found.stdout + found.stderr
    assert int(re.findall(r"(\d+) passed, ", found.stdout)[-1]) > 300
