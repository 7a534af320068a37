"""`flask import`: the same road as HTTP, from any export, told in plain words."""

import csv
import errno
import io
import json
import os
import pty
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from click.testing import Result
from conftest import KEY, Http, Portal, emptied, migrated
from flask import Flask
from hypothesis import given, settings
from hypothesis import strategies as st
from programs import ROOT, run
from test_rejects import raw, saved_by_a_spreadsheet

import answers
import history
import sync
from models import db
from terminal import importing, intake
from terminal.cells import text_of
from terminal.exports import Row
from terminal.rejects import Rejects

ARABIC = ["--map", "رقم الملف=patientNo", "--map", "الاسم=name", "--map", "الجوال=mobile"]
HEADER = "patientNo,name,mobile,dateOfBirth"


class Clinic(Portal):
    """A portal, and a folder of exports."""

    def __init__(self, app: Flask, folder: Path):
        super().__init__(app)
        self.folder = folder

    def write(
        self, *lines: str, name: str = "patients.csv", encoding: str = "utf-8"
    ) -> Path:
        path = self.folder / name
        path.write_bytes("\r\n".join([*lines, ""]).encode(encoding))
        return path

    def run(self, *words: Any, entity: str = "patient") -> Result:
        """Import a file."""
        args = ["import", entity, *map(str, words)]
        result = self.app.test_cli_runner().invoke(args=args)
        assert "Traceback" not in result.output
        assert result.exception is None or isinstance(result.exception, SystemExit)
        return result

    def history(self) -> list[dict[str, Any]]:
        return self.stored("sync_run")


@pytest.fixture
def clinic(sqlite_app: Flask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Clinic:
    monkeypatch.setattr(sqlite_app, "instance_path", str(tmp_path / "instance"))
    return Clinic(emptied(sqlite_app), tmp_path)


def rejected(path: Path, delimiter: str = ",") -> list[dict[str, str]]:
    """The refused records as they stand in the file, by heading."""
    rows = raw(path.with_name(f"{path.name}.rejected.csv"), delimiter)
    header, *others = [[*map(text_of, row)] for row in rows]
    return [dict(zip(header, row, strict=True)) for row in others]


# --- The same road as HTTP -----------------------------------------------------------------------

FIELDS = {
    "patientNo": ["P-1", "P-2", "00123", "0", "N/A", "", "1.0E+09", "' 7", "10928.0"],
    "nationalID": ["1098765432", "9999999999", "", "784-1990-1234567-1"],
    "name": ["Ali Hassan", "علي حسن", "????", "", "Baby of Sara", 'a "b", c'],
    "mobile": ["0502222222", "٠٥٠٢٢٢٢٢٢٢", "123", ""],
    "dateOfBirth": ["1990-01-01", "1405-03-12", "31/12/1990", ""],
    "gender": ["M", "أنثى", "x", ""],
    "isActive": ["yes", "0", ""],
}
records = st.lists(
    st.fixed_dictionaries({name: st.sampled_from(it) for name, it in FIELDS.items()}),
    min_size=1,
    max_size=8,
)


@pytest.fixture(scope="module")
def twins(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Flask, Flask]]:
    """Two databases of the same past: ids are never used again, so they are equal only then."""
    urls = [f"sqlite:///{tmp_path_factory.mktemp('twin') / 'clinic.db'}" for _ in range(2)]
    with migrated(urls[0]) as one, migrated(urls[1]) as other:
        yield one, other


@settings(max_examples=60)  # each on two empty databases
@given(sent=records)
def test_an_import_stores_and_answers_what_the_same_records_do_over_http(
    twins: tuple[Flask, Flask], sent: list[dict[str, str]], tmp_path: Path
) -> None:
    one, other = map(emptied, twins)
    clinic, twin, http = Clinic(one, tmp_path), Portal(other), Http(other.test_client())
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, [*FIELDS])
    writer.writeheader()
    writer.writerows(sent)
    path = clinic.write(text.getvalue())
    answer = http.post("/patients", sent).get_json()
    result = clinic.run(path)
    counts = ", ".join(f"{answer[name]} {name}" for name in answers.ACTIONS)
    assert f"{len(sent)} records: {counts}, {answer['failed']} refused." in result.output
    assert result.exit_code == (1 if answer["failed"] else 0)
    warned = [item for item in answer["results"] if item.get("warnings")]
    assert result.output.count("warning, line") == min(len(warned), intake.WARNINGS)
    for table in ("patient", "former_key"):
        assert timeless(clinic.stored(table)) == timeless(twin.stored(table))
    (mine,), (theirs,) = clinic.history(), twin.stored("sync_run")
    assert json.loads(mine["failures"]) == json.loads(theirs["failures"])


