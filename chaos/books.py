"""The books: what a database holds, read behind the service's back, and whether it holds together."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from time import monotonic, sleep
from typing import Any

import sqlalchemy as sa

import config
from chaos.audit import Row, Stored
from chaos.ledger import ACTIONS, Fault
from chaos.records import TAG, TAGGED, Values
from engine import database
from engine.entity import json_name
from models import FormerKey, db
from schemas import PLURALS

PATIENCE = 60  # seconds until the last transaction of a killed client ends
TABLES = db.metadata.sorted_tables
# Transactions of others, which a killed client may have left.
ACTIVE = {
    "postgresql": "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'"
    " AND pid <> pg_backend_pid() AND xact_start IS NOT NULL",
    "mysql": "SELECT count(*) FROM information_schema.innodb_trx"
    " WHERE trx_mysql_thread_id NOT IN (0, connection_id())",
}
ACTIVE["mariadb"] = ACTIVE["mysql"]
SQLITE_CHECKS = ("PRAGMA integrity_check", "PRAGMA foreign_key_check")


class Books:
    """The data of an engine, at one database or at several copies of it (nodes of a cluster)."""

    def __init__(self, urls: Sequence[str]) -> None:
        self._engines = [*map(_engine, urls)]
        if len(urls) > 1:
            for engine in self._engines:
                sa.event.listen(engine, "connect", _read_the_latest)

    def read(self, prefix: str) -> Stored:
        """Return what is stored, while nobody writes. Of the history: requests whose ids begin with `prefix`."""
        for engine in self._engines:
            _wait_until_quiet(engine)
        with self._engines[0].connect() as connection:
            return Stored(
                rows=self._rows(),
                leads=_leads(connection),
                runs=_runs(connection, prefix),
                faults=[*_damage(connection), *_dangling(connection), *self._differences()],
            )

    def _rows(self) -> Iterator[Row]:
        with self._engines[0].connect() as connection:
            yield from _rows(connection)

    def _differences(self) -> Iterator[Fault]:
        """Yield the tables that are not the same on all nodes."""
        if len(self._engines) == 1:
            return
        nodes = [_checksums(engine) for engine in self._engines]
        for table, checksums in zip(TABLES, zip(*nodes, strict=True), strict=True):
            if len(set(checksums)) > 1:
                text = f"the nodes hold different rows of {table.name}"
                yield Fault("nodes differ", text)


def _engine(url: str) -> sa.Engine:
    """Return an engine that reads values as the service does. It keeps no connection, for the server will be killed."""
    address = sa.make_url(url)
    address = address.set(
        drivername=config.DRIVERS.get(address.drivername, address.drivername)
    )
    engine = sa.create_engine(address, poolclass=sa.NullPool)
    database.of(engine.dialect).prepare(engine)
    return engine


def _read_the_latest(connection: Any, _record: Any) -> None:
    """Have a node's reads wait until it has done all that the cluster has."""
    with connection.cursor() as cursor:
        cursor.execute("SET SESSION wsrep_sync_wait = 1")


def _wait_until_quiet(engine: sa.Engine) -> None:
    """Wait until nobody's transaction is open any more."""
    if engine.dialect.name not in ACTIVE:
        return
    deadline = monotonic() + PATIENCE
    while _count(engine, ACTIVE[engine.dialect.name]):
        if monotonic() > deadline:
            raise TimeoutError("a transaction does not end")
        sleep(0.05)


def _count(engine: sa.Engine, query: str) -> int:
    with engine.connect() as connection:
        return int(connection.exec_driver_sql(query).scalar_one())


# --- What is stored ----------------------------------------------------------------------------


