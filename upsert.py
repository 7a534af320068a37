"""Matching: which stored record, if any, does this data describe? And what follows: create, update or refuse.

The rules are the table of the contract's section 4, and stand here as data. Everything else works on
an `Index`, whatever the entity. Nothing here commits, and nothing knows of HTTP or JSON.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from functools import cache
from itertools import repeat
from operator import attrgetter, itemgetter, methodcaller
from typing import Any

import words
from engine import canonical
from engine.problems import (
    AmbiguousMatch,
    IdentityConflict,
    Problem,
    SlotTaken,
    UnknownReference,
    ValidationFailed,
)
from index import (
    CONTACT,
    FORMER,
    RANKED,
    SLOT,
    Batch,
    Index,
    Keys,
    Reference,
    Shelf,
    Stored,
    Values,
)
from models import Appointment, Clinic, Doctor, Patient

BIRTH = "date_of_birth"
GIVEN_NAME = "first_name"
CROWD = 20  # stored records that may share a weak key: more are no identity any more


@dataclass(frozen=True)
class Notice:
    """A warning that matching gives: of which field, and what was done, with the ids of stored records in its middle.

    It is put together when it is told, for a new record has its id only when it is written.
    """

    field: str
    before: str
    records: tuple[Stored, ...] = ()
    after: str = ""

    def text(self, gone: Set[int] = frozenset()) -> str:
        """Return the sentence; the ids in `gone` were given in a transaction that was rolled back, and are nobody's."""
        ids = [record.public_id for record in self.records]
        named = [
            "(new)" if record_id is None or record_id in gone else str(record_id)
            for record_id in ids
        ]
        return f"{self.before}{', '.join(named)}{self.after}"


Found = Sequence[
    tuple[Stored, str]
]  # the records that unique keys lead to, each with the key, in the keys' order


@dataclass(frozen=True, kw_only=True, eq=False)
class Rules(Keys):
    """How an entity's records are matched.

    `contradicts`: fields that rule out a weak match where both sides know them and they differ.
    `rules_out`: named rules that rule out what one weak key found.
    `agrees`: fields that tell a re-numbered record from somebody else's (names, and the birth date).
    `needs`: fields without which nothing is created.
    Further named rules: `leaves_out` takes from the data what is somebody else's, `belongs` tells whether a found
    record takes the data, `moves` what an update entails, and `warns` what the sender should look at.
    """

    contradicts: tuple[str, ...] = ()
    rules_out: Mapping[str, tuple[Callable[[Values, Stored], bool], ...]] = field(
        default_factory=dict
    )
    agrees: tuple[str, ...] = ()
    needs: tuple[str, ...] = ("name",)
    leaves_out: Callable[[Values, Found, Shelf], tuple[Values, Sequence[Notice]]] | None = None
    belongs: Callable[[Values, Stored], bool] | None = None
    moves: Callable[[Values, Stored, Shelf], tuple[Values, Sequence[Notice]]] | None = None
    warns: Callable[[Values, Stored, str, Shelf], Sequence[Notice]] | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The fields of `agrees` that hold names."""
        return tuple(name for name in self.agrees if name != BIRTH)


# --- Named rules: patients ---------------------------------------------------------------------


def opposite_gender(data: Values, record: Stored) -> bool:
    """Tell whether one is male and the other female, and no birth date says that this is a typing error.

    A newborn's birth date says nothing: twins share it.
    """
    if {data.get("gender"), record.values["gender"]} != {"Male", "Female"}:
        return False
    return words.is_newborns(data["name"]) or not _same(data, record, BIRTH)


def placeholder_of_two_files(data: Values, record: Stored) -> bool:
    """Tell whether two files share what many do: a phone that is no number, or a newborn's or nobody's name."""
    if not (data.get("patient_no") and record.values["patient_no"]):
        return False
    name = data["name"]
    return (
        not canonical.is_phone(data["mobile"]) or words.is_newborns(name) or words.is_nobodys(name)
    )


def without_the_mothers_id(
    data: Values, found: Found, shelf: Shelf
) -> tuple[Values, Sequence[Notice]]:
    """Return a newborn's data without a nationalID that is somebody else's, for it is the mother's; and the warning."""
    holders = {key: record for record, key in found}
    holder, own = holders.get("national_id"), holders.get("patient_no")
    if (
        holder is None
        or own is holder
        or not words.is_newborns(data.get("name") or (own.values["name"] if own else ""))
    ):
        return data, ()
    if own is None and _is_this_newborn(data, holder, shelf):
        return data, ()
    before = f'"{data["national_id"]}" is left out: it is that of patient '
    after = ", and this is a newborn: it is the mother's, or a twin's"
    left = {field: value for field, value in data.items() if field != "national_id"}
    return left, [Notice("national_id", before, (holder,), after)]


