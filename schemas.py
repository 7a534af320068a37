"""What each entity looks like on the wire: the contract's section 3."""

from collections.abc import Collection, Mapping, Sequence
from datetime import tzinfo
from typing import Any

import words
from engine import canonical
from engine.entity import Batch, Entity
from engine.fields import (
    ABSENT,
    BLANK_CLEARS,
    BLANK_IS_ABSENT,
    BLANK_IS_REFUSED,
    CardNumber,
    Choice,
    Clock,
    Code,
    Codes,
    Day,
    DocumentNumber,
    Email,
    End,
    Flag,
    Identifier,
    Instant,
    Name,
    NationalId,
    OfficialId,
    Phone,
    RecordId,
    Text,
    shown,
)
from upsert import APPOINTMENT, CLINIC, DOCTOR, PATIENT

STATUS, LONG_TEXT = 40, 4000  # lengths in characters
TIME_TO_WRONG = "Must be after timeFrom (past midnight: 12 hours at most)."

_GENDERS = {
    "male": "Male",
    "m": "Male",
    "female": "Female",
    "f": "Female",
    "other": "Other",
    "unknown": "Unknown",
}
_GENDERS |= {"ذكر": "Male", "أنثى": "Female"}
_BLOOD_TYPES = {
    f"{group}{spelling}".lower(): f"{group}{sign}"
    for group in ("A", "B", "AB", "O")
    for sign, spellings in {
        "+": ("+", "+ve"),
        "-": ("-", "-ve", "\u2212", "\u2013"),
    }.items()
    for spelling in spellings
}


class Wire(Entity):
    """The base of all entities: the words for none."""

    nothing = words.NOTHING


class ClinicSchema(Wire):
    """Where patients are seen: a room, a department or a branch."""

    rules = CLINIC
    asking = "Missing: a clinic is known by its code."

    code = Code("the clinic's own code, which never changes")
    name = Name("the clinic's name")
    number = Text("its number in the house")
    specialization = Text("what it treats")
    clinic_type = Text("kind of clinic, as Outpatient")
    branch = Text("branch of the company")
    floor = Text("floor")
    location = Text("where to find it")
    account_no = Text("account in the ledger")
    cost_center_no = Text("cost centre")
    address = Text("postal address", length=LONG_TEXT, layout=True)
    phone = Phone("phone of the desk")
    email = Email("e-mail of the desk")
    is_active = Flag("whether it is in use; at first true")
    created_at = Instant(dump_only=True)
    updated_at = Instant(dump_only=True)


class DoctorSchema(Wire):
    """Who sees patients, and in which clinics."""

    rules = DOCTOR
    asking = "Missing: send code or licenseNumber, a doctor is known by one of them."

    code = Code("the doctor's number in the desktop program")
    license_number = OfficialId("licence to practise")
    name = Name("full name, with or without title")
    a_name = Name("full name in Arabic", blank=BLANK_CLEARS)
    branch = Text("branch of the company")
    gender = Choice("gender", _GENDERS)
    date_of_birth = Day("date of birth", birth=True)
    medical_reg_number = DocumentNumber("number in the medical register")
    id_number = CardNumber("number of the identity card")
    account_no = Text("account in the ledger")
    cost_center = Text("cost centre")
    description = Text("what patients read about the doctor", length=LONG_TEXT, layout=True)
    email = Email("e-mail")
    phone = Phone("phone")
    specialization = Text("medical field")
    is_active = Flag("whether the doctor works here; at first true")
    clinic_codes = Codes("clinics in which the doctor works, by code")
    created_at = Instant(dump_only=True)
    updated_at = Instant(dump_only=True)


class PatientSchema(Wire):
    """Who is treated, and logs in to the portal."""

    rules = PATIENT
    asking = "Missing: send patientNo or nationalID, or mobile with name; a patient is known by one of them."

    patient_no = Identifier("the patient's file number in the desktop program")
    national_id = NationalId("national identity or residence number")
    name = Name("full name")
    first_name = Text("given name")
    second_name = Text("father's name")
    last_name = Text("family name")
    mobile = Phone("mobile phone; with the name it can stand for a number")
    date_of_birth = Day("date of birth", birth=True)
    gender = Choice("gender", _GENDERS)
    email = Email("e-mail")
    phone = Phone("another phone")
    blood_type = Choice("blood group", _BLOOD_TYPES, spaced=True)
    is_active = Flag("whether the file is in use; at first true")
    created_at = Instant(dump_only=True)
    updated_at = Instant(dump_only=True)

    def faults(
        self, data: Mapping[str, Any], wrong: frozenset[str] = frozenset()
    ) -> dict[str, str]:
        """A placeholder name identifies nobody."""
        name = data.get("name")
        if name and words.is_placeholder_name(name):
            data = {other: value for other, value in data.items() if other != "name"}
            return super().faults(data, wrong) and {
                "patient_no": f"{self.asking} {shown(name)} names nobody."
            }
        return super().faults(data, wrong)


