"""Hijri dates: as .NET writes them where Windows speaks Saudi Arabic, and as they are read here."""

import json
import os
import subprocess
from datetime import date
from pathlib import Path
from zoneinfo import ZoneInfo

import csharp
import pytest
from conftest import migrated
from live import KEY, service

import config
import schemas
from engine import canonical, hijri
from engine.problems import ValidationFailed

MONTHS = """
using System;
using System.Globalization;

class Months
{
    static void Main()
    {
        var calendar = new UmAlQuraCalendar();
        for (var year = 1343; year <= 1500; year++)
            for (var month = 1; month <= 12; month++)
            {
                var first = calendar.ToDateTime(year, month, 1, 0, 0, 0, 0);
                var written = first.ToString("yyyy-MM-dd", CultureInfo.InvariantCulture);
                Console.WriteLine($"{year} {month} {written} {calendar.GetDaysInMonth(year, month)}");
            }
    }
}
"""
RIYADH = ZoneInfo("Asia/Riyadh")
PATIENT = {"patientNo": "P-1"}


@pytest.fixture
def c_sharp() -> None:
    if not csharp.available(required=bool(os.environ.get("CI"))):
        pytest.skip("C# is not installed")


@pytest.mark.usefixtures("c_sharp")
def test_every_month_is_dot_nets(tmp_path: Path) -> None:
    source = tmp_path / "Months.cs"
    source.write_text(MONTHS, encoding="utf-8")
    told = subprocess.run(
        csharp.compiled(source), capture_output=True, text=True, check=True
    ).stdout.split("\n")[:-1]
    assert len(told) == 158 * 12
    for line in told:
        year, month, first, days = line.split()
        assert str(hijri.to_gregorian(int(year), int(month), 1)) == first
        assert hijri.to_gregorian(int(year), int(month), int(days)) is not None
        assert hijri.to_gregorian(int(year), int(month), int(days) + 1) is None


@pytest.mark.usefixtures("c_sharp")
def test_a_program_in_a_saudi_locale_lands_on_the_right_days(tmp_path: Path) -> None:
    """Mono's runtime, which knows cultures without ICU."""
    program = tmp_path / "saudi.exe"
    subprocess.run(
        ["mcs", "-nologo", f"-out:{program}", str(Path(__file__).parent / "saudi.cs")],
        check=True,
    )
    url = f"sqlite:///{tmp_path / 'clinic.db'}"
    with migrated(url), service(url) as running:
        address = f"http://127.0.0.1:{running.port}"
        done = subprocess.run(
            ["mono", str(program), address, KEY], capture_output=True, text=True, check=True
        )
    patient, booking = map(json.loads, done.stdout.splitlines())
    assert patient["warnings"] == [
        'dateOfBirth: "1389-12-27" is read as a Hijri date: 1970-03-05'
    ]
    assert patient["data"]["dateOfBirth"] == "1970-03-05"
    assert booking["warnings"] == [
        'date: "1448-06-21T10:30:00" is read as a Hijri date: 2026-12-01'
    ]
    assert (booking["data"]["date"], booking["data"]["timeFrom"]) == (
        "2026-12-01",
        "10:30:00",
    )


@pytest.mark.parametrize(
    ("sent", "day"),
    [
        ("1405-03-12", "1984-12-04"),
        ("1405-03-12T00:00:00", "1984-12-04"),
        ("1405-03-11T22:30:00Z", "1984-12-04"),
        ("١٤٠٥-٠٣-١٢", "1984-12-04"),
        ("1343-01-01", "1924-08-01"),
        ("1389-12-27", "1970-03-05"),
        ("1400-01-30", "1979-12-19"),
        ("1448-06-21 10:30:00", "2026-12-01"),
    ],
)
def test_a_hijri_birth_date_is_read_with_a_warning_that_tells_both(
    sent: str, day: str
) -> None:
    schema = schemas.PatientSchema("SA", RIYADH)
    if day > date.today().isoformat():
        schema = schemas.AppointmentSchema("SA", RIYADH)
        data, warnings = schema.clean({"appointmentNo": "A-1", "date": sent})
        assert (data["date"], warnings) == (
            day,
            [f'date: "{sent}" is read as a Hijri date: {day}'],
        )
        return
    data, warnings = schema.clean(PATIENT | {"dateOfBirth": sent})
    assert (data["date_of_birth"], warnings) == (
        day,
        [f'dateOfBirth: "{sent}" is read as a Hijri date: {day}'],
    )


