"""Exported files: their encoding is never guessed, nothing is shifted or swallowed, and each fault names its line."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from terminal import exports
from terminal.exports import Row, Unreadable

NAME = "علي حسن"
KNOWN = ("patientNo", "name", "notes")


def written(folder: Path, content: str | bytes, name: str = "patients.csv") -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def opened(path: Path, delimiter: str | None = None) -> exports.Export:
    return exports.opened(path, "windows-1256", delimiter, KNOWN.__contains__)


def rows(folder: Path, content: str | bytes, name: str = "patients.csv") -> list[Row]:
    return [*opened(written(folder, content, name)).rows()]


def values(folder: Path, content: str | bytes, name: str = "patients.csv") -> list[Any]:
    return [row.values for row in rows(folder, content, name) if not row.fault]


def refusal(folder: Path, content: str | bytes, name: str = "patients.csv") -> str:
    with pytest.raises(Unreadable) as refused:
        rows(folder, content, name)
    return str(refused.value)


# --- Encoding ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("python", "told"),
    [
        ("utf-8", "utf-8"),
        ("utf-8-sig", "utf-8"),
        ("utf-16", "utf-16"),
        ("utf-32", "utf-32"),
        ("cp1256", "windows-1256"),
    ],
)
@pytest.mark.parametrize("form", ["csv", "json", "ndjson"])
def test_letters_are_read_in_the_encoding_that_the_file_is_in(
    tmp_path: Path, python: str, told: str, form: str
) -> None:
    record = {"patientNo": "007", "name": NAME}
    text = {
        "csv": f"patientNo\tname\r\n007\t{NAME}\r\n",
        "json": json.dumps([record], ensure_ascii=False),
        "ndjson": f"{json.dumps(record, ensure_ascii=False)}\n",
    }[form]
    export = opened(written(tmp_path, text.encode(python), f"patients.{form}"))
    (row,) = export.rows()
    assert row.values == (record if form != "csv" else ["007", NAME])
    assert export.kind.startswith(f"{told}, ")


def test_utf_16_of_the_other_byte_order_is_read_by_its_mark(tmp_path: Path) -> None:
    text = f"\ufeffpatientNo\tname\r\n007\t{NAME}\r\n".encode("utf-16-be")
    assert values(tmp_path, text) == [["007", NAME]]


def test_one_bad_byte_in_utf_8_is_told_and_does_not_make_other_letters_of_all_names(
    tmp_path: Path,
) -> None:
    lines = ["patientNo,name", *[f"P-{at},{NAME}" for at in range(20_000)]]
    content = bytearray("\n".join(lines).encode())
    place = content.index(b"P-15000,") + 8
    content[place] = 0xFF
    said = refusal(tmp_path, bytes(content))
    assert f"byte {place + 1} (0xFF), in line 15002" in said
    assert "is UTF-8, but for a few bytes" in said


def test_a_mark_that_the_rest_does_not_keep_to_is_told_with_the_byte(
    tmp_path: Path,
) -> None:
    text = b"\xef\xbb\xbfpatientNo,name\n1,Ali\n2,Al\xcd\n"
    said = refusal(tmp_path, text)
    assert f"byte {text.index(0xCD) + 1} (0xCD), in line 3" in said


def test_a_cut_utf_16_file_is_refused(tmp_path: Path) -> None:
    assert "is not utf-16" in refusal(tmp_path, "patientNo\n7\n".encode("utf-16")[:-1])


def test_what_the_code_page_does_not_have_is_told(tmp_path: Path) -> None:
    path = written(tmp_path, b"name\nAli\n\x81li\n")
    with pytest.raises(
        Unreadable, match=r"is not windows-1252: byte 10 \(0x81\), in line 3"
    ):
        exports.opened(path, "windows-1252", None, KNOWN.__contains__)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b" \r\n\n", "is empty"),
        ("patientNo\n7\n".encode("utf-16-le"), "UTF-16 without its mark"),
        (b"PK\x03\x04 more", "an Excel workbook"),
        (b"\xd0\xcf\x11\xe0 more", "an old Excel workbook"),
        (b"\x1f\x8b more", "a compressed file"),
        (b"%PDF-1.7", "a PDF"),
        (b"a" * (exports.LONGEST + 9), "Line 1 does not end"),
    ],
)
def test_what_is_no_table_in_text_is_refused(
    tmp_path: Path, content: bytes, said: str
) -> None:
    assert said in refusal(tmp_path, content)


def test_a_folder_and_a_missing_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(Unreadable, match="is a folder"):
        opened(tmp_path)
    with pytest.raises(Unreadable, match="cannot be read: No such file"):
        opened(tmp_path / "absent.csv")


def test_what_cannot_be_read_twice_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.csv")
    with pytest.raises(Unreadable, match="no plain file"):
        opened(tmp_path / "pipe.csv")


# --- Tables --------------------------------------------------------------------------------------


@pytest.mark.parametrize("sign", exports.DELIMITERS)
def test_the_delimiter_is_seen_in_the_header(tmp_path: Path, sign: str) -> None:
    content = f"patientNo{sign}name\n7{sign}a,b;c|d\n"
    path = written(tmp_path, content if sign == "\t" else content.replace(",b;c|d", ""))
    table = opened(path)
    assert table.delimiter == sign
    assert table.header == ["patientNo", "name"]


def test_headings_decide_between_two_delimiters(tmp_path: Path) -> None:
    table = opened(written(tmp_path, "patientNo;name, first, last\n7;Ali\n"))
    assert table.delimiter == ";"


@pytest.mark.parametrize("sign", exports.DELIMITERS)
def test_quotes_around_headings_hide_no_delimiter(tmp_path: Path, sign: str) -> None:
    content = f'"patientNo"{sign}"name"\n"7"{sign}"Ali"\n'
    assert values(tmp_path, content) == [["7", "Ali"]]


def test_a_told_delimiter_counts_and_a_first_line_for_excel_too(tmp_path: Path) -> None:
    assert values(tmp_path, "sep=|\r\npatientNo|name\r\n7|Ali\r\n") == [["7", "Ali"]]
    path = written(tmp_path, "patientNo^name\n7^Ali\n")
    assert [row.values for row in opened(path, "^").rows()] == [["7", "Ali"]]


def test_line_breaks_and_quotes_in_cells_are_read(tmp_path: Path) -> None:
    text = 'patientNo,notes\r\n7,"one\r\ntwo ""2"", three"\r\n8,x\r\n'
    assert rows(tmp_path, text) == [
        Row(2, ["7", 'one\r\ntwo "2", three'], 27),
        Row(4, ["8", "x"], 5),
    ]


def test_blank_rows_and_blank_cells_behind_the_last_column_hold_nothing(
    tmp_path: Path,
) -> None:
    text = "patientNo,name,,\n7,Ali,,,\n\n,,,\n8,Sara\n"
    assert values(tmp_path, text) == [["7", "Ali"], ["8", "Sara"]]


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("7", "It has 1 cells, the header has 2."),
        ("7,Ali,x", "It has more cells than the 2 of the header."),
        ('7,"Ali" Hassan', exports.NOT_CLOSED),
        ('7,"Ali', exports.NOT_CLOSED),
    ],
)
def test_a_row_that_does_not_fit_is_a_fault_of_its_own_and_shifts_nothing(
    tmp_path: Path, line: str, fault: str
) -> None:
    found = rows(tmp_path, f'patientNo,name\n6,Omar\n{line}\n8,Sara\n9,"Huda"\n')
    assert [(row.line, row.fault) for row in found] == [
        (2, ""),
        (3, fault),
        (4, ""),
        (5, ""),
    ]
    assert [row.values for row in found if not row.fault] == [
        ["6", "Omar"],
        ["8", "Sara"],
        ["9", "Huda"],
    ]


def test_a_quote_that_is_never_closed_costs_its_own_row_only(tmp_path: Path) -> None:
    others = "".join(
        f"{at},{'x' * 50}\n" for at in range(9000)
    )  # more than a cell may hold
    found = rows(tmp_path, f'patientNo,name\n7,"Ali\n{others}')
    assert [row.line for row in found if row.fault] == [2]
    assert len(found) == 9001


def test_excels_form_of_a_text_is_read_as_the_text(tmp_path: Path) -> None:
    text = 'patientNo,name\n="007",Ali\n"=""08""","=""a""""b""&""c"""\n=1+1,"=""x"\n'
    assert values(tmp_path, text) == [["007", "Ali"], ["08", 'a"bc'], ["=1+1", '="x']]


