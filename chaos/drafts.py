"""Drafts: what a client sends next: a single record, a list, or all four lists of `/sync`.

Each client has a space of patients of its own, whom it alone sends, and in order. The patients of the crowd, the
doctors and the clinics are sent by all clients at once.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import Lock

from chaos import records
from chaos.ledger import Ledger, Request, Sending
from chaos.records import ALL, Identity
from upsert import RULES

FEWEST, MOST = 50, 2000  # records of a list
MANY = 3000  # patients of a client, who then seldom sends new ones: to check the books must not take ever longer
CROWDED = 40  # patients of the crowd that are sent for the first time, or again, at about the same moment
NEW, NEW_OF_MANY = 0.4, 0.05  # share of patients that are new
AGAIN = 0.15  # share of records that are sent just as before


@dataclass
class Draft:
    """A request that is not sent yet: its records by entity, in the order in which references resolve."""

    path: str
    sendings: dict[str, list[Sending]]
    atomic: bool = False


class Crowd:
    """Patients that all clients send. The newest of them are sent most, so that many are new to two clients at once."""

    def __init__(self) -> None:
        self._newest = 0
        self._lock = Lock()

    def some(self, rng: random.Random, count: int) -> list[Identity]:
        """Return so many of the newest patients, in any order."""
        with self._lock:
            self._newest += count // 4 or rng.random() < count / 4
            last = max(self._newest + CROWDED, count)
        first = max(0, last - max(count, CROWDED))
        numbers = rng.sample(range(first, last), count)
        return [Identity("patient", ALL, number) for number in numbers]


class Drafts:
    """The drafts of one client."""

    def __init__(
        self, space: int, rng: random.Random, ledger: Ledger, crowd: Crowd
    ) -> None:
        self._space, self._rng, self._ledger, self._crowd = space, rng, ledger, crowd
        self._known = 0  # patients of its own
        self._held: set[int] = (
            set()
        )  # of those: nobody may touch them before the next check

    def next(self) -> Draft:
        """Return a draft of any kind; it may be empty."""
        kinds = {self._single: 10, self._list: 4, self._everything: 3, self._atomic: 3}
        (kind,) = self._rng.choices([*kinds], [*kinds.values()])
        return kind()

    def house(self) -> Draft:
        """Return all clinics and doctors, to whom bookings refer."""
        clinics = self._house("clinic", records.CLINICS)
        doctors = self._house("doctor", records.DOCTORS)
        return Draft("/sync", {"clinic": clinics, "doctor": doctors})

    def hold(self, request: Request) -> None:
        """Send none of its own patients of this request again before the next check."""
        own = [it.identity.number for it in request.all if it.identity.space == self._space]
        self._held.update(own)

    def release(self) -> None:
        """Hold nobody any more: the books were checked."""
        self._held.clear()

    # --- Kinds of requests ---------------------------------------------------------------------

    def _single(self) -> Draft:
        makers: dict[str, Callable[[], list[Sending]]] = {
            "patient": lambda: self._patients(1),
            "appointment": lambda: self._bookings(1),
            "doctor": lambda: self._house("doctor", 1),
            "clinic": lambda: self._house("clinic", 1),
        }
        (entity,) = self._rng.choices([*makers], [6, 3, 1, 1])
        return Draft(f"/{entity}", {entity: makers[entity]()[:1]})

    def _list(self) -> Draft:
        entity = self._rng.choice(["patient", "patient", "patient", "appointment"])
        makers = {"patient": self._patients, "appointment": self._bookings}
        return Draft(f"/{RULES[entity].plural}", {entity: makers[entity](self._size())})

    def _everything(self) -> Draft:
        patients = self._patients(self._size() // 4)
        bookings = [*self._first_bookings(patients), *self._bookings(FEWEST)]
        house = {"clinic": self._house("clinic", 2), "doctor": self._house("doctor", 3)}
        return Draft("/sync", house | {"patient": patients, "appointment": bookings})

    def _atomic(self) -> Draft:
        draft = self._rng.choice([self._list, self._everything])()
        draft.atomic = True
        return draft

    def _size(self) -> int:
        """Return how many records a list gets: there are as many short lists as long ones."""
        return int(FEWEST * (MOST / FEWEST) ** self._rng.random())

    # --- Their records -------------------------------------------------------------------------

    def _patients(self, count: int) -> list[Sending]:
        """Return patients of its own, new and known, and some of the crowd; a few come twice."""
        crowded = self._rng.choice([0, self._rng.randint(0, min(count, 2 * CROWDED))])
        chosen = [self._own_patient() for _ in range(count - crowded)]
        chosen += self._crowd.some(self._rng, crowded)
        chosen += self._rng.choices(chosen, k=count // 30)
        self._rng.shuffle(chosen)
        return [self._sending(identity) for identity in chosen]

    def _own_patient(self) -> Identity:
        new = self._rng.random() < (NEW if self._known < MANY else NEW_OF_MANY)
        number = self._known if new else self._rng.randint(0, self._known)
        if number in self._held:
            number = self._known
        self._known = max(self._known, number + 1)
        return Identity("patient", self._space, number)

    def _house(self, entity: str, count: int) -> list[Sending]:
        numbers = range({"clinic": records.CLINICS, "doctor": records.DOCTORS}[entity])
        chosen = self._rng.sample(numbers, count)
        return [self._sending(Identity(entity, ALL, number)) for number in chosen]

    def _bookings(self, count: int) -> list[Sending]:
        """Return bookings of patients whose number is surely stored; fewer, where few are."""
        numbers = {self._rng.randint(0, self._known) for _ in range(count)} - self._held
        own = [Identity("appointment", self._space, number) for number in numbers]
        crowd = self._crowd.some(self._rng, min(count, CROWDED) // 4)
        others = [Identity("appointment", ALL, patient.number) for patient in crowd]
        sendings = [self._booking(booking) for booking in [*own, *others]]
        return [sending for sending in sendings if sending]

    def _booking(self, booking: Identity) -> Sending | None:
        number = self._ledger.sure_number(booking.patient)
        return self._sending(booking, number) if number else None

    def _first_bookings(self, patients: Sequence[Sending]) -> list[Sending]:
        """Return bookings of half of the patients of the same request, who may be new."""
        numbered = [it for it in patients if "patientNo" in it.record]
        chosen = self._rng.sample(numbered, len(numbered) // 2)
        return [self._first_booking(patient) for patient in chosen]

    def _first_booking(self, patient: Sending) -> Sending:
        of = patient.identity
        booking = Identity("appointment", of.space, of.number)
        sending = self._sending(booking, patient.record["patientNo"])
        sending.needs = patient
        return sending

    def _sending(self, identity: Identity, patient_no: str | None = None) -> Sending:
        edition = self._ledger.next_edition(identity, again=self._rng.random() < AGAIN)
        return Sending(identity, edition, records.sent(identity, edition, patient_no))


def again(request: Request) -> Draft:
    """Return what was sent as a draft for `/sync`."""
    sendings = {
        entity: [Sending(it.identity, it.edition, it.record, it.needs) for it in sent]
        for entity, sent in request.sendings.items()
    }
    return Draft("/sync", sendings)
