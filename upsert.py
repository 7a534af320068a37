"""The matching rules: the contract's section 4, as data. And a person's decisions: merge, retire.

What differs from entity to entity is a named function to which the rules point. The engine does the rest.
"""

import words
from engine import canonical
from engine.index import EntityIndex, Index, Lookup, Record, Records
from engine.match import agree, named, same
from engine.outcome import Notice, Notices
from engine.problems import Problem, ValidationFailed
from engine.rules import Reference, Rules, SharedKey, Values, reads, without
from models import Appointment, Clinic, Doctor, DoctorClinic, FormerKey, Patient

# --- Keys that several may share ---------------------------------------------------------------


def slot_key(patient_id: int, day: str, time_from: str) -> str:
    """Return the text under which the bookings of one patient at one moment meet."""
    return f"{patient_id} {day} {time_from}"


CONTACT = SharedKey(
    "mobile+name",
    ("mobile", "name"),
    "contact_key",
    "contact_rank",
    canonical.contact_key,
    crowd_is_nobody=True,
)
SLOT = SharedKey(
    "patient+date+time_from",
    ("patient_id", "date", "time_from"),
    "slot_key",
    "slot_rank",
    slot_key,
)

# --- Named rules: patients ---------------------------------------------------------------------


@reads("gender", "date_of_birth", "name")
def opposite_gender(data: Values, record: Record) -> bool:
    """Return whether one is male and the other female.

    With the same birth date the gender is a typing error, but not with a newborn's name: twins share the date.
    """
    if {data.get("gender"), record.values["gender"]} != {"Male", "Female"}:
        return False
    return words.is_newborn_name(data["name"]) or not same(data, record, "date_of_birth")


@reads("patient_no", "mobile", "name")
def placeholder_of_two_patients(data: Values, record: Record) -> bool:
    """Return whether both have a number, and the phone or the name that they share is only a placeholder."""
    if not (data.get("patient_no") and record.values["patient_no"]):
        return False
    name = data["name"]
    if words.is_newborn_name(name) or words.is_placeholder_name(name):
        return True
    return not canonical.is_phone(data["mobile"])


def without_the_mothers_id(data: Values, lookup: Lookup) -> tuple[Values, Notices]:
    """Remove the nationalID from a newborn's data if another patient holds it; return the data and the warning."""
    holders = {key: record for record, key in lookup.found}
    holder, own = holders.get("national_id"), holders.get("patient_no")
    if holder is None or own is holder:
        return data, ()
    name = data.get("name") or (own.values["name"] if own else "")
    if not words.is_newborn_name(name):
        return data, ()
    if own is None and _is_this_newborn(data, holder, lookup):
        return data, ()
    before = f'"{data["national_id"]}" is left out: it is that of patient '
    after = ", and this is a newborn: it is the mother's, or a twin's"
    return without(data, "national_id"), [Notice("national_id", before, (holder,), after)]


def _is_this_newborn(data: Values, record: Record, lookup: Lookup) -> bool:
    """Return whether a newborn's id leads to its own record. Twins agree in all but their numbers."""
    other_number = same(data, record, "patient_no") is False
    if other_number and record not in lookup.former_holders:
        return False
    return agree(PATIENT, data, record)


@reads("patient_no", "date_of_birth", if_shared=True)
def renumbered_by_contact(
    data: Values, record: Record, key: str, patients: EntityIndex
) -> Notices:
    """Warn where only phone and name say that a new number is the same person's."""
    if key != CONTACT.name:
        return ()
    old, new = record.values["patient_no"], data.get("patient_no")
    if not old or not new or old == new or same(data, record, "date_of_birth"):
        return ()
    before = f"{new} replaces {old}, for phone and name alone lead to patient "
    after = ". If they are two people, somebody must tell them apart"
    return [Notice("patient_no", before, (record,), after)]


# --- Named rules: bookings ---------------------------------------------------------------------


class SlotTaken(Problem):
    """The patient has another booking at that moment."""

    status, code, title = 409, "slot_taken", "The patient has another booking at that time"
    advice = "Send appointmentNo with both bookings, or move one, or retire the candidate."
    example = {
        "detail": "Another booking of this patient stands at that date and time.",
        "key": "A-5501",
        "candidates": [{"id": 30, "matchedBy": "patient+date+timeFrom"}],
    }


@reads("patient_id", "date", "time_from")
def takes_its_patient(data: Values, record: Record) -> bool:
    """Return whether a booking takes these data: the patient is not sent, the same, or another at the same moment."""
    if data.get("patient_id") in (None, record.values["patient_id"]):
        return True
    return all(data.get(part) == record.values[part] for part in ("date", "time_from"))