def timeless(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {name: it for name, it in row.items() if not name.endswith("_at")} for row in rows
    ]


def test_many_portions_are_one_list_and_one_row_of_the_history(
    clinic: Clinic, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importing, "PORTION", 3)
    lines = [f"P-{at % 7},Ali {at % 7},,{'x' if at == 8 else ''}" for at in range(10)]
    result = clinic.run(clinic.write(HEADER, *lines), entity="patients")
    assert "10 records: 7 created, 0 updated, 2 unchanged, 1 refused." in result.output
    (row,) = clinic.history()
    assert row["key_name"] == "command"
    assert row["path"] == "flask import patients"
    assert (row["entity"], row["total"], row["failed"]) == ("patients", 10, 1)
    assert [it["index"] for it in json.loads(row["failures"])] == [8]


def test_lists_of_codes_and_ids_are_read_from_cells(clinic: Clinic) -> None:
    clinics = clinic.write("Code,Name", "C-1,One", "C-2,Two", name="clinics.csv")
    assert clinic.run(clinics, entity="clinic").exit_code == 0
    doctors = [
        "code,name,clinicCodes",
        "D-1,Huda,C-1; C-2",
        "D-2,Omar,C-2|C-1",
        "D-3,Sami,",
    ]
    assert clinic.run(clinic.write(*doctors), entity="doctor").exit_code == 0
    assert clinic.run(clinic.write(HEADER, "P-1,Ali,,"), entity="patient").exit_code == 0
    patient = clinic.stored("patient")[0]["id"]
    bookings = clinic.write(
        "patientId,doctorCode,date,timeFrom", f"{patient},D-1,2026-12-01,10:30"
    )
    assert clinic.run(bookings, entity="appointments").exit_code == 0
    assert clinic.stored("appointment")[0]["patient_id"] == patient
    links = [row["doctor_id"] for row in clinic.stored("doctor_clinic")]
    first, second, _ = (row["id"] for row in clinic.stored("doctor"))
    assert sorted(links) == [first, first, second, second]
    assert (
        clinic.run(clinic.write("code,clinicCodes", "D-1,"), entity="doctor").exit_code == 0
    )
    assert {row["doctor_id"] for row in clinic.stored("doctor_clinic")} == {second}


@pytest.mark.parametrize("form", ["json", "ndjson"])
def test_json_is_imported_with_its_own_values(clinic: Clinic, form: str) -> None:
    sent = [
        {"PatientNo": 10928, "name": "Ali", "isActive": True, "mobile": None, "x": 1},
        {"patientNo": "P-2", "name": 5.5, "PatientNo": "P-3"},
    ]
    texts = [json.dumps(record) for record in sent]
    content = "\n".join(texts) if form == "ndjson" else f"[{','.join(texts)}]"
    path = clinic.write(content, name=f"patients.{form}")
    result = clinic.run(path)
    assert "1 created, 0 updated, 0 unchanged, 1 refused" in result.output
    assert result.output.count('left out: "x"') == 1
    assert clinic.stored("patient")[0]["patient_no"] == "10928"
    (refused,) = rejected(path)
    assert refused["isActive"] == refused["mobile"] == "<not sent>"
    assert "Sent twice" in refused["<refused because>"]


def test_what_json_does_not_send_is_kept_when_its_refused_record_comes_back(
    clinic: Clinic,
) -> None:
    clinic.send(
        "patient", patientNo="P-1", name="Ali", email="a@b.example", mobile="0502222222"
    )
    content = json.dumps([{"patientNo": "P-1", "email": "x", "mobile": None}])
    path = clinic.write(content, name="patients.json")
    assert clinic.run(path).exit_code == 1
    back = path.with_name("patients.json.rejected.csv")
    text = back.read_text("utf-8-sig")
    back.write_text(text.replace(",x,", ",c@d.example,"), "utf-8-sig")
    assert "1 updated" in clinic.run(back).output
    (stored,) = clinic.stored("patient")
    assert (stored["email"], stored["mobile"]) == ("c@d.example", "+966502222222")


