"""Large bodies take turns, so that memory does not grow with the number of callers.

A process reads a few of them at once, and works on as many bytes at once as one may have. A body of up to SMALL bytes
never waits. Who waits too long is told to come again.
"""

import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from engine.problems import ServiceBusy
from weight import FLOOR, MIB

SMALL = MIB
PLACES = 8  # large bodies that are in memory at once, arriving, waiting, or worked on
BUSY = "The service works on other large lists. Nothing of this one was stored: send the same again."
PATIENCE = 12  # seconds that a request waits at most, for a place and for room together


class Room:
    """Room for so many bytes at once; who comes first gets in first."""

    def __init__(self, size: int):
        self._free = size
        self._line: deque[object] = deque()
        self._changed = threading.Condition()

    @contextmanager
    def take(self, size: int, seconds: float) -> Iterator[None]:
        """Wait for so many bytes, which must not be more than there are, and have them; or raise ServiceBusy."""
        self._enter(size, seconds)
        try:
            yield
        finally:
            with self._changed:
                self._free += size
                self._changed.notify_all()

    def _enter(self, size: int, seconds: float) -> None:
        me = object()
        with self._changed:
            self._line.append(me)
            try:
                if not self._changed.wait_for(lambda: self._is_next(me, size), seconds):
                    raise busy()
                self._free -= size
            finally:
                self._line.remove(me)
                self._changed.notify_all()

    def _is_next(self, me: object, size: int) -> bool:
        return self._line[0] is me and size <= self._free


class Large:
    """The turns of a process whose bodies have so many bytes at most."""

    def __init__(self, most: int):
        self._places = Room(PLACES)
        self._room = Room(max(most, FLOOR))

    def turn(self) -> "Turn":
        """Return the turn of a request, which has nothing yet."""
        return Turn(self._places, self._room)


class Turn:
    """What one request has of the places and of the room."""

    def __init__(self, places: Room, room: Room):
        self._places, self._room = places, room
        self._held = ExitStack()
        self._has_place = False
        self._patience = float(PATIENCE)

    def receive(self, size: int) -> None:
        """Take a place if the bytes read so far make a large body; raise ServiceBusy if none becomes free in time."""
        if size > SMALL and not self._has_place:
            self._take(self._places, 1)
            self._has_place = True

    def work(self, size: int) -> None:
        """Take room for work on a large body of so many bytes; raise ServiceBusy if none becomes free in time."""
        if size > SMALL:
            self._take(self._room, max(size, FLOOR))

    def _take(self, room: Room, size: int) -> None:
        started = time.monotonic()
        self._held.enter_context(room.take(size, self._patience))
        self._patience -= time.monotonic() - started

    def end(self) -> None:
        """Give everything back."""
        self._held.close()


def busy() -> ServiceBusy:
    """Return the problem of a large body that cannot get in."""
    return ServiceBusy(BUSY, headers={"Retry-After": str(PATIENCE)})
