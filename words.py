"""Word lists: for none, for newborns, for nobody, and for titles.

The lists of the contract are closed: a word that is added here changes who is taken for whom. All but NEVER_A_CODE are
compared folded, so one spelling of each is enough.
"""

import re
from collections.abc import Collection

from engine import canonical
from engine.nothing import Nothing

# --- None --------------------------------------------------------------------------------------

WORDS_FOR_NONE = (
    "n/a",
    "null",
    "none",
    "nil",
    "nan",
    "undefined",
    "unknown",
    "لا يوجد",
    "غير معروف",
    "بدون",
)
# NA and NONE may be real codes. N/A is never one.
NEVER_A_CODE = ("n/a", "#n/a", "null", "(null)")
NOTHING = Nothing(WORDS_FOR_NONE, NEVER_A_CODE)

# --- Newborns, and nobody ----------------------------------------------------------------------

# How the names begin that are given to children before they have one.
NEWBORN = (
    *(
        "baby of",
        "baby boy",
        "baby girl",
        "baby a",
        "baby b",
        "baby 1",
        "baby 2",
        "b/o",
        "b\\o",
        "newborn",
        "new born",
    ),
    *("twin", "twins", "مولود", "مولودة", "رضيع", "رضيعة", "طفل", "طفلة", "توأم", "بيبي"),
)
BABY = "baby"  # alone: Baby Thomas has a name
# A name of nothing but these words, and maybe numbers that stand alone, names nobody.
NOBODY = (
    *("unknown", "male", "female", "patient", "test"),
    *("مجهول", "مجهولة", "الهوية", "مريض", "مريضة", "اختبار"),
)

# --- Names -------------------------------------------------------------------------------------

TITLES = ("dr", "prof", "د")
# Words that are no given name by themselves: Abu Bakr and Abu Ali are two, as are two newborns called Baby.
NOT_ALONE = (
    *("عبد", "ابو", "ام", "بنت", "ابن", "طفل", "طفلة", "مولود", "مولودة", "توأم", "ولد"),
    *(
        "abd",
        "abdul",
        "abdel",
        "abdal",
        "abdur",
        "abu",
        "umm",
        "um",
        "bin",
        "bint",
        "baby",
        "twin",
        "newborn",
        "al",
    ),
)

_MARKS = " .,:;_()-"  # a slash stays: B/O
_PUNCTUATION_OF_NAMES = re.compile(f"[{_MARKS}]+")


def _folded(words: Collection[str]) -> frozenset[str]:
    return frozenset(map(canonical.fold_name, words))


_DIGITS = "0123456789"
_NEWBORNS_LETTERS = tuple({start[:2] for start in _folded(NEWBORN)})
_NEWBORNS_BEGINNINGS = tuple(f"{start} " for start in _folded(NEWBORN))
_NOBODY, _TITLES, _NOT_ALONE = map(_folded, (NOBODY, TITLES, NOT_ALONE))
_NOBODYS_BEGINNINGS = tuple(_NOBODY)


def is_newborn_name(name: str) -> bool:
    """Return whether a name is one that children have before they are named."""
    beginning = canonical.fold_name(name).lstrip(_MARKS)
    if not beginning.startswith(_NEWBORNS_LETTERS):  # most names
        return False
    words = _words(name)
    return words == BABY or f"{words} ".startswith(_NEWBORNS_BEGINNINGS)


def is_placeholder_name(name: str) -> bool:
    """Return whether a name names nobody."""
    letters = canonical.letters_and_digits(name).lstrip(_DIGITS)
    if not letters.startswith(_NOBODYS_BEGINNINGS):  # most names
        return NOTHING.is_word(name)
    said = [word for word in _words(name).split() if not word.isdecimal()]
    return _NOBODY.issuperset(said) or NOTHING.is_word(name)


def given_name(folded: str) -> str:
    """Return the first word of a folded name that is no title, or ''; all of it if that word cannot stand alone."""
    words = re.split(r"[\s./]+", folded)
    first = next((word for word in words if word and word not in _TITLES), "")
    return folded if first in _NOT_ALONE or first.endswith(",") else first


def _words(name: str) -> str:
    """Return a name's folded words with single blanks between."""
    return _PUNCTUATION_OF_NAMES.sub(" ", canonical.fold_name(name)).strip()