# From .NET: its calendar's first and last day, and what lies around the ends of two months of 29 days.
KNOWN = {
    (1343, 1, 1): date(1924, 8, 1),
    (1405, 1, 29): date(1984, 10, 24),
    (1405, 2, 1): date(1984, 10, 25),
    (1405, 2, 29): date(1984, 11, 22),
    (1405, 3, 1): date(1984, 11, 23),
    (1448, 6, 21): date(2026, 12, 1),
    (1500, 12, 30): date(2077, 11, 16),
}


@pytest.mark.parametrize(("hijri_day", "day"), KNOWN.items())
def test_a_hijri_day_is_dot_nets(hijri_day: tuple[int, int, int], day: date) -> None:
    assert hijri.to_gregorian(*hijri_day) == day


@pytest.mark.parametrize("no_day", [(1405, 1, 0), (1405, 1, 30), (1500, 12, 31)])
def test_a_day_that_its_hijri_month_lacks_is_none(no_day: tuple[int, int, int]) -> None:
    assert hijri.to_gregorian(*no_day) is None


def test_the_calendar_ends_with_dot_nets() -> None:
    assert (hijri.FIRST_YEAR, hijri.LAST_YEAR) == (1343, 1500)


NO_DAYS = [
    "1405-02-30",
    "1405-02-30T00:00:00",
    "1320-05-05",
    "1880-01-01",
    "1980-00-00",
    "1980-05-00",
    "2001-00-01",
    "0000-05-05",
]


@pytest.mark.parametrize("sent", NO_DAYS)
def test_what_is_no_day_is_left_out_of_a_birth_date_and_refused_in_a_booking(
    sent: str,
) -> None:
    data, (warning,) = schemas.PatientSchema("SA", RIYADH).clean(
        PATIENT | {"dateOfBirth": sent}
    )
    assert data == {"patient_no": "P-1"}
    assert warning.startswith(f'dateOfBirth: "{sent}" is no day: ')
    assert warning.endswith(", left out")
    with pytest.raises(ValidationFailed) as caught:
        schemas.AppointmentSchema("SA", RIYADH).clean(
            {"appointmentNo": "A-1", "date": sent}
        )
    (sentence,) = caught.value.errors["date"]
    assert f'"{sent}"' in sentence
    assert "Hijri" in sentence


@pytest.mark.parametrize("wrong", ["1405-13-01", "1405-03-32", "1448-6-21", "14050312"])
def test_what_no_calendar_has_is_refused(wrong: str) -> None:
    with pytest.raises(ValidationFailed):
        schemas.PatientSchema("SA", RIYADH).clean(PATIENT | {"dateOfBirth": wrong})


@pytest.mark.parametrize("sent", ["1405-03-12", "1405-02-31", "1363-06-31"])
def test_where_hijri_dates_are_off_such_a_year_lies_before_1900(sent: str) -> None:
    """In Iran 1363-06-31 is a day of another calendar."""
    data, (warning,) = schemas.PatientSchema("IR", RIYADH, reads_hijri=False).clean(
        PATIENT | {"dateOfBirth": sent}
    )
    assert "date_of_birth" not in data
    assert "lies before 1900" in warning
    with pytest.raises(canonical.NoDay):
        canonical.calendar_date(sent, RIYADH, reads_hijri=False)


@pytest.mark.parametrize(
    ("settings", "reads"),
    [
        ({}, True),
        ({"HIJRI_DATES": "off"}, False),
        ({"HIJRI_DATES": "ON"}, True),
        ({"PHONE_REGION": "IR"}, False),
        ({"PHONE_REGION": "af"}, False),
        ({"PHONE_REGION": "IR", "HIJRI_DATES": "on"}, True),
        ({"PHONE_REGION": "AE"}, True),
    ],
)
def test_the_setting_follows_the_region_unless_it_is_set(
    settings: dict[str, str], reads: bool
) -> None:
    read = config.read({"API_KEYS": "tests:a-key-for-the-tests-only"} | settings)
    assert read.hijri_dates is reads


def test_a_setting_that_is_neither_is_refused() -> None:
    with pytest.raises(config.SettingError, match="HIJRI_DATES must be on or off"):
        config.read({"API_KEYS": "tests:a-key-for-the-tests-only", "HIJRI_DATES": "maybe"})
