"""Load: eight clients that upsert one patient after another, and how long each had to wait."""

import math
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from http.client import HTTPException
from threading import Barrier

from bench.peers import Client, Peer, Refused
from bench.records import changed, patient

CONNECTIONS = 8
SHARE = 10_000  # numbers that each client has for itself


@dataclass(frozen=True)
class Sample:
    """One request: when it was sent and answered, on the same clock, and whether it succeeded."""

    sent: float
    answered: float
    succeeded: bool


def hammer(peer: Peer, first: int, going: Callable[[], bool]) -> list[Sample]:
    """Send single upserts over eight connections, each as soon as the last is answered, while `going`.

    Each client creates a patient, changes it, and goes on with the next; `first` is the first number that is used.
    """
    barrier = Barrier(CONNECTIONS)

    def client(place: int) -> list[Sample]:
        samples: list[Sample] = []
        with closing(peer.client()) as connection:
            barrier.wait()
            while going():
                record = patient(first + place * SHARE + len(samples) // 2)
                samples.append(
                    _one(
                        peer,
                        connection,
                        peer.one(changed(record) if len(samples) % 2 else record),
                    )
                )
        return samples

    with ThreadPoolExecutor(CONNECTIONS) as clients:
        return [
            sample
            for samples in clients.map(client, range(CONNECTIONS))
            for sample in samples
        ]


def for_seconds(seconds: float) -> Callable[[], bool]:
    """Return what tells whether so many seconds from now are still to go."""
    end = time.perf_counter() + seconds
    return lambda: time.perf_counter() < end


def milliseconds(samples: list[Sample], share: float) -> float:
    """Return the time within which a share of the samples was answered, or failed."""
    taken = sorted(sample.answered - sample.sent for sample in samples)
    return taken[math.ceil(share * len(taken)) - 1] * 1000


def rate(samples: list[Sample]) -> float:
    """Return the successes a second."""
    first, last = (
        min(sample.sent for sample in samples),
        max(sample.answered for sample in samples),
    )
    return sum(sample.succeeded for sample in samples) / (last - first)


def _one(peer: Peer, connection: Client, body: bytes) -> Sample:
    sent = time.perf_counter()
    try:
        connection.send(peer.one_path, body)
        succeeded = True
    except (Refused, OSError, HTTPException):
        connection.close()  # opens anew with the next request
        succeeded = False
    return Sample(sent, time.perf_counter(), succeeded)