def _rows(connection: sa.Connection) -> Iterator[Row]:
    """Yield all records; a booking's patient, doctor and clinic, and a doctor's clinics, by tag and code."""
    patients = {
        record_id: name[-TAG:]
        for record_id, name in _pairs(connection, "patient", "name").items()
    }
    doctors = _pairs(connection, "doctor", "code")
    clinics = _pairs(connection, "clinic", "code")
    works_in: dict[int, list[str]] = defaultdict(list)
    for doctor, clinic in connection.execute(
        sa.select(db.metadata.tables["doctor_clinic"])
    ):
        works_in[doctor].append(clinics.get(clinic, "?"))
    for entity in TAGGED:
        for values in _records(connection, entity):
            if entity == "doctor":
                values["clinicCodes"] = sorted(works_in[values["id"]])
            if entity == "appointment":
                values["patient"] = patients.get(values["patientId"])
                values["doctorCode"] = doctors.get(values["doctorId"])
                values["clinicCode"] = clinics.get(values["clinicId"])
            yield Row(entity, (values[TAGGED[entity]] or "")[-TAG:], values["id"], values)


def _pairs(connection: sa.Connection, entity: str, column: str) -> dict[int, str]:
    table = db.metadata.tables[entity]
    rows = connection.execute(sa.select(table.c.id, table.c[column]))
    return dict(rows.all())


def _records(connection: sa.Connection, entity: str) -> Iterator[Values]:
    table = db.metadata.tables[entity]
    names = [json_name(column.name) for column in table.c]
    for row in connection.execute(sa.select(table)):
        yield dict(zip(names, row, strict=True))


def _leads(connection: sa.Connection) -> dict[str, int]:
    """Return which patient each number, former number and national id leads to."""
    patient, former = db.metadata.tables["patient"].c, FormerKey.__table__.c
    queries = [
        sa.select(former.value, former.record_id).where(former.entity == "patient"),
        sa.select(patient.patient_no, patient.id).where(patient.patient_no.is_not(None)),
        sa.select(patient.national_id, patient.id).where(patient.national_id.is_not(None)),
    ]
    return {
        key: record_id for query in queries for key, record_id in connection.execute(query)
    }


def _runs(connection: sa.Connection, prefix: str) -> dict[tuple[str, str], list[Counter]]:
    run = db.metadata.tables["sync_run"].c
    counts = [run[name] for name in (*ACTIONS, "failed")]
    query = sa.select(run.request_id, run.entity, *counts).where(
        run.request_id.startswith(prefix)
    )
    runs: dict[tuple[str, str], list[Counter]] = defaultdict(list)
    for request_id, plural, *numbers in connection.execute(query):
        told = dict(zip((*ACTIONS, "failed"), numbers, strict=True))
        runs[request_id, PLURALS[plural]].append(Counter(told))
    return runs


# --- Whether it holds together -----------------------------------------------------------------


def _damage(connection: sa.Connection) -> Iterator[Fault]:
    if connection.dialect.name != "sqlite":
        return
    for check in SQLITE_CHECKS:
        told = [tuple(row) for row in connection.exec_driver_sql(check)]
        if told not in ([], [("ok",)]):
            yield Fault("damage", f"{check}: {told[:5]}")


def _dangling(connection: sa.Connection) -> Iterator[Fault]:
    """Yield the references that lead to no row."""
    for table in TABLES:
        for key in table.foreign_keys:
            if count := _without_target(connection, key.parent, key.column):
                yield Fault(
                    "foreign key",
                    f"{count} rows of {table.name} refer to no row by {key.parent.name}",
                )
    former = FormerKey.__table__.c
    for entity in ("patient", "doctor"):
        target = db.metadata.tables[entity].c.id
        if count := _without_target(
            connection, former.record_id, target, former.entity == entity
        ):
            yield Fault("foreign key", f"{count} former keys lead to no {entity}")


def _without_target(
    connection: sa.Connection,
    source: sa.Column,
    target: sa.Column,
    *also: sa.ColumnElement[bool],
) -> int:
    joined = source.table.outerjoin(target.table, source == target)
    query = sa.select(sa.func.count()).select_from(joined)
    return connection.scalars(
        query.where(source.is_not(None), target.is_(None), *also)
    ).one()


def _checksums(node: sa.Engine) -> list[int]:
    """Return a checksum of the rows of each table on a node, once it has done all that the cluster has."""
    with node.connect() as connection:
        connection.exec_driver_sql("SELECT 1")  # waits; CHECKSUM would not
        query = f"CHECKSUM TABLE {', '.join(table.name for table in TABLES)}"
        return [checksum for _, checksum in connection.exec_driver_sql(query)]