def _is_this_newborn(data: Values, record: Stored, shelf: Shelf) -> bool:
    """Tell whether a newborn's id leads to its own record. Twins agree in all but their numbers."""
    other_file = _same(data, record, "patient_no") is False
    if other_file and not shelf.has_given_up(record, "patient_no", data["patient_no"]):
        return False
    return _agree(PATIENT, data, record)


def renumbered_by_contact(data: Values, record: Stored, key: str, shelf: Shelf) -> Sequence[Notice]:
    """Warn where only phone and name say that a new number is the same person's."""
    if key != CONTACT.name:
        return ()
    old, new = record.values["patient_no"], data.get("patient_no")
    if not old or not new or old == new or _same(data, record, BIRTH):
        return ()
    before = f"{new} replaces {old}, for phone and name alone lead to patient "
    return [
        Notice(
            "patient_no",
            before,
            (record,),
            ". If they are two people, somebody must tell them apart",
        )
    ]


# --- Named rules: bookings ---------------------------------------------------------------------


def replaced_by_slot(data: Values, record: Stored, key: str, shelf: Shelf) -> Sequence[Notice]:
    """Warn where a booking without a number changes the doctor or clinic of the one at its moment."""
    if key != SLOT.name:
        return ()
    notices = []
    for reference in APPOINTMENT.references[1:]:
        old, new = record.values[reference.column], data.get(reference.column)
        if old and new and old != new:
            codes = f"{_code(reference, old, shelf.index)} is replaced by {_code(reference, new, shelf.index)}"
            notices.append(
                Notice(
                    reference.code, f"{codes}: without a number two bookings at one time are one"
                )
            )
    return notices


def _code(reference: Reference, record_id: int, index: Index) -> str:
    """Return how people call a record that another refers to: its code, else its id."""
    shelf = index.shelf(RULES[reference.target])
    return shelf.the(record_id).values[shelf.keys.unique[0]] or f"id {record_id}"


def keeps_its_patient(data: Values, record: Stored) -> bool:
    """Tell whether a booking found by its number is the one described: with another patient, at its own moment only."""
    same_patient = data.get("patient_id") in (None, record.values["patient_id"])
    return same_patient or all(
        data.get(part) == record.values[part] for part in ("date", "time_from")
    )


def reschedule(data: Values, record: Stored, shelf: Shelf) -> tuple[Values, Sequence[Notice]]:
    """Return the data of a stored booking with its end, and warnings; raise SlotTaken or ValidationFailed.

    A booking that moves without an end keeps its length. Two may share a slot only if each has a number.
    """
    data, warnings = _with_its_end(data, record)
    old, new = record.values, record.values | data
    if SLOT.of(new) != old[SLOT.column]:
        _refuse_taken_slot(new, record, shelf)
    if new["time_from"] != old["time_from"] and "time_to" not in data and old["time_to"]:
        length = canonical.duration(old["time_from"], old["time_to"])
        data, new = (
            it | {"time_to": canonical.time_after(new["time_from"], length)} for it in (data, new)
        )
    if new["time_to"] and not canonical.ends_well(new["time_from"], new["time_to"]):
        wrong = [
            "Must be after the booking's timeFrom (past midnight: 12 hours at most); send it with the move."
        ]
        raise ValidationFailed("The booking would end before it starts.", errors={"time_to": wrong})
    return data, warnings