@reads("doctor_id", "clinic_id", if_shared=True)
def replaced_by_slot(
    data: Values, record: Record, key: str, bookings: EntityIndex
) -> Notices:
    """Warn where a booking that only its slot found gets another doctor or clinic."""
    if key != SLOT.name:
        return ()
    changed = [
        to for to in (TO_DOCTOR, TO_CLINIC) if same(data, record, to.column) is False
    ]
    return [_replaced(reference, data, record, bookings.index) for reference in changed]


def _replaced(reference: Reference, data: Values, record: Record, index: Index) -> Notice:
    others, column = index.of(reference.target), reference.column
    codes = f"{_code(others, record.values[column])} is replaced by {_code(others, data[column])}"
    sentence = f"{codes}: without a number two bookings at one time are one"
    return Notice(reference.code, sentence)


def _code(records: EntityIndex, record_id: int) -> str:
    """Return how people call a record to which another one refers: its code, else its id."""
    return records.existing(record_id).values[records.rules.unique[0]] or f"id {record_id}"


@reads("patient_id", "date", "time_from", "time_to", "appointment_no")
def reschedule(
    data: Values, record: Record, bookings: EntityIndex
) -> tuple[Values, Notices]:
    """Return the data sent for a stored booking with its end worked out, and warnings.

    Raises SlotTaken or ValidationFailed. A booking that moves without an end keeps its length. Two may share a slot
    only if each has a number.
    """
    data, warnings = _with_its_end(data, record)
    old, new = record.values, record.values | data
    slot = slot_key(*[new[name] for name in SLOT.sources])
    if slot != old["slot_key"]:
        others = bookings.find(SLOT.name, slot)
        _refuse_taken_slot(new, [other for other in others if other is not record])
    if new["time_from"] != old["time_from"] and "time_to" not in data and old["time_to"]:
        length = canonical.duration(old["time_from"], old["time_to"])
        data = data | {"time_to": canonical.time_after(new["time_from"], length)}
    _refuse_bad_end(old, old | data)
    return data, warnings


def _with_its_end(data: Values, record: Record) -> tuple[Values, Notices]:
    """Settle an end that was sent as the midnight of some day.

    The midnight after the booking's day (as sent, else as stored) is its end. Any other is left out.
    """
    time_to = data.get("time_to")
    if not time_to or not canonical.is_dated(time_to):
        return data, ()
    day = data.get("date") or record.values["date"]
    end, warning = canonical.settled_end(day, time_to)
    warnings = [Notice("time_to", warning)] if warning else []
    return (data | {"time_to": end} if end else without(data, "time_to")), warnings


def _refuse_taken_slot(new: Values, others: Records) -> None:
    holders = [other for other in others if not _may_share_a_slot(new, other.values)]
    if holders:
        raise SlotTaken(
            "Another booking of this patient stands at that date and time.",
            candidates=named(holders, SLOT.name),
            candidate_count=len(holders),
        )


def _may_share_a_slot(booking: Values, other: Values) -> bool:
    """Return whether both have a number: only then may two share a slot."""
    return bool(booking["appointment_no"] and other["appointment_no"])


def _refuse_bad_end(old: Values, new: Values) -> None:
    times = ("time_from", "time_to")
    if not new["time_to"] or [new[name] for name in times] == [old[name] for name in times]:
        return
    if not canonical.ends_well(new["time_from"], new["time_to"]):
        wrong = "Must be after the booking's timeFrom (past midnight: 12 hours at most)"
        raise ValidationFailed(
            "The booking would end before it starts.",
            errors={"time_to": [f"{wrong}; send it with the move."]},
        )


# --- The rules ---------------------------------------------------------------------------------

TO_PATIENT = Reference("patient_id", "patient_no", "patient")
TO_DOCTOR = Reference("doctor_id", "doctor_code", "doctor")
TO_CLINIC = Reference("clinic_id", "clinic_code", "clinic")
TO_CLINICS = Reference(
    "clinic_ids", "clinic_codes", "clinic", link_table=DoctorClinic.__table__
)

