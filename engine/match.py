"""Matching: which stored record, if any, do these data describe?

The rules are the contract's section 4. All functions are pure: they judge what a look-up in the index returned.
"""

from collections.abc import Callable
from dataclasses import dataclass

from engine import canonical
from engine.index import CROWD, Lookup, Record, Records
from engine.outcome import Notice, Notices
from engine.problems import AmbiguousMatch, IdentityConflict, ValidationFailed
from engine.rules import Rules, Values


@dataclass(frozen=True)
class Match:
    """The record that data describe, and the first key that found it; None and '' for nobody."""

    record: Record | None = None
    key: str = ""
    warnings: Notices = ()


def match(rules: Rules, data: Values, lookup: Lookup) -> Match:
    """Return the match for data: the stored record that they describe, if any.

    Raises IdentityConflict or AmbiguousMatch where a person must decide.
    """
    if lookup.found:
        refuse_another(rules, data, lookup)
        return Match(*lookup.found[0])
    candidates = [
        record
        for record in lookup.former_holders
        if not _contradicts_number(rules, data, record)
    ]
    if candidates:
        return Match(candidates[0], rules.former)
    return _match_shared(rules, data, lookup) if rules.shared else Match()


# --- By unique keys ----------------------------------------------------------------------------


def is_certain(rules: Rules, lookup: Lookup) -> bool:
    """Return whether all of several unique keys were sent and found the same record: nothing else can object then."""
    return len(lookup.found) == len(rules.unique) > 1 and not _are_several(lookup)


def _are_several(lookup: Lookup) -> bool:
    first = lookup.found[0][0]
    return any(record is not first for record, _ in lookup.found)


def refuse_another(rules: Rules, data: Values, lookup: Lookup) -> None:
    """Raise IdentityConflict unless unique keys found one record, and it is the one that the data describe."""
    reason = _why_another(rules, data, lookup)
    if reason:
        raise IdentityConflict(reason, candidates=lookup.found)


def _why_another(rules: Rules, data: Values, lookup: Lookup) -> str:
    """Return why what was found is not the one record that the data describe, or ''."""
    record = lookup.found[0][0]
    if _are_several(lookup):
        return "Its keys belong to different stored records."
    if _another_key_differs(rules, data, record, lookup) and not agree(rules, data, record):
        return "Another key differs, and name and birth date do not agree."
    if len(lookup.found) == 1 and _is_somebody_new(rules, data, record):
        return "The number belongs to somebody with another name and birth date."
    belongs = rules.belongs is None or rules.belongs(data, record)
    return "" if belongs else rules.belongs_not


def _another_key_differs(
    rules: Rules, data: Values, record: Record, lookup: Lookup
) -> bool:
    """Return whether a unique key that was sent differs from the record's; a former number of it does not count."""
    differing = [key for key in rules.unique if same(data, record, key) is False]
    return any(
        key != rules.number or record not in lookup.former_holders for key in differing
    )


def _is_somebody_new(rules: Rules, data: Values, record: Record) -> bool:
    """Return whether name and birth date are known on both sides, and both differ."""
    if same(data, record, rules.birth) is not False:
        return False
    return same_name(rules, data, record) is False


# --- By weak keys ------------------------------------------------------------------------------


def _contradicts_number(rules: Rules, data: Values, record: Record) -> bool:
    """Return whether a former holder of the number is not the record described."""
    if any(same(data, record, name) is False for name in rules.contradicts):
        return True
    if same_name(rules, data, record) is not False:
        return False
    return not same(data, record, rules.birth)


def _match_shared(rules: Rules, data: Values, lookup: Lookup) -> Match:
    """Return the record that the shared key leads to.

    Where it leads to several: no record but a warning, or AmbiguousMatch if nothing else tells the data apart.
    """
    assert rules.shared is not None
    key = rules.shared.name
    if rules.crowded and lookup.sharers > CROWD:
        return Match(warnings=_one_of_a_crowd(rules, data, key, lookup))
    candidates = _fitting(rules, data, lookup.sharing) if lookup.sharing else ()
    if len(candidates) > 1:
        return Match(warnings=_one_more_file(rules, data, key, candidates))
    return Match(candidates[0], key) if candidates else Match()


def _fitting(rules: Rules, data: Values, sharing: Records) -> Records:
    """Return those of the sharing records that nothing rules out."""
    for name in rules.contradicts:
        sent = data.get(name)
        if sent is not None:
            sharing = [record for record in sharing if record.values[name] in (None, sent)]
    for is_ruled_out in rules.rules_out:
        sharing = [record for record in sharing if not is_ruled_out(data, record)]
    return sharing