def _with_its_end(data: Values, record: Stored) -> tuple[Values, Sequence[Notice]]:
    """Settle an end that is the midnight of some day by the stored date: it is the booking's, or none."""
    time_to = data.get("time_to")
    if not time_to or not canonical.is_dated(time_to):
        return data, ()
    end, warning = canonical.settled_end(data.get("date") or record.values["date"], time_to)
    left = {name: value for name, value in data.items() if name != "time_to"}
    return (left | {"time_to": end} if end else left), (
        [Notice("time_to", warning)] if warning else ()
    )


def _refuse_taken_slot(new: Values, record: Stored, shelf: Shelf) -> None:
    others = sorted(shelf.find(SLOT.name, SLOT.of(new)), key=lambda other: other.age)
    holders = [
        it
        for it in others
        if it is not record and not (new["appointment_no"] and it.values["appointment_no"])
    ]
    if holders:
        raise SlotTaken(
            "Another booking of this patient stands at that date and time.",
            candidates=[(holder, SLOT.name) for holder in holders],
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
    contradicts=("license_number", "date_of_birth"),
    agrees=("name", "a_name", "date_of_birth"),
    references=(Reference("clinic_ids", "clinic_codes", "clinic", many=True),),
    defaults={"is_active": True},
)
PATIENT = Rules(
    entity="patient",
    table=Patient.__table__,
    unique=("patient_no", "national_id"),
    weak=("former_patient_no", "mobile+name"),
    contradicts=("national_id", "date_of_birth"),
    rules_out={"mobile+name": (opposite_gender, placeholder_of_two_files)},
    agrees=("name", "date_of_birth"),
    defaults={"is_active": True},
    leaves_out=without_the_mothers_id,
    warns=renumbered_by_contact,
)
APPOINTMENT = Rules(
    entity="appointment",
    table=Appointment.__table__,
    unique=("appointment_no",),
    weak=("patient+date+time_from",),
    contradicts=("appointment_no",),
    references=(
        Reference("patient_id", "patient_no", "patient"),
        Reference("doctor_id", "doctor_code", "doctor"),
        Reference("clinic_id", "clinic_code", "clinic"),
    ),
    needs=("patient_id", "date", "time_from"),
    defaults={"status": "Scheduled"},
    belongs=keeps_its_patient,
    moves=reschedule,
    warns=replaced_by_slot,
)
# In this order references resolve.
RULES = {rules.entity: rules for rules in (CLINIC, DOCTOR, PATIENT, APPOINTMENT)}


@dataclass(slots=True)
class Outcome:
    """What became of one record. `changed` are fields as they are sent; `action` is created, updated or unchanged."""

    action: str
    record: Stored
    matched_by: str | None
    warnings: Sequence[Notice] = ()
    changed: Sequence[str] = ()


# --- A chunk -----------------------------------------------------------------------------------


def upsert(
    rules: Rules, batch: Batch, index: Index, refused: Set[tuple[str, str]]
) -> list[Outcome | Problem]:
    """Match each record and change the index accordingly, in order; nothing is written yet.

    `refused` are (entity, identifier) that no reference may use.
    """
    told: dict[int, Outcome | Problem] = {}
    warnings: dict[int, list[Notice]] = {}
    if rules.references:
        batch, warnings, told = _resolve_all(rules, batch, index, refused)
    places = range(len(batch.rows))
    told |= _upsert_all(
        rules, batch, [place for place in places if place not in told], index.shelf(rules)
    )
    for place, sentences in warnings.items():
        if isinstance(outcome := told[place], Outcome):
            outcome.warnings = [*sentences, *outcome.warnings]
    return [told[place] for place in places]