TEXTS = st.text(st.sampled_from("a;,|\t\"\r\n'= 0ع"), max_size=8)


@given(lines=st.lists(TEXTS, max_size=12))
@example(lines=[',,"0'])  # more cells than headings, and its quotes are not right
def test_no_line_gets_lost_whatever_is_in_it(
    tmp_path_factory: pytest.TempPathFactory, lines: list[str]
) -> None:
    """Each letter of the file stands in some row, in its order."""
    content = "\n".join(["patientNo,name", *lines])
    found = rows(tmp_path_factory.mktemp("any"), content)
    there = "".join("".join(map(str, row.values)) + row.more for row in found)
    letters = [letter for line in lines for letter in line if letter in "a0ع"]
    assert [letter for letter in without_remarks(there) if letter in "a0ع"] == letters


def without_remarks(text: str) -> str:
    return text.replace(exports.LOOK_AT_QUOTES, "")


# --- JSON ----------------------------------------------------------------------------------------


def test_a_json_list_is_read_element_by_element_across_parts(tmp_path: Path) -> None:
    wanted = [{"patientNo": str(at), "notes": "x" * (at % 999)} for at in range(900)]
    content = json.dumps(wanted, indent=1)
    assert len(content) > 3 * exports.PART
    found = rows(tmp_path, content)
    assert [row.values for row in found] == wanted
    assert [row.line for row in found[:3]] == [2, 6, 10]


