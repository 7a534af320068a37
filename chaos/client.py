"""A client's line to the service: one connection that is kept open, and goes to another service when one is away."""

import http.client
import itertools
import json
from collections.abc import Sequence
from typing import Any

from chaos.answers import BROKEN, OUTAGE
from chaos.service import KEY

SHOWN = 200  # bytes of an answer that is no JSON
TIMEOUT = 120  # seconds: whoever waits longer tells a fault


class Lost(Exception):
    """No whole answer came. `goes_on`: the service may still work on the request, for it only took too long."""

    def __init__(self, goes_on: bool = False) -> None:
        super().__init__()
        self.goes_on = goes_on


class Line:
    """A line to one of several services that share a database, at first the one at `first`."""

    def __init__(self, ports: Sequence[int], first: int) -> None:
        turns = itertools.cycle(ports)
        self._ports = itertools.islice(turns, first % len(ports), None)
        self._turn()

    def _turn(self) -> None:
        port = next(self._ports)
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT)

    def is_open(self) -> bool:
        """Return whether there is a connection; tries to make one."""
        if self._connection.sock is None:
            try:
                self._connection.connect()
            except OSError:
                self._turn_away()
        return self._connection.sock is not None

    def post(self, path: str, body: Any, request_id: str) -> tuple[int, dict[str, Any]]:
        """Post JSON; returns the status and the answer once it is read completely, else raises Lost."""
        try:
            status, text = self._exchange(path, json.dumps(body).encode(), request_id)
        except (OSError, http.client.HTTPException) as error:
            self._turn_away()
            raise Lost(goes_on=isinstance(error, TimeoutError)) from error
        if status == OUTAGE:
            self._turn_away()
        return status, _parsed(text)

    def _exchange(self, path: str, body: bytes, request_id: str) -> tuple[int, bytes]:
        headers = {"X-API-Key": KEY, "Content-Type": "application/json"}
        headers["X-Request-Id"] = request_id
        self._connection.request("POST", f"/api/healthcare{path}", body, headers)
        answer = self._connection.getresponse()
        return answer.status, answer.read()

    def _turn_away(self) -> None:
        """Hang up; the next request goes to the next service."""
        self.close()
        self._turn()

    def close(self) -> None:
        """Hang up."""
        self._connection.close()


def _parsed(text: bytes) -> dict[str, Any]:
    """Return an answer; one that is no JSON as a failure of the server, which the API never answers."""
    try:
        return json.loads(text)
    except ValueError:
        return {
            "status": BROKEN,
            "code": "no_json",
            "detail": text[:SHOWN].decode(errors="replace"),
        }