def _upsert_all(
    rules: Rules, batch: Batch, places: Sequence[int], shelf: Shelf
) -> dict[int, Outcome | Problem]:
    """Return what becomes of the records at these places: in columns where nobody has to be matched, else in turn."""
    stored = _stored(rules, batch, places, shelf)
    if len(stored) == len(places):
        return {**stored}
    rest = [place for place in places if place not in stored]
    strangers = _strangers(rules, batch, rest, shelf)
    if len(strangers) == len(rest):
        created = map(
            Outcome, repeat("created"), shelf.add_strangers(batch, strangers), repeat(None)
        )
        return {**stored, **dict(zip(strangers, created, strict=True))}
    sent = {place: batch[place] for place in rest}
    _ask_for_new_keys(
        rules, [data for place, data in sent.items() if place not in strangers], shelf
    )
    told: dict[int, Outcome | Problem] = {}
    for place in places:
        if place in stored and _is_still_alone(stored[place], batch, place, shelf):
            told[place] = stored[place]
        elif place in strangers and not shelf.shares(strangers[place]):
            told[place] = Outcome("created", shelf.add(sent[place]), None)
        else:
            told[place] = _attempt(_upsert_one, rules, sent.get(place) or batch[place], shelf)
    return told


def _is_still_alone(outcome: Outcome, batch: Batch, place: int, shelf: Shelf) -> bool:
    """Tell whether since then nobody has asked for a record, or come to share the weak key that led to it."""
    if outcome.record.id in shelf.records:
        return False
    key = outcome.matched_by
    return key not in RANKED or not shelf.shares(batch.keys(key, [place])[0])


def _attempt(step: Callable[..., Any], *args: Any) -> Any:
    try:
        return step(*args)
    except Problem as problem:
        return problem


def _stored(rules: Rules, batch: Batch, places: Sequence[int], shelf: Shelf) -> dict[int, Outcome]:
    """Return the outcomes of what is stored as it was sent, by place, and load what else the keys that tell lead to.

    Nothing more is asked of these, for no other key can object.
    """
    stored: dict[int, Outcome] = {}
    for key in rules.key_columns:
        sent = {
            place: value
            for place, value in zip(places, batch.keys(key, places), strict=True)
            if value
        }
        found = shelf.ask_unless_stored(key, sent, batch)
        stored |= {place: Outcome("unchanged", record, key) for place, record in found.items()}
        places = [place for place in places if place not in sent]
    return stored


def _strangers(
    rules: Rules, batch: Batch, places: Sequence[int], shelf: Shelf
) -> dict[int, str | None]:
    """Return the places of new records, each with the weak key that it makes: their keys lead to nobody, and come once.

    All that the keys that were sent lead to is loaded.
    """
    strangers, weak_keys = places, {}
    for key in rules.key_columns:
        asked = places if key in rules.unique else strangers
        sent = dict(zip(asked, batch.keys(key, asked), strict=True))
        shelf.ask(key, filter(None, sent.values()))
        if taken := shelf.taken(key, sent.values()):
            strangers = [place for place in strangers if sent[place] not in taken]
        weak_keys = {} if key in rules.unique else sent
    needed = zip(*[batch.column(name, strangers) for name in rules.needs], strict=True)
    return {
        place: weak_keys.get(place)
        for place, values in zip(strangers, needed, strict=True)
        if all(values)
    }


def _ask_for_new_keys(rules: Rules, sent: Iterable[Values], shelf: Shelf) -> None:
    """Load what those keys lead to that stored and sent parts make together."""
    if rules.ranked:
        shelf.ask(rules.ranked.name, filter(None, [_new_key(rules, data, shelf) for data in sent]))


@cache
def _value_of(key: str) -> Callable[[Values], Any]:
    """Return what takes a key's value from data, None if the data has none."""
    return RANKED[key].of if key in RANKED else methodcaller("get", key.removeprefix(FORMER))


def _new_key(rules: Rules, data: Values, shelf: Shelf) -> str | None:
    """Return the weak key that the data and what its unique keys find make together, unless it is stored so."""
    ranked = rules.ranked
    found = next(
        filter(None, (shelf.find(key, data[key]) for key in rules.unique if key in data)), None
    )
    if not ranked or not found:
        return ranked.of(data) if ranked else None
    whole = found[0].values | data
    return None if ranked.parts(whole) == ranked.parts(found[0].values) else ranked.of(whole)


# --- References --------------------------------------------------------------------------------


