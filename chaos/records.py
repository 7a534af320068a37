"""Records: who is sent, and what of them. Each sending of a record is an edition, whose values are all its own.

Values stand in the form in which the service answers them, so what is stored equals what was sent.
"""

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

Values = dict[str, Any]  # by JSON name

ALL = 0  # the space of those whom all clients send
CLINICS, DOCTORS = 6, 12  # of the house; all are in the space of all
TAG = 9  # characters
SECOND_DIGITS = "01345689"  # of Saudi mobiles, behind the 5
RENUMBERED_EVERY, MOVED_EVERY = 5, 4  # editions
# The field that tells whose a stored row is: its last TAG characters are the identity's tag.
TAGGED = {"clinic": "code", "doctor": "code", "patient": "name", "appointment": "notes"}
# The field that tells which edition is stored.
MARKED = {
    "clinic": "floor",
    "doctor": "branch",
    "patient": "lastName",
    "appointment": "status",
}
MARK = "Edition "
KEYS = ("patientNo", "nationalID")  # of patients: one of them may be left out


@dataclass(frozen=True, slots=True)
class Identity:
    """A clinic, doctor, patient or booking. The booking with a number is one of the patient with it."""

    entity: str
    space: int
    number: int

    @property
    def tag(self) -> str:
        """The text that its stored row is known by, in a field that never changes."""
        return f"{self.space:02}-{self.number:06}"

    @property
    def patient(self) -> "Identity":
        """Whose booking it is."""
        return Identity("patient", self.space, self.number)


def stored(identity: Identity, edition: int) -> Values:
    """Return what is stored of an edition; a booking's patient is told by its tag."""
    return _MAKERS[identity.entity](identity, edition) | {
        MARKED[identity.entity]: f"{MARK}{edition}"
    }


def sent(identity: Identity, edition: int, patient_no: str | None = None) -> Values:
    """Return what is sent of an edition; `patient_no` is what a booking calls its patient by."""
    values = stored(identity, edition)
    if identity.entity == "appointment":
        del values["patient"]
        values["patientNo"] = patient_no
    if identity.entity == "patient":
        values |= {key: None for key in KEYS if not carries(identity, edition, key)}
    return {name: value for name, value in values.items() if value is not None}


def carries(identity: Identity, edition: int, key: str) -> bool:
    """Return whether an edition of a patient is sent with this key. Those of all clients leave out one or none."""
    left_out = (None, *KEYS)[edition % 3]
    return identity.space != ALL or key != left_out


def keys(identity: Identity, edition: int) -> list[str]:
    """Return the patient's keys that an edition is sent with."""
    values = stored(identity, edition)
    return [values[key] for key in KEYS if carries(identity, edition, key)]


def edition_of(entity: str, values: Values) -> int | None:
    """Return the edition that a stored row claims to be."""
    mark = values.get(MARKED[entity]) or ""
    number = mark.removeprefix(MARK)
    return int(number) if mark.startswith(MARK) and number.isdecimal() else None


def agree(identity: Identity, edition: int, found: Values) -> bool:
    """Return whether a row is just this edition. A key that some editions leave out may be missing."""
    expected = stored(identity, edition)
    wrong = [name for name, value in expected.items() if found[name] != value]
    if identity.entity == "patient" and identity.space == ALL:
        wrong = [name for name in wrong if name not in KEYS or found[name] is not None]
    return not wrong


def clinic_code(number: int) -> str:
    """Return a clinic's code."""
    return f"C-{Identity('clinic', ALL, number).tag}"


def doctor_code(number: int) -> str:
    """Return a doctor's code."""
    return f"D-{Identity('doctor', ALL, number).tag}"


def _clinic(identity: Identity, edition: int) -> Values:
    return {
        "code": clinic_code(identity.number),
        "name": f"Clinic {identity.tag}",
        "address": f"{edition} Olaya Street",
        "email": _email(identity, edition),
        "isActive": True,
    }


def _doctor(identity: Identity, edition: int) -> Values:
    clinics = sorted({edition % CLINICS, (edition + identity.number) % CLINICS})
    return {
        "code": doctor_code(identity.number),
        "licenseNumber": f"L-{identity.tag}",
        "name": f"Sara Omar {identity.tag}",
        "description": f"Sees patients for the {edition}th time",
        "email": _email(identity, edition),
        "clinicCodes": [clinic_code(number) for number in clinics],
        "isActive": True,
    }


def _patient(identity: Identity, edition: int) -> Values:
    everybody = identity.space * 800_000 + identity.number + 1
    second, rest = divmod(everybody, 10_000_000)
    return {
        "patientNo": patient_no(identity, edition),
        "nationalID": f"11{everybody:08}",
        "name": f"Noura Salem {identity.tag}",
        "mobile": f"+9665{SECOND_DIGITS[second]}{rest:07}",
        "dateOfBirth": f"{1940 + everybody % 80}-{1 + everybody % 12:02}-{1 + everybody % 28:02}",
        "gender": "Female",
        "email": _email(identity, edition),
        "isActive": True,
    }


def patient_no(identity: Identity, edition: int) -> str:
    """Return a patient's number; one that a single client owns gets a new one every few editions."""
    if identity.space == ALL:
        return f"P-{identity.tag}"
    return f"P-{identity.tag}-{edition // RENUMBERED_EVERY}"


def _appointment(identity: Identity, edition: int) -> Values:
    """Return a booking. Each third has no number: only its patient, date and time tell it, and it never moves."""
    values = {
        "patient": identity.tag,
        "doctorCode": doctor_code(edition % DOCTORS),
        "clinicCode": clinic_code(edition % CLINICS),
        "notes": identity.tag,
    }
    if identity.number % 3 == 0:
        slot = {"date": "2031-01-01", "timeFrom": "08:00:00", "timeTo": "08:30:00"}
        return values | {"appointmentNo": None} | slot
    day = date(2027, 1, 1) + timedelta(days=edition // MOVED_EVERY)
    slot = {"date": day.isoformat(), "timeFrom": "10:30:00", "timeTo": "11:00:00"}
    return values | {"appointmentNo": f"A-{identity.tag}"} | slot


def _email(identity: Identity, edition: int) -> str:
    return f"e{edition}.{identity.tag}@mail.example"


_MAKERS = {
    "clinic": _clinic,
    "doctor": _doctor,
    "patient": _patient,
    "appointment": _appointment,
}