# --- Headings ------------------------------------------------------------------------------------


def test_headings_match_in_any_case_and_without_blanks_and_underscores(
    clinic: Clinic,
) -> None:
    path = clinic.write(
        "PATIENT NO,\u200fName,date_of_birth,National-Id", "P-1,Ali,1990-01-01,"
    )
    result = clinic.run(path)
    assert (result.exit_code, "left out" in result.output) == (0, False)
    assert clinic.stored("patient")[0]["date_of_birth"] == "1990-01-01"


def test_what_only_answers_carry_may_be_in_an_export(clinic: Clinic) -> None:
    path = clinic.write("ID,patientNo,name,created_at", "7,P-1,Ali,2020-01-01T00:00:00Z")
    result = clinic.run(path)
    assert (result.exit_code, "left out" in result.output) == (0, False)
    assert clinic.stored("patient")[0]["created_at"] > "2021"


def test_what_was_said_of_headings_is_kept_for_the_next_night_and_shown(
    clinic: Clinic,
) -> None:
    path = clinic.write("رقم_الملف,الاسم,الجوال", "P-1,علي,0502222222")
    assert clinic.run(path, *ARABIC).exit_code == 0
    kept = json.loads((clinic.folder / "instance/import/patient.json").read_text("utf-8"))
    assert kept == {"رقم الملف": "patientNo", "الاسم": "name", "الجوال": "mobile"}
    result = clinic.run(path)
    assert '"رقم_الملف" is patientNo' in result.output
    assert "1 unchanged" in result.output
    assert clinic.run(path, "--map", "الجوال=phone").exit_code == 0
    assert clinic.stored("patient")[0]["phone"] == "+966502222222"


def test_a_dry_run_keeps_no_headings(clinic: Clinic) -> None:
    path = clinic.write("No,name", "P-1,Ali")
    result = clinic.run(path, "--map", "No=patientNo", "--dry-run")
    assert (result.exit_code, "1 created" in result.output) == (0, True)
    assert clinic.stored("patient") == []
    assert not (clinic.folder / "instance").exists()


@pytest.mark.parametrize(
    ("lines", "words", "said"),
    [
        (["P-1,Ali"], [], 'No heading is known: "P-1", "Ali"'),
        (["P-1,Ali"], [], "patientNo, nationalID, name"),
        (["P-1,Ali"], [], '--map "P-1=patientNo"'),
        (["patientNo,Patient_No", "1,2"], [], 'patientNo: "patientNo" and "Patient_No"'),
        (["patientNo,No", "1,2"], ["--map", "No=patientNo"], "Two columns are patientNo"),
        ([HEADER], [], "holds no records"),
        ([HEADER, "", ",,,"], [], "holds no records"),
        (["sep=;"], [], "holds no records"),
        (['"patientNo" x,name', "1,2"], [], "Line 1 should be the header"),
        (['[{"x": 1}]'], [], 'No heading is known: "x"'),
        (["[]"], [], "holds no records"),
        (["[1, 2]"], [], "No heading is known"),
    ],
)
def test_what_cannot_be_read_ends_with_2_and_stores_nothing(
    clinic: Clinic, lines: list[str], words: list[str], said: str
) -> None:
    result = clinic.run(clinic.write(*lines), *words)
    assert result.exit_code == 2
    assert said in result.output
    assert clinic.history() == clinic.stored("patient") == []
    assert [path.name for path in clinic.folder.iterdir()] == ["patients.csv"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--map", "No=patientNumber"], "there is no field 'patientNumber'"),
        (["--map", "patientNo"], "is not of the form HEADING=FIELD"),
        (["--delimiter", "ab"], "A delimiter is one sign"),
        (["--encoding", "klingon"], "must be a code page"),
        (["--encoding", "utf-16"], "must be a code page"),
    ],
)
def test_what_makes_no_sense_on_the_command_line_is_a_usage_error(
    clinic: Clinic, words: list[str], said: str
) -> None:
    result = clinic.run(clinic.write(HEADER, "P-1,Ali,,"), *words)
    assert (result.exit_code, said in result.output) == (2, True)
    assert clinic.stored("patient") == []