def _resolve_all(
    rules: Rules, batch: Batch, index: Index, refused: Set[tuple[str, str]]
) -> tuple[Batch, dict[int, list[Notice]], dict[int, Outcome | Problem]]:
    """Return the batch with ids for references, and by place the warnings and the problems of those that have any."""
    sent = [batch[place] for place in range(len(batch.rows))]
    for reference in rules.references:
        shelf = index.shelf(RULES[reference.target])
        codes = [data[reference.code] for data in sent if data.get(reference.code)]
        shelf.ask("id", [data[reference.column] for data in sent if reference.column in data])
        shelf.ask(
            shelf.keys.unique[0], {it for many in codes for it in many} if reference.many else codes
        )
    resolved = [_attempt(_resolve, rules, data, index, refused) for data in sent]
    problems: dict[int, Outcome | Problem] = {
        it: p for it, p in enumerate(resolved) if isinstance(p, Problem)
    }
    good = [({}, []) if isinstance(it, Problem) else it for it in resolved]
    return (
        Batch.of(data for data, _ in good),
        {place: told for place, (_, told) in enumerate(good) if told},
        problems,
    )


def _resolve(
    rules: Rules, data: Values, index: Index, refused: Set[tuple[str, str]]
) -> tuple[Values, Sequence[Notice]]:
    """Return the data with ids for references, and warnings; raise what is wrong with any of them, all at once."""
    data, wrong, unknown = dict(data), {}, {}
    warnings: list[Notice] = []
    for reference in rules.references:
        target, shelf = reference.target, index.shelf(RULES[reference.target])
        if reference.many:
            warnings += _resolve_list(reference, data, shelf)
            continue
        record_id, code = data.pop(reference.column, None), data.pop(reference.code, None)
        by_id = shelf.get(record_id) if record_id else None
        by_code = _by_code(shelf, code) if code and (target, code) not in refused else None
        if record_id and not by_id:
            unknown[reference.column] = [f"No {target} with id {record_id} is stored."]
        if (target, code) in refused:
            unknown[reference.code] = [f"The {target} {code} was refused in this same request."]
        elif code and not by_code:
            unknown[reference.code] = [f"No {target} {code} is stored."]
        if by_id and by_code and by_id is not by_code:
            wrong[reference.code] = [f"Is not the {target} with id {record_id}."]
        if record := by_id or by_code:
            data[reference.column] = record.id
    if wrong:
        raise ValidationFailed("An id and a code name two different records.", errors=wrong)
    if unknown:
        raise UnknownReference(
            "The record refers to what is not stored. Send that first.", errors=unknown
        )
    return data, warnings


def _by_code(shelf: Shelf, code: str) -> Stored | None:
    """Return the record with this number, or else the one that gave it up."""
    number = shelf.keys.unique[0]
    held = shelf.find(number, code) or (
        shelf.find(FORMER + number, code) if shelf.keys.number else ()
    )
    return held[0] if held else None


def _resolve_list(reference: Reference, data: Values, shelf: Shelf) -> list[Notice]:
    codes = data.pop(reference.code, None)
    if codes is None:
        return []
    found = {code: record.id for code in codes if (record := _by_code(shelf, code))}
    data[reference.column] = tuple(sorted(found.values()))
    missing = [code for code in codes if code not in found]
    return [
        Notice(reference.code, f"{reference.target} {code} is not stored, left out")
        for code in missing
    ]


# --- Matching ----------------------------------------------------------------------------------


def match(
    rules: Rules, data: Values, shelf: Shelf, found: Found
) -> tuple[Stored | None, str | None, Sequence[Notice]]:
    """Return the stored record that `data` describes, the first key that found it, and warnings; None: nobody.

    `found` is what its unique keys lead to. Raises IdentityConflict or AmbiguousMatch where a person must decide.
    Changes nothing.
    """
    if found:
        if _are_several(found):
            raise IdentityConflict("Its keys belong to different stored records.", candidates=found)
        _refuse_somebody_else(rules, data, found, shelf)
        return *found[0], ()
    for key in rules.weak:
        holders = _holders(key, data, shelf)
        candidates = [record for record in holders if not _contradicts(rules, key, data, record)]
        if key == CONTACT.name and len(holders) > CROWD:
            return None, None, _one_of_a_crowd(rules, data, key, holders)
        if len(candidates) == 1:
            return candidates[0], key, ()
        if candidates:
            return None, None, _one_more_file(rules, data, key, candidates)
    return None, None, ()


