"""Raw: what no service can beat. Ready tuples, one statement, one durable commit; nothing is checked."""

import sqlite3
import time
from pathlib import Path

import psycopg

from bench.records import FIELDS, Record

COLUMNS = ", ".join(FIELDS)
KEYS = "UNIQUE (patientNo), UNIQUE (nationalID), UNIQUE (mobile, name)"
UPDATES = ", ".join(f"{field}=excluded.{field}" for field in FIELDS if field != "patientNo")
ON_CONFLICT = f"ON CONFLICT (patientNo) DO UPDATE SET {UPDATES}"


def tuples(records: list[Record]) -> list[tuple]:
    """Return the rows of records, in the order of the columns."""
    return [tuple(record[field] for field in FIELDS) for record in records]


class RawSqlite:
    """A table with a patient's unique keys (WAL, synchronous=FULL)."""

    UPSERT = f"INSERT INTO patient ({COLUMNS}) VALUES ({', '.join('?' * len(FIELDS))}) {ON_CONFLICT}"

    def __init__(self, path: Path) -> None:
        self.connection = sqlite3.connect(path)
        self.connection.execute("PRAGMA journal_mode=WAL")
        self.connection.execute("PRAGMA synchronous=FULL")
        self.connection.execute(
            f"CREATE TABLE IF NOT EXISTS patient (id INTEGER PRIMARY KEY, {COLUMNS}, {KEYS})"
        )

    def send(self, rows: list[tuple]) -> float:
        """Upsert rows and return the seconds it took."""
        start = time.perf_counter()
        with self.connection:
            self.connection.executemany(self.UPSERT, rows)
        return time.perf_counter() - start

    def close(self) -> None:
        """Close the file."""
        self.connection.close()


class RawPostgresql:
    """COPY into a temporary table, then one INSERT ... ON CONFLICT from there, in one transaction."""

    def __init__(self, url: str) -> None:
        self.connection = psycopg.connect(url)
        texts = ", ".join(
            f"{field} boolean" if field == "isActive" else f"{field} text"
            for field in FIELDS
        )
        texts = texts.replace("dateOfBirth text", "dateOfBirth date")
        self.connection.execute("DROP TABLE IF EXISTS patient")
        identity = "id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY"
        self.connection.execute(f"CREATE TABLE patient ({identity}, {texts}, {KEYS})")
        self.connection.execute(f"CREATE TEMPORARY TABLE incoming ({texts})")
        self.connection.commit()

    def send(self, rows: list[tuple]) -> float:
        """Upsert rows and return the seconds it took."""
        start = time.perf_counter()
        with self.connection.transaction(), self.connection.cursor() as cursor:
            cursor.execute("TRUNCATE incoming")
            with cursor.copy(f"COPY incoming ({COLUMNS}) FROM STDIN") as copy:
                for row in rows:
                    copy.write_row(row)
            cursor.execute(
                f"INSERT INTO patient ({COLUMNS}) SELECT {COLUMNS} FROM incoming {ON_CONFLICT}"
            )
        return time.perf_counter() - start

    def close(self) -> None:
        """Close the connection."""
        self.connection.close()