def test_a_damaged_file_of_headings_is_told(clinic: Clinic) -> None:
    kept = clinic.folder / "instance/import/patient.json"
    kept.parent.mkdir(parents=True)
    path = clinic.write(HEADER, "P-1,Ali,,")
    for content in ("{", "[]", '{"No": 5}', '{"No": "nobody"}', "\xff"):
        kept.write_text(content, "latin-1")
        result = clinic.run(path)
        assert (result.exit_code, "cannot be used" in result.output) == (2, True)


# --- Options -------------------------------------------------------------------------------------


def test_an_atomic_import_stores_all_or_nothing(clinic: Clinic) -> None:
    bad = clinic.write(HEADER, "P-1,Ali,,", "P-2,Sara,,x")
    result = clinic.run(bad, "--atomic")
    assert (result.exit_code, "Nothing was stored" in result.output) == (1, True)
    assert clinic.stored("patient") == []
    short = clinic.write(HEADER, "P-1,Ali,,", "P-2,Sara")
    assert clinic.run(short, "--atomic").exit_code == 1
    assert clinic.stored("patient") == []
    good = clinic.write(HEADER, "P-1,Ali,,", "P-2,Sara,,")
    assert clinic.run(good, "--atomic").exit_code == 0
    assert clinic.count("patient") == 2


def test_an_atomic_import_that_memory_may_not_hold_is_refused(tmp_path: Path) -> None:
    with migrated(f"sqlite:///{tmp_path / 'clinic.db'}", MAX_BATCH="3") as app:
        clinic = Clinic(app, tmp_path)
        path = clinic.write(HEADER, *[f"P-{at},Ali {at},," for at in range(4)])
        result = clinic.run(path, "--atomic")
        assert (result.exit_code, "MAX_BATCH" in result.output) == (2, True)
        assert clinic.stored("patient") == []
        assert clinic.run(path, "--dry-run").exit_code == 0
        assert clinic.run(path).exit_code == 0
        assert clinic.count("patient") == 4


def test_a_dry_run_stores_nothing_but_its_row_in_the_history(clinic: Clinic) -> None:
    path = clinic.write(HEADER, "P-1,Ali,,", "P-1,Ali,0502222222,", "P-2,,,")
    result = clinic.run(path, "--dry-run")
    assert "1 created, 1 updated, 0 unchanged, 1 refused" in result.output
    assert clinic.stored("patient") == []
    assert [row["dry_run"] for row in clinic.history()] == [True]


def test_a_file_in_another_code_page_is_read_by_the_setting_and_by_the_option(
    tmp_path: Path,
) -> None:
    url = f"sqlite:///{tmp_path / 'clinic.db'}"
    with migrated(url, IMPORT_ENCODING="iso-8859-6") as app:
        clinic = Clinic(app, tmp_path)
        arabic = clinic.write("patientNo,name", "P-1,علي", encoding="iso-8859-6")
        assert "iso-8859-6" in clinic.run(arabic).output
        windows = clinic.write("patientNo,name", "P-2,علي", encoding="cp1256")
        assert clinic.run(windows, "--encoding", "windows-1256").exit_code == 0
        assert [row["name"] for row in clinic.stored("patient")] == ["علي", "علي"]


def test_the_rows_that_show_the_encoding_are_shown_first(clinic: Clinic) -> None:
    lines = [f"P-{at},{'علي' if at == 7 else 'Ali'}" for at in range(9)]
    path = clinic.write("patientNo,name,", *lines, encoding="cp1256")
    told = clinic.run(path).output.splitlines()
    assert told[0] == f'{path}: windows-1256, cells separated by ",", 9 records'
    assert told[1:4] == [
        "line 2: patientNo=P-0, name=Ali",
        "line 3: patientNo=P-1, name=Ali",
        "line 9: patientNo=P-7, name=علي",
    ]


def test_warnings_are_counted_and_the_first_are_told(clinic: Clinic) -> None:
    lines = [f"P-{at},Ali {at},123,," for at in range(7)]
    result = clinic.run(clinic.write(f"{HEADER},Note", *lines))
    assert result.exit_code == 0
    assert result.output.count("warning, line") == intake.WARNINGS
    assert "warning, and 2 more" in result.output
    assert result.output.count('left out: "Note"') == 1


# --- The refused ---------------------------------------------------------------------------------