def _found(rules: Rules, data: Values, shelf: Shelf) -> Found:
    return [
        (record, key)
        for key in rules.unique
        if data.get(key)
        for record in shelf.find(key, data[key])
    ]


def _is_certain(rules: Rules, found: Found) -> bool:
    """Tell whether a record carries several unique keys, and all lead to one: nothing else can object."""
    return len(found) == len(rules.unique) > 1 and not _are_several(found)


def _are_several(found: Found) -> bool:
    return len({*map(itemgetter(0), found)}) > 1


def _leave_out(
    rules: Rules, data: Values, found: Found, shelf: Shelf
) -> tuple[Values, Found, Sequence[Notice]]:
    """Return the data without what is somebody else's, what its unique keys lead to then, and warnings."""
    if not found or not rules.leaves_out:
        return data, found, ()
    left, warnings = rules.leaves_out(data, found, shelf)
    return left, _found(rules, left, shelf) if warnings else found, warnings


def _refuse_somebody_else(rules: Rules, data: Values, found: Found, shelf: Shelf) -> None:
    """Raise IdentityConflict if the record that unique keys found is not the one that the data describes."""
    record = found[0][0]
    if len(found) < len(rules.unique):
        differing = [key for key in rules.unique if _same(data, record, key) is False]
        renumbered = [key for key in differing if not shelf.has_given_up(record, key, data[key])]
        if renumbered and not _agree(rules, data, record):
            raise IdentityConflict(
                "Another key differs, and name and birth date do not agree.", candidates=found
            )
    by_one_key = len(found) == 1
    if (
        by_one_key
        and _same(data, record, BIRTH) is False
        and _same_name(rules, data, record) is False
    ):
        raise IdentityConflict(
            "The number belongs to somebody with another name and birth date.", candidates=found
        )
    if rules.belongs and not rules.belongs(data, record):
        raise IdentityConflict(
            "The number belongs to a booking of another patient.", candidates=found
        )


def _holders(key: str, data: Values, shelf: Shelf) -> Sequence[Stored]:
    """Return the records that a weak key of the data leads to."""
    value = _value_of(key)(data)
    return shelf.find(key, value) if value else ()


def _one_of_a_crowd(
    rules: Rules, data: Values, key: str, holders: Sequence[Stored]
) -> list[Notice]:
    """Return the warning of a new record at a phone and name of many; raise AmbiguousMatch if it has no unique key."""
    if not any(data.get(name) for name in rules.unique):
        raise _ambiguous(key, holders)
    return [
        Notice(
            "mobile",
            f"it is, with the name, that of {len(holders)} {rules.entity}s and tells nobody: a new one",
        )
    ]


def _one_more_file(
    rules: Rules, data: Values, key: str, candidates: Sequence[Stored]
) -> list[Notice]:
    """Return the warning of one more file at a phone and name of several; raise AmbiguousMatch unless all are files."""
    number = rules.number
    if (
        not number
        or not data.get(number)
        or not all(record.values[number] for record in candidates)
    ):
        raise _ambiguous(key, candidates)
    sharing = tuple(_oldest_first(candidates))
    before = f"it is, with the name, also that of {rules.entity} "
    return [Notice("mobile", before, sharing, ": a file of its own")]


def _ambiguous(key: str, candidates: Sequence[Stored]) -> AmbiguousMatch:
    fitting = [(record, key) for record in _oldest_first(candidates)]
    return AmbiguousMatch("Several stored records fit equally well.", candidates=fitting)


def _oldest_first(records: Iterable[Stored]) -> list[Stored]:
    return sorted(records, key=attrgetter("age"))


def _contradicts(rules: Rules, key: str, data: Values, record: Stored) -> bool:
    if any(_same(data, record, name) is False for name in rules.contradicts):
        return True
    if key.startswith(FORMER):
        return _same_name(rules, data, record) is False and not _same(data, record, BIRTH)
    return any(speaks_against(data, record) for speaks_against in rules.rules_out.get(key, ()))


