"""The file of refused records: it survives Excel, harms nobody, reads back exactly, and no work in it is lost."""

import csv
import io
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from terminal import cells, exports
from terminal.rejects import Rejects, beside

HEADER = ["patientNo", "Phone 2", "الاسم"]
KNOWN = HEADER.__contains__

# What spreadsheets take for something else, and what tables break at.
ODD = [
    "00123",
    "1234567890123456789",
    "2026-06-15",
    "10:30",
    "1.0E+09",
    "DEC-4",
    "TRUE",
    "false",
    "=1+1",
    "+966502222222",
    "-5",
    "@SUM(A1)",
    "\t=1+1",
    "\r=1",
    " =1+1",
    "=cmd|' /C calc'!A0",
    '="00123"',
    '=HYPERLINK("http://x","y")',
    "علي\nحسن",
    "٠٠١٢",
    'a "b" c;d,e|f\tg\r\nh',
    " blanks ",
    "'007",
    "\u200f7",
    '"',
    "x" * 300 + "7",
    '"7' * 200,
]
texts = st.sampled_from(ODD) | st.text(
    st.characters(exclude_categories=["Cs"]), max_size=30
)


def write(path: Path, rows: list[list[str]], delimiter: str = ",") -> Rejects:
    rejects = Rejects(path, HEADER, has_more=False, delimiter=delimiter)
    for row in rows:
        rejects.add(row, "", "email: Not a valid email address.")
    rejects.place(whole=True)
    return rejects


def read(path: Path) -> list[list[str]]:
    table = exports.opened(path, "windows-1256", None, KNOWN)
    assert isinstance(table, exports.Table)
    assert table.header == HEADER
    found = [*table.rows()]
    assert [row.fault for row in found if row.fault] == []
    return [row.values for row in found]


@given(rows=st.lists(st.lists(texts, min_size=3, max_size=3), min_size=1, max_size=5))
@pytest.mark.parametrize("delimiter", [",", ";"])
def test_any_table_of_texts_reads_back_exactly(
    tmp_path_factory: pytest.TempPathFactory, rows: list[list[str]], delimiter: str
) -> None:
    path = tmp_path_factory.mktemp("any") / "p.csv.rejected.csv"
    write(path, rows, delimiter)
    assert read(path) == rows


def raw(path: Path, delimiter: str = ",") -> list[list[str]]:
    text = path.read_bytes().decode("utf-8-sig")
    return [*csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)]


def saved_by_a_spreadsheet(path: Path, encoding: str, delimiter: str = ",") -> None:
    """Open a table and save it as a spreadsheet does that takes for a number or a formula whatever it can."""
    rows = raw(path, delimiter)
    shown = [[value_in_a_spreadsheet(cell) for cell in row] for row in rows]
    with path.open("w", encoding=encoding, newline="") as file:
        csv.writer(file, delimiter=delimiter).writerows(shown)


def value_in_a_spreadsheet(cell: str) -> str:
    if cell.startswith('="'):
        literals = re.findall(r'"((?:[^"]|"")*)"', cell)
        assert all(len(literal) <= 255 for literal in literals)
        return "".join(literal.replace('""', '"') for literal in literals)
    assert not re.search(r"^\s*[=+@-]|\d", cell), "a formula or a number"
    return cell.upper() if cell.lower() in ("true", "false") else cell


@given(rows=st.lists(st.lists(texts, min_size=3, max_size=3), min_size=1, max_size=5))
def test_a_spreadsheet_may_open_and_save_it(
    tmp_path_factory: pytest.TempPathFactory, rows: list[list[str]]
) -> None:
    path = tmp_path_factory.mktemp("any") / "p.csv.rejected.csv"
    write(path, rows)
    saved_by_a_spreadsheet(path, "utf-8-sig")
    found = raw(path)
    assert [row[:3] for row in found[1:]] == rows
    assert found[0] == [*HEADER, cells.REASON]


def test_plain_words_stay_as_a_person_reads_them() -> None:
    for word in ("Ali Hassan", "علي حسن", "O'Neill, Dr.", "a@b.example", ""):
        assert cells.protected(word) == word


def test_it_has_the_mark_that_excel_needs_and_only_its_owner_reads_it(
    tmp_path: Path,
) -> None:
    write(tmp_path / "p.csv", [["7", "", "علي"]])
    assert (tmp_path / "p.csv").read_bytes().startswith(b"\xef\xbb\xbf")
    assert (tmp_path / "p.csv").stat().st_mode & 0o777 == 0o600


def test_nothing_is_there_before_it_is_placed_and_nothing_where_nothing_was_refused(
    tmp_path: Path,
) -> None:
    path = tmp_path / "p.csv.rejected.csv"
    rejects = Rejects(path, HEADER, has_more=False, delimiter=",")
    assert not path.exists()
    rejects.place(whole=True)
    assert [*tmp_path.iterdir()] == []


def test_a_former_file_is_put_aside_and_never_lost(tmp_path: Path) -> None:
    path = tmp_path / "p.csv.rejected.csv"
    write(path, [["7", "", "علي"]])
    mended = path.read_text("utf-8-sig").replace("علي", "عمر")
    path.write_text(mended, "utf-8-sig")
    rejects = write(path, [["7", "", "علي"]])
    assert rejects.put_aside
    assert rejects.put_aside.read_text("utf-8-sig") == mended
    assert re.fullmatch(r"p\.csv\.rejected\.\d{8}-\d{6}\.csv", rejects.put_aside.name)
    assert read(path) == [["7", "", "علي"]]
    write(path, [["8", "", "سارة"]])
    write(path, [])
    assert not path.exists()
    assert len([*tmp_path.iterdir()]) == 3


def test_an_import_that_stopped_before_it_refused_anything_leaves_a_former_file(
    tmp_path: Path,
) -> None:
    path = tmp_path / "p.csv.rejected.csv"
    write(path, [["7", "", "علي"]])
    Rejects(path, HEADER, has_more=False, delimiter=",").place(whole=False)
    assert [*tmp_path.iterdir()] == [path]


def test_the_same_refusals_of_another_night_are_one_file(tmp_path: Path) -> None:
    path = tmp_path / "p.csv.rejected.csv"
    for _ in range(3):
        assert write(path, [["7", "", "علي"]]).put_aside is None
    assert [*tmp_path.iterdir()] == [path]


def test_its_name_stands_beside_the_file() -> None:
    assert beside(Path("x/patients.csv")) == Path("x/patients.csv.rejected.csv")