def test_a_night_from_a_windows_1256_export_one_mended_in_excel_and_imported(
    clinic: Clinic,
) -> None:
    good = [f"{at:05};علي حسن {at};05022{at:05};1980-01-01" for at in range(900)]
    bad = [
        "00901;سارة;0502290901;31/12/1980",
        "00902;سارة",
        "00903;سارة;0502290903;1980-01-01;x",
        '00904;"سارة;0502290904;1980-01-01',
        "00905;;0502290905;1980-01-01",
        "1.0E+09;سارة;0502290906;1980-01-01",
    ]
    lines = [*good]
    for place, line in zip(range(100, 700, 100), bad, strict=True):
        lines.insert(place, line)
    path = clinic.write("رقم الملف;الاسم;الجوال;Date Of Birth", *lines, encoding="cp1256")
    result = clinic.run(path, *ARABIC)
    assert result.exit_code == 1
    assert "906 records: 900 created, 0 updated, 0 unchanged, 6 refused." in result.output
    found = rejected(path, ";")
    assert [row["رقم الملف"] for row in found] == [line.split(";")[0] for line in bad]
    assert "dateOfBirth: Not a valid date" in found[0]["<refused because>"]
    assert [row["<more cells>"] for row in found[2:4]] == [
        "x",
        "look at the quotes of this row",
    ]
    back = path.with_name("patients.csv.rejected.csv")
    saved_by_a_spreadsheet(back, "cp1256", ";")
    text = back.read_text("cp1256").replace("31/12/1980", "1980-12-31")
    back.write_bytes(text.encode("cp1256"))
    result = clinic.run(back)
    assert "6 records: 1 created, 0 updated, 0 unchanged, 5 refused." in result.output
    mended = clinic.stored("patient")[-1]
    assert (mended["patient_no"], mended["date_of_birth"]) == ("00901", "1980-12-31")


def test_candidates_of_a_conflict_are_named(clinic: Clinic) -> None:
    clinic.send("patient", patientNo="P-1", name="Ali", nationalID="1098765432")
    clinic.send("patient", patientNo="P-2", name="Sara", nationalID="1098765440")
    path = clinic.write("patientNo,nationalID,name", "P-1,1098765440,Ali")
    first, second = (row["id"] for row in clinic.stored("patient"))
    assert f"Stored records: id {first} (by patientNo), id {second} (by nationalID)." in (
        clinic.run(path).output
    )


def test_a_former_file_of_refused_records_is_named_when_it_is_put_aside(
    clinic: Clinic,
) -> None:
    path = clinic.write(HEADER, "P-1,Ali,,x")
    assert "The former" not in clinic.run(path).output
    assert "The former" not in clinic.run(path).output
    result = clinic.run(clinic.write(HEADER, "P-1,Ali,,"))
    assert "The former patients.csv.rejected.csv is now" in result.output
    assert not path.with_name("patients.csv.rejected.csv").exists()


def test_refused_records_go_where_they_shall(clinic: Clinic) -> None:
    path = clinic.write(HEADER, "P-1,Ali,,x")
    assert clinic.run(path, "--rejected", clinic.folder / "away.csv").exit_code == 1
    assert (clinic.folder / "away.csv").exists()
    nowhere = clinic.folder / "no folder" / "away.csv"
    result = clinic.run(path, "--rejected", nowhere)
    assert (result.exit_code, "--rejected" in result.output) == (2, True)


def test_the_refused_may_be_imported_and_written_anew_in_one_file(clinic: Clinic) -> None:
    path = clinic.write(HEADER, "P-1,Ali,,1990-01-01", "P-2,Sara,,x")
    result = clinic.run(path, "--rejected", path)
    assert "1 created, 0 updated, 0 unchanged, 1 refused." in result.output
    assert result.exit_code == 1
    aside = [it for it in clinic.folder.iterdir() if it != path]
    assert (len(aside), "P-1" in path.read_text()) == (1, False)


def test_a_line_that_is_no_json_is_kept_for_a_person(clinic: Clinic) -> None:
    lines = ['{"patientNo": "P-1", "name": "Ali"}', '{"patientNo": "P-2"', "5"]
    path = clinic.write(*lines, name="patients.ndjson")
    result = clinic.run(path)
    assert "1 created, 0 updated, 0 unchanged, 2 refused." in result.output
    assert [row["<more cells>"] for row in rejected(path)] == ['{"patientNo": "P-2"', "5"]
    back = path.with_name("patients.ndjson.rejected.csv")
    assert "0 created, 0 updated, 0 unchanged, 2 refused." in clinic.run(back).output