def _agree(rules: Rules, data: Values, record: Stored) -> bool:
    """Tell a re-numbered person from another one: a father's id typed for his twins agrees with neither."""
    same_name, same_birth = _same_name(rules, data, record), _same(data, record, BIRTH)
    if same_name:
        return same_birth is not False
    given = [_known_given_name(side) for side in (data, record.values)]
    if all(given) and given[0] != given[1]:
        return False
    return bool(same_birth) and bool(_same_name(rules, data, record, words.given_name))


def _known_given_name(values: Values) -> str:
    name = values.get(GIVEN_NAME) or ""
    return "" if words.is_none(name) else canonical.fold_name(name)


def _same(data: Values, record: Stored, name: str) -> bool | None:
    """Compare one field; None where not both sides know it."""
    sent, stored = data.get(name), record.values.get(name)
    return None if sent is None or stored is None else sent == stored


def _same_name(
    rules: Rules, data: Values, record: Stored, part: Callable[[str], str] = lambda folded: folded
) -> bool | None:
    """Tell whether any name is the same on both sides, in the given part; None where no name is known on both."""
    known = [
        name
        for name in rules.names
        if all(map(_known_name, (data.get(name), record.values.get(name))))
    ]
    pairs = [
        [part(canonical.fold_name(side[name])) for side in (data, record.values)] for name in known
    ]
    return any(sent == stored != "" for sent, stored in pairs) if pairs else None


def _known_name(name: str | None) -> bool:
    """Tell whether a name can speak: one that would be refused today was stored by older rules, and is unknown."""
    return name is not None and words.is_readable(name)


# --- What follows ------------------------------------------------------------------------------


def _upsert_one(rules: Rules, data: Values, shelf: Shelf) -> Outcome:
    found = _found(rules, data, shelf)
    if _is_certain(rules, found):
        return _update(rules, data, found[0], (), shelf)
    data, found, warnings = _leave_out(rules, data, found, shelf)
    record, key, doubts = match(rules, data, shelf, found)
    warnings = (*warnings, *doubts)
    if record is None or key is None:
        return Outcome("created", _create(rules, data, shelf), None, warnings)
    return _update(rules, data, (record, key), warnings, shelf)


def _update(
    rules: Rules, data: Values, found: tuple[Stored, str], warnings: Sequence[Notice], shelf: Shelf
) -> Outcome:
    """Change the record that a key found as the data say."""
    record, key = found
    number = rules.number
    if number in data and shelf.has_given_up(record, number, data[number]):
        kept = (
            f"{data[number]} is a former number of this {rules.entity}, which keeps its current one"
        )
        warnings = (*warnings, Notice(number, kept))
        data = {name: value for name, value in data.items() if name != number}
    if rules.moves:
        data, moved = rules.moves(data, record, shelf)
        warnings = (*warnings, *moved)
    stored = record.values
    changes = {name: value for name, value in data.items() if stored[name] != value}
    if not changes:
        return Outcome("unchanged", record, key, warnings)
    if rules.warns:
        warnings = (*warnings, *rules.warns(data, record, key, shelf))
    shelf.change(record, changes)
    changed = [rules.codes.get(name, name) for name in changes] if rules.codes else list(changes)
    return Outcome("updated", record, key, warnings, changed)


def _create(rules: Rules, data: Values, shelf: Shelf) -> Stored:
    missing = [name for name in rules.needs if data.get(name) is None]
    if missing:
        raise ValidationFailed(
            f"No stored {rules.entity} fits, and there is too little to create one.",
            errors={
                rules.codes.get(name, name): [f"Missing: needed to create the {rules.entity}."]
                for name in missing
            },
        )
    if not _has_a_key(rules, data):
        wrong = {
            rules.unique[0]: [
                f"Missing: without what is left out, nothing tells the {rules.entity} from others."
            ]
        }
        raise ValidationFailed(
            "Nothing is left by which the record could be found again.", errors=wrong
        )
    return shelf.add(data)


def _has_a_key(rules: Rules, data: Values) -> bool:
    return any(data.get(key) for key in rules.unique) or bool(
        rules.ranked and rules.ranked.of(data)
    )