def _one_of_a_crowd(rules: Rules, data: Values, key: str, lookup: Lookup) -> list[Notice]:
    """Warn that a crowd shares this key, so that a new record is made; raise AmbiguousMatch without a unique key."""
    if not any(data.get(name) for name in rules.unique):
        raise _ambiguous(key, lookup.sharing, lookup.sharers)
    field, said = _start_of_warning(rules)
    shared = f"{said} that of more than {CROWD} {rules.plural} and tells nobody: a new one"
    return [Notice(field, shared)]


def _start_of_warning(rules: Rules) -> tuple[str, str]:
    """Return the field of which a warning about the shared key is, and how its sentence begins."""
    first, *others = rules.shared.sources if rules.shared else ("",)
    return first, f"it is, with the {' and '.join(others)},"


def _one_more_file(
    rules: Rules, data: Values, key: str, candidates: Records
) -> list[Notice]:
    """Warn that several share this key, so that a new record is made; raise AmbiguousMatch unless all have numbers."""
    number = rules.number
    if not data.get(number) or not all(record.values[number] for record in candidates):
        raise _ambiguous(key, candidates, len(candidates))
    field, said = _start_of_warning(rules)
    others = tuple(candidates)
    return [
        Notice(field, f"{said} also that of {rules.entity} ", others, ": a file of its own")
    ]


def _ambiguous(key: str, candidates: Records, count: int) -> AmbiguousMatch:
    return AmbiguousMatch(
        "Several stored records fit equally well.",
        candidates=named(candidates, key),
        candidate_count=count,
    )


def named(records: Records, key: str) -> list[tuple[Record, str]]:
    """Return the first of these records as candidates that a key found; an answer names no more than CROWD."""
    return [(record, key) for record in records[:CROWD]]


# --- Nobody ------------------------------------------------------------------------------------


def refuse_too_little(rules: Rules, data: Values, lookup: Lookup) -> None:
    """Raise ValidationFailed if there is too little for a new record."""
    missing = [rules.sent_as[name] for name in rules.needs if data.get(name) is None]
    if missing:
        sentence = f"Missing: needed to create the {rules.entity}."
        errors = {name: [sentence] for name in missing}
        detail = f"No stored {rules.entity} fits, and there is too little to create one."
        raise ValidationFailed(detail, errors=errors)
    if not lookup.shared_key and not any(data.get(key) for key in rules.unique):
        reason = f"without what is left out, nothing tells the {rules.entity} from others."
        detail = "Nothing is left by which the record could be found again."
        raise ValidationFailed(detail, errors={rules.unique[0]: [f"Missing: {reason}"]})


# --- Comparing ---------------------------------------------------------------------------------


def same(data: Values, record: Record, name: str) -> bool | None:
    """Compare one field; None where not both sides know it, or the rules name none ('')."""
    sent, stored = data.get(name), record.values.get(name)
    return None if sent is None or stored is None else sent == stored


def same_name(
    rules: Rules, data: Values, record: Record, part: Callable[[str], str] = str
) -> bool | None:
    """Return whether any name is the same on both sides, in a part of the folded name; None where none is known."""
    known = _known_names(rules, data, record)
    if not known:
        return None
    folded = [[part(canonical.fold_name(name)) for name in names] for names in known]
    return any(sent == stored != "" for sent, stored in folded)


def _known_names(rules: Rules, data: Values, record: Record) -> list[tuple[str, str]]:
    """Return the names that are known on both sides. One that older rules stored, and today's refuse, is not known."""
    pairs = [
        (data.get(name) or "", record.values.get(name) or "") for name in rules.name_fields
    ]
    return [names for names in pairs if all(map(canonical.is_readable, names))]


def agree(rules: Rules, data: Values, record: Record) -> bool:
    """Return whether name and birth date fit: the same person with another number.

    Where a father's id was typed for his twins, neither of them agrees with his record.
    """
    same_birth = same(data, record, rules.birth)
    if same_name(rules, data, record):
        return same_birth is not False
    given = [_given_name(rules, side) for side in (data, record.values)]
    if all(given) and given[0] != given[1]:
        return False
    return bool(same_birth) and bool(same_name(rules, data, record, rules.first_word))


def _given_name(rules: Rules, values: Values) -> str:
    name = values.get(rules.given_name) or ""
    return "" if rules.is_none(name) else canonical.fold_name(name)