# --- What goes wrong on the way ------------------------------------------------------------------


def test_a_file_that_changes_meanwhile_is_told(
    clinic: Clinic, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = clinic.write(HEADER, "P-1,Ali,,")

    def agree(_self: object) -> bool:
        with path.open("a") as file:
            file.write("P-2,Sara,,\r\n")
        return True

    monkeypatch.setattr(importing._Import, "_agreed", agree)
    result = clinic.run(path)
    assert (result.exit_code, "changed meanwhile" in result.output) == (2, True)


def test_an_outage_stops_the_import_and_keeps_what_was_stored(
    clinic: Clinic, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importing, "PORTION", 2)
    path = clinic.write(HEADER, *[f"P-{at},Ali {at},," for at in range(6)])
    with failing_from(clinic, "P-3"):
        result = clinic.run(path)
    assert result.exit_code == 2
    assert "Not all was imported." in result.output
    assert clinic.count("patient") == 2
    (row,) = clinic.history()
    assert (row["created"], row["failed"]) == (2, 0)
    assert clinic.run(path).exit_code == 0
    assert clinic.count("patient") == 6


def test_a_full_disk_under_the_refused_stops_the_import_and_is_told(
    clinic: Clinic, monkeypatch: pytest.MonkeyPatch
) -> None:
    def add(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Rejects, "add", add)
    path = clinic.write(HEADER, "P-1,Ali,,", "P-2,,,")
    result = clinic.run(path)
    assert (result.exit_code, "cannot be written (No space left" in result.output) == (
        2,
        True,
    )
    assert len(clinic.history()) == 1
    assert [it.name for it in clinic.folder.iterdir()] == ["patients.csv"]


def test_refused_records_that_cannot_be_placed_leave_no_hidden_file(
    clinic: Clinic, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on Windows while Excel has the former ones open."""

    def replace(*_: Any) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(Path, "replace", replace)
    result = clinic.run(clinic.write(HEADER, "P-1,Ali,,", "P-2,,,"))
    assert "could not be put into" in result.output
    assert [it.name for it in clinic.folder.iterdir()] == ["patients.csv"]


def test_an_outage_within_a_portion_stops_it_too(
    clinic: Clinic, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sync, "CHUNK", 2)
    path = clinic.write(HEADER, *[f"P-{at},Ali {at},," for at in range(6)])
    with failing_from(clinic, "P-3"):
        result = clinic.run(path)
    assert (result.exit_code, "Not all was imported." in result.output) == (2, True)
    assert clinic.count("patient") == 4
    assert [row["patientNo"] for row in rejected(path)] == ["P-2", "P-3"]


class failing_from:
    """The database is busy for good from the record with a number on."""

    def __init__(self, clinic: Clinic, number: str):
        self.clinic, self.number = clinic, number

    def __enter__(self) -> None:
        with self.clinic.app.app_context():
            sa.event.listen(db.engine, "before_cursor_execute", self.fail)

    def __exit__(self, *_error: object) -> None:
        with self.clinic.app.app_context():
            sa.event.remove(db.engine, "before_cursor_execute", self.fail)

    def fail(
        self, _c: object, _cursor: object, statement: str, values: Any, *_rest: object
    ) -> None:
        if statement.startswith("INSERT INTO patient") and self.number in str(values):
            raise sa.exc.OperationalError(statement, {}, disk_is_full())


def disk_is_full() -> Exception:
    error = sqlite3.OperationalError("database or disk is full")
    error.sqlite_errorcode = sqlite3.SQLITE_FULL
    error.sqlite_errorname = "SQLITE_FULL"
    return error


def test_whoever_interrupts_it_is_told_how_far_it_came(
    clinic: Clinic, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importing, "PORTION", 2)
    whole = intake.Intake.take

    def take(self: intake.Intake, rows: list) -> None:
        whole(self, rows)
        if self.report.counts.total() == 4:
            raise KeyboardInterrupt

    monkeypatch.setattr(intake.Intake, "take", take)
    path = clinic.write(HEADER, *[f"P-{at},Ali {at},,{'x' * (at == 1)}" for at in range(6)])
    result = clinic.run(path)
    assert result.exit_code == 2
    assert "4 records: 3 created, 0 updated, 0 unchanged, 1 refused." in result.output
    assert "It was interrupted." in result.output
    assert [row["total"] for row in clinic.history()] == [4]
    assert len(rejected(path)) == 1
    assert len([*clinic.folder.iterdir()]) == 2


def test_the_history_counts_all_failures_and_keeps_the_first(
    clinic: Clinic, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importing, "PORTION", 2)
    monkeypatch.setattr(history, "FAILURES", 3)
    clinic.run(clinic.write(HEADER, *[f"P-{at},Ali,,x" for at in range(5)], "P-6"))
    (row,) = clinic.history()
    assert (row["total"], row["failed"]) == (6, 6)
    assert [it["index"] for it in json.loads(row["failures"])] == [0, 1, 2]


# --- Memory and progress -------------------------------------------------------------------------


def test_no_more_rows_are_read_than_a_portion_holds() -> None:
    read = []

    def rows() -> Iterator[Row]:
        for line in range(100):
            read.append(line)
            yield Row(line, [], 10)

    found = intake.portions(rows(), 7, 1000)
    assert (len(next(found)), len(read)) == (7, 7)
    assert (len(next(found)), len(read)) == (7, 14)
    assert {len(portion) for portion in intake.portions(rows(), 7, 20)} == {2}


def test_without_a_terminal_a_line_comes_after_each_tenth(
    clinic: Clinic, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importing, "PORTION", 1)
    path = clinic.write(HEADER, *[f"P-{at},Ali {at},," for at in range(20)])
    told = clinic.run(path).output.splitlines()
    progress = [line for line in told if " of 20 records, " in line]
    assert len(progress) == 10
    assert progress[0].startswith("2 of 20 records, ")
    assert progress[-1].endswith(" a second, 0 seconds left")


@pytest.mark.parametrize(("answer", "status", "count"), [("y\n", 0, 30), ("\x04", 2, 0)])
def test_on_a_terminal_a_person_is_asked_and_sees_a_bar(
    tmp_path: Path, answer: str, status: int, count: int
) -> None:
    url = f"sqlite:///{tmp_path / 'clinic.db'}"
    with migrated(url) as app:
        clinic = Clinic(app, tmp_path)
        path = clinic.write(HEADER, *[f"P-{at},Ali {at},," for at in range(30)])
        left, told = on_a_terminal(["import", "patients", str(path)], answer, url)
        assert left == status
        assert "Is this right? Import it? [y/N]" in told
        assert ("Importing  [####" in told and "30/30" in told) == (status == 0)
        assert clinic.count("patient") == count


def on_a_terminal(words: list[str], answer: str, url: str) -> tuple[int, str]:
    """Run a `flask` command on a terminal, and return its exit status and what it shows."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "flask", "--app", "app", *words],
        cwd=ROOT,
        env={
            **os.environ,
            "DATABASE_URL": url,
            "API_KEYS": f"tests:{KEY}",
            "TERM": "xterm",
        },
        stdin=theirs,
        stdout=theirs,
        stderr=subprocess.STDOUT,
    )
    os.close(theirs)
    os.write(ours, answer.encode())
    shown = b"".join(iter(lambda: read_some(ours), b"")).decode()
    os.close(ours)
    return process.wait(60), shown


def test_a_log_in_a_western_code_page_does_not_end_an_import(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'clinic.db'}"
    with migrated(url) as app:
        clinic = Clinic(app, tmp_path)
        path = clinic.write("patientNo,name,الملاحظات", "P-1,علي,x")
        settings = {"DATABASE_URL": url, "API_KEYS": f"tests:{KEY}"}
        flask = (
            sys.executable,
            "-m",
            "flask",
            "--app",
            "app",
            "import",
            "patient",
            str(path),
        )
        status, told = run(flask, PYTHONIOENCODING="cp1252", **settings)
        assert (status, "Traceback" in told) == (0, False)
        assert [row["name"] for row in clinic.stored("patient")] == ["علي"]


def read_some(terminal: int) -> bytes:
    try:
        return os.read(terminal, 4096)
    except OSError:  # nobody writes any more
        return b""


def test_with_settings_that_make_no_sense_the_file_is_not_read() -> None:
    command = (sys.executable, "-m", "flask", "--app", "app", "import", "patients", "x.csv")
    status, told = run(command, API_KEYS=f"tests:{KEY}", TIME_ZONE="Nowhere")
    assert (status, told.splitlines()[-1][:27]) == (2, "Cannot start: TIME_ZONE mus")