def describe(rules: Rules, record: Stored, index: Index) -> Values:
    """Return a record's values with the codes of what it refers to."""
    values = record.values | {"id": record.public_id}
    for reference in rules.references:
        shelf = index.shelf(RULES[reference.target])
        number = shelf.keys.unique[0]
        linked = values[reference.column]
        if reference.many:
            shelf.ask("id", linked)
            values[reference.code] = sorted(shelf.the(it).values[number] for it in linked)
        else:
            values[reference.code] = None if linked is None else shelf.the(linked).values[number]
            values[reference.column] = linked if linked is None or linked > 0 else None
    return values


def describe_all(rules: Rules, record_ids: Sequence[int], index: Index) -> list[Values]:
    """Return the described records with these ids, with a few queries; one that is not stored is left out."""
    shelf = index.shelf(rules)
    shelf.ask("id", record_ids)
    records = [shelf.records[record_id] for record_id in record_ids if record_id in shelf.records]
    for reference in rules.references:
        linked = [record.values[reference.column] for record in records]
        ids = (
            [it for ids in linked for it in ids]
            if reference.many
            else [it for it in linked if it is not None]
        )
        index.shelf(RULES[reference.target]).ask("id", ids)
    return [describe(rules, record, index) for record in records]


# --- A person's decisions ----------------------------------------------------------------------


def merge(rules: Rules, keep: Stored, drop: Stored, index: Index) -> None:
    """Make two records of one person one: `drop` goes, its bookings and keys pass to `keep`.

    The values of `keep` win, and its empty fields are filled; numbers that it does not take stay as former ones.
    """
    keys = [*rules.unique, *([rules.ranked.column] if rules.ranked else [])]
    if all(keep.values[key] is None for key in keys):
        raise ValidationFailed(
            "The record to keep is retired: it has no key. Merge the other way round."
        )
    shelf = index.shelf(rules)
    numbers = [drop.values[rules.number], *shelf.formers_of(drop)] if rules.number else []
    filling = _filling(rules, keep, drop.values)
    shelf.remove(drop)
    for number in filter(None, numbers):
        shelf.set_former(number, keep)
    shelf.change(keep, filling)
    for booking in bookings_of(rules, drop, index):
        _hand_over(booking, {_column_for(rules): keep.id}, index.shelf(APPOINTMENT))


def bookings_of(rules: Rules, person: Stored, index: Index) -> list[Stored]:
    """Return the stored bookings of a patient or doctor."""
    column, bookings = _column_for(rules), index.shelf(APPOINTMENT)
    bookings.ask(column, [person.id])
    return [it for it in bookings.records.values() if it.values[column] == person.id]


def _column_for(rules: Rules) -> str:
    return next(it.column for it in APPOINTMENT.references if it.target == rules.entity)


def retire(rules: Rules, record: Stored, index: Index) -> None:
    """Take a record out of matching: a person becomes inactive and gives up all keys, a booking is removed."""
    shelf = index.shelf(rules)
    if rules is APPOINTMENT:
        shelf.remove(record)
        return
    shelf.change(record, {"is_active": False})
    shelf.give_up_keys(record)


def _filling(rules: Rules, keep: Stored, values: Values) -> Values:
    """Return what `values` know and `keep` does not; keys made of other fields make themselves."""
    made = {rules.ranked.column, rules.ranked.rank} if rules.ranked else set()
    empty = [
        name for name, value in keep.values.items() if value in (None, ()) and name not in made
    ]
    return {name: values[name] for name in empty if values[name] not in (None, ())}


def _hand_over(booking: Stored, handed: Values, shelf: Shelf) -> None:
    """Give a booking to another person; if that one has it already, the two become one."""
    slot = SLOT.of(booking.values | handed)
    twins = shelf.find(SLOT.name, slot) if slot != booking.values[SLOT.column] else ()
    for twin in sorted(twins, key=lambda it: it.age):
        if not (booking.values["appointment_no"] and twin.values["appointment_no"]):
            filling = _filling(APPOINTMENT, twin, booking.values)
            shelf.remove(booking)
            shelf.change(twin, filling)
            return
    shelf.change(booking, handed)