@given(
    wanted=st.lists(
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(max_size=3),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(st.text(max_size=3), inner, max_size=3)
            ),
            max_leaves=5,
        )
    ),
    part=st.integers(1, 9),
)
def test_where_the_parts_of_a_list_begin_does_not_matter(
    tmp_path_factory: pytest.TempPathFactory, wanted: list[Any], part: int
) -> None:
    folder = tmp_path_factory.mktemp("parts")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exports, "PART", part)
        assert values(folder, json.dumps(wanted), "x.json") == wanted


def test_numbers_keep_their_digits(tmp_path: Path) -> None:
    (found,) = values(tmp_path, '[{"patientNo": 10928.0, "nationalID": 1.08E+09}]')
    assert {name: str(number) for name, number in found.items()} == {
        "patientNo": "10928.0",
        "nationalID": "1.08E+9",
    }


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('[{"name": "Ali"},\n {"name" "Sara"}]', "Line 2 is not JSON: Expecting ':'"),
        ('[{"name": "Ali"},\n {"name": NaN}]', "Line 2 is not JSON: NaN is no number"),
        ('[{"name": "Ali"}\n', "Line 2 is not JSON: here should be ]"),
        ('[{"name": "Ali"}] x', "something stands behind the list"),
        ('[{"name": "Ali"},\n{"name": "', "Line 2 is not JSON: Unterminated string"),
        (f"[{'[' * 99_999}", "it is nested too deeply"),
        ('{"name":\n "Ali"}', "Write one object a line, or all of them in one list"),
    ],
)
def test_broken_json_is_refused_with_its_line(
    tmp_path: Path, content: str, said: str
) -> None:
    assert said in refusal(tmp_path, content)


def test_the_line_of_broken_json_is_that_of_the_file_alone(tmp_path: Path) -> None:
    many = ",\n".join(['{"name": "Ali Hassan of Riyadh"}'] * 3000)
    told = refusal(tmp_path, f"[{many},\n x]")
    assert "Line 3001 is not JSON: Expecting value." in told
    assert told.count("ine ") == 1


def test_a_file_that_is_emptied_while_it_is_read_has_no_rows(tmp_path: Path) -> None:
    path = tmp_path / "patients.csv"
    path.write_text("sep=;\nname;mobile\nAli;1\n", encoding="utf-8")
    export = exports.opened(path, "cp1256", None, lambda _: True)
    path.write_text("", encoding="utf-8")
    assert [*export.rows()] == []


def test_a_line_that_is_no_json_is_a_fault_of_its_own(tmp_path: Path) -> None:
    found = rows(tmp_path, '{"name": "Ali"}\n\n{"name": \n{"name": "Sara"}\n', "x.ndjson")
    assert [row.line for row in found] == [1, 3, 4]
    assert [bool(row.fault) for row in found] == [False, True, False]
    assert found[1].more == '{"name":'