class AppointmentSchema(Wire):
    """A booking of a patient, with a doctor, in a clinic, at a time."""

    rules = APPOINTMENT
    asking = "Missing: needed unless the booking is stored and found by its appointmentNo."

    appointment_no = Identifier(
        "the booking's number in the desktop program; with it a booking can move"
    )
    patient_no = Identifier("who comes, by file number")
    patient_id = RecordId("who comes, by the portal's id")
    doctor_code = Code("to which doctor, by code")
    doctor_id = RecordId("to which doctor, by the portal's id")
    clinic_code = Code("in which clinic, by code")
    clinic_id = RecordId("in which clinic, by the portal's id")
    date = Day("day of the booking", blank=BLANK_IS_REFUSED, purpose="a booking's day")
    time_from = Clock("its beginning", blank=BLANK_IS_REFUSED)
    time_to = End("its end, past midnight by 12 hours at most")
    status = Text(
        "how it stands, in the clinic's own words; at first Scheduled",
        length=STATUS,
        blank=BLANK_IS_ABSENT,
    )
    notes = Text("notes", length=LONG_TEXT, layout=True)
    created_at = Instant(dump_only=True)
    updated_at = Instant(dump_only=True)

    def faults(
        self, data: Mapping[str, Any], wrong: frozenset[str] = frozenset()
    ) -> dict[str, str]:
        found = super().faults(data, wrong)
        if data.get("patient_id") or "patient_id" in wrong:
            found.pop("patient_no", None)
        time_from, time_to = data.get("time_from"), data.get("time_to")
        if time_from and time_to and not canonical.is_dated(time_to):
            found |= (
                {}
                if canonical.ends_well(time_from, time_to)
                else {"time_to": TIME_TO_WRONG}
            )
        return found

    def settle(self, batch: Batch) -> None:
        """Resolve a timeTo that was sent as the midnight of a day; without a date `reschedule` does it."""
        days, ends = batch.columns.get("date"), batch.columns.get("time_to")
        if not days or not ends:
            return
        dated = [
            at
            for at, end in enumerate(ends)
            if days[at] and end and canonical.is_dated(end)
        ]
        settled = list(ends)
        for at in dated:
            end, warning = canonical.settled_end(days[at], ends[at])
            settled[at] = end or ABSENT
            if warning:
                batch.warnings.setdefault(at, []).append(f"timeTo: {warning}")
        if dated:
            batch.columns["time_to"] = settled
            batch.gappy.add("time_to")

    def suspects(self, batch: Batch) -> Collection[int]:
        starts, ends = batch.columns.get("time_from"), batch.columns.get("time_to")
        if not starts or not ends:
            return super().suspects(batch)
        times = enumerate(zip(starts, ends, strict=True))
        doubtful = {at for at, (start, end) in times if start and end and start >= end}
        return doubtful.union(super().suspects(batch))

    def keys(self, columns: Mapping[str, Sequence[Any]], count: int) -> list[str | None]:
        """Return each booking's number, else who and when: `P-1 2026-06-15 10:30`."""
        names = ("appointment_no", "patient_no", "patient_id", "date", "time_from")
        nothing = [None] * count
        return [*map(_booking_key, *[columns.get(name, nothing) for name in names])]


def _booking_key(
    number: str, patient_no: str, patient_id: int, day: str, time_from: str
) -> str | None:
    who = patient_no or (patient_id and f"#{patient_id}")
    if number or not (who and day and time_from):
        return number or None
    return f"{who} {day} {time_from.removesuffix(':00')}"


Schemas = Mapping[str, Entity]  # by entity
ENTITIES: dict[str, type[Entity]] = {
    "clinic": ClinicSchema,
    "doctor": DoctorSchema,
    "patient": PatientSchema,
    "appointment": AppointmentSchema,
}
PLURALS = {schema.rules.plural: entity for entity, schema in ENTITIES.items()}


def all_for(phone_region: str, zone: tzinfo, reads_hijri: bool) -> dict[str, Entity]:
    """Return the schema of each entity, for a region (ISO 3166-1), a time zone, and with Hijri dates or without."""
    return {
        name: entity(phone_region, zone, reads_hijri) for name, entity in ENTITIES.items()
    }
