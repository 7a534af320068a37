"""The sentence of a warning that names records."""

import pytest

from engine.index import Record
from engine.outcome import Notice

STORED, NEW, GONE = Record(17, {}, None), Record(-1, {}, None), Record(23, {}, None)


@pytest.mark.parametrize(
    ("records", "sentence"),
    [
        ((), "it is that of , here"),
        ((STORED,), "it is that of 17, here"),
        ((NEW,), "it is that of (new), here"),
        ((STORED, NEW, GONE), "it is that of 17, (new), (new), here"),
    ],
)
def test_a_warning_names_stored_records_by_their_ids(
    records: tuple[Record, ...], sentence: str
) -> None:
    """What was rolled back had an id for a while: it is new again."""
    notice = Notice("name", "it is that of ", records, ", here")
    assert notice.text(gone={GONE.id}) == sentence


def test_a_warning_may_name_nobody() -> None:
    assert Notice("name", "too long").text() == "too long"