CLINIC = Rules(
    entity="clinic",
    table=Clinic.__table__,
    unique=("code",),
    defaults={"is_active": True},
)
DOCTOR = Rules(
    entity="doctor",
    table=Doctor.__table__,
    unique=("code", "license_number"),
    weak=("former_code",),
    former_table=FormerKey.__table__,
    contradicts=("license_number", "date_of_birth"),
    agrees=("name", "a_name", "date_of_birth"),
    birth="date_of_birth",
    first_word=words.given_name,
    references=(TO_CLINICS,),
    defaults={"is_active": True},
)
PATIENT = Rules(
    entity="patient",
    table=Patient.__table__,
    unique=("patient_no", "national_id"),
    weak=("former_patient_no", "mobile+name"),
    former_table=FormerKey.__table__,
    shared=CONTACT,
    contradicts=("national_id", "date_of_birth"),
    rules_out=(opposite_gender, placeholder_of_two_patients),
    agrees=("name", "date_of_birth"),
    birth="date_of_birth",
    given_name="first_name",
    first_word=words.given_name,
    is_none=words.NOTHING.is_word,
    defaults={"is_active": True},
    leaves_out=without_the_mothers_id,
    warns=renumbered_by_contact,
)
APPOINTMENT = Rules(
    entity="appointment",
    table=Appointment.__table__,
    unique=("appointment_no",),
    weak=("patient+date+time_from",),
    shared=SLOT,
    contradicts=("appointment_no",),
    references=(TO_PATIENT, TO_DOCTOR, TO_CLINIC),
    needs=("patient_id", "date", "time_from"),
    defaults={"status": "Scheduled"},
    belongs=takes_its_patient,
    belongs_not="The number belongs to a booking of another patient.",
    moves=reschedule,
    warns=replaced_by_slot,
)
# In this order references resolve.
RULES = {rules.entity: rules for rules in (CLINIC, DOCTOR, PATIENT, APPOINTMENT)}
MERGEABLE = tuple(rules.entity for rules in RULES.values() if rules.number)
RETIRABLE = tuple(rules.entity for rules in RULES.values() if len(rules.key_columns) > 1)

# --- A person's decisions ----------------------------------------------------------------------


def merge(rules: Rules, keep: Record, drop: Record, index: Index) -> None:
    """Make two records of one person one: `drop` goes, and its bookings pass to `keep`.

    The values of `keep` win. Its empty fields, keys too, are filled from `drop`. Numbers of `drop` that it does not
    take become former numbers of `keep`; other keys of `drop` are lost.
    """
    if all(keep.values[column] is None for column in rules.key_columns.values()):
        detail = "The record to keep has no key. Merge the other way round."
        raise ValidationFailed(detail)
    records = index.of(rules.entity)
    numbers = (
        [drop.values[rules.number], *records.former_numbers_of(drop)]
        if rules.number
        else []
    )
    filling = _filling(rules, keep, drop.values)
    records.remove(drop)
    for number in filter(None, numbers):
        records.set_former(number, keep)
    records.change(keep, filling)
    for others, column, referring in referring_to(rules, drop, index):
        for other in referring:
            _redirect(other, {column: keep.id}, others)


def referring_to(
    rules: Rules, record: Record, index: Index
) -> list[tuple[EntityIndex, str, list[Record]]]:
    """Return for each column that may refer to a record the other entity's index, the column, and who does.

    Tables of links are left out: none refers to whom can be merged or retired."""
    found = []
    for other in index.rules.values():
        columns = [
            reference.column
            for reference in other.references
            if reference.target == rules.entity
        ]
        for column in [name for name in columns if name in other.columns]:
            others = index.of(other.entity)
            others.load(column, [record.id])
            every = others.by_id.values()
            found.append(
                (
                    others,
                    column,
                    [
                        candidate
                        for candidate in every
                        if candidate.values[column] == record.id
                    ],
                )
            )
    return found


def _redirect(record: Record, changes: Values, records: EntityIndex) -> None:
    """Change what a record refers to; if it then has the shared key of another one, the two become one."""
    duplicate = _duplicate(record, changes, records)
    if duplicate is None:
        records.change(record, changes)
        return
    filling = _filling(records.rules, duplicate, record.values)
    records.remove(record)
    records.change(duplicate, filling)


def _duplicate(record: Record, changes: Values, records: EntityIndex) -> Record | None:
    """Return the oldest record that has the shared key which a change makes, or None.

    Two that both have numbers are no duplicates.
    """
    shared, number = records.rules.shared, records.rules.unique[0]
    key = records.shared_key(record.values | changes)
    if shared is None or key in (None, record.values[shared.column]):
        return None
    others = records.find(shared.name, key)
    if record.values[number] is not None:
        others = [other for other in others if other.values[number] is None]
    return others[0] if others else None


def retire(rules: Rules, record: Record, index: Index) -> None:
    """Take a record out of matching: it becomes inactive and gives up all keys; without `isActive` it is removed."""
    records = index.of(rules.entity)
    if "is_active" not in rules.columns:
        records.remove(record)
        return
    records.change(record, {"is_active": False})
    records.give_up_keys(record)


def _filling(rules: Rules, keep: Record, values: Values) -> Values:
    """Return what `values` know and `keep` does not; derived keys are left out."""
    made = (rules.shared.column, rules.shared.rank) if rules.shared else ()
    empty = [
        name
        for name, value in keep.values.items()
        if value in (None, ()) and name not in made
    ]
    return {name: values[name] for name in empty if values[name] not in (None, ())}
