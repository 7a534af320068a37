"""Storage: the tables, the constraints that guard every key, and what each database needs at connect."""

import enum
import sqlite3
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import cache, lru_cache
from typing import Annotated, Any, cast

import sqlalchemy as sa
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.dialects import mysql
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.types import TypeDecorator

LOCK_WAIT_SECONDS = 10

# MariaDB's default collation takes DOC-1 for doc-1 and é for e: compare bytes instead.
# SQLite reuses the id of a deleted last row, which a client may still hold: AUTOINCREMENT does not.
TABLE_OPTIONS = {"sqlite_autoincrement": True} | {
    f"{name}_{option}": value
    for name in ("mysql", "mariadb")
    for option, value in {
        "engine": "InnoDB",
        "charset": "utf8mb4",
        "collate": "utf8mb4_bin",
    }.items()
}


class Base(DeclarativeBase):
    metadata = sa.MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


db = SQLAlchemy(model_class=Base)


class _IsoText(TypeDecorator):
    """A date or time that is ISO text in Python and on SQLite, and the real type elsewhere."""

    def load_dialect_impl(self, dialect: sa.Dialect) -> Any:
        return (
            dialect.type_descriptor(sa.String(19))
            if dialect.name == "sqlite"
            else self.impl_instance
        )

    def process_bind_param(self, value: str | None, dialect: sa.Dialect) -> Any:
        python: Any = self.impl_instance.python_type
        return value if value is None or dialect.name == "sqlite" else python.fromisoformat(value)

    def process_result_value(self, value: Any, dialect: sa.Dialect) -> str | None:
        return value if value is None else str(value)

    def result_processor(self, dialect: sa.Dialect, coltype: Any) -> Any:
        """Spare rows the call for each value where it is text already."""
        return (
            None
            if dialect.name in ("sqlite", "postgresql")
            else super().result_processor(dialect, coltype)
        )


class IsoDate(_IsoText):
    impl, cache_ok = sa.Date, True


class IsoTime(_IsoText):
    impl, cache_ok = sa.Time, True


class Instant(_IsoText):
    """Naive UTC in whole seconds: `2026-06-15 09:00:00`."""

    impl, cache_ok = sa.DateTime, True


class Joined(TypeDecorator):
    """A list of values as one text: psycopg takes many times as long to write an array."""

    impl, cache_ok = sa.Text, True
    BETWEEN, NULL = "\x1f", "\x1e"  # control characters are refused, so no value holds them

    def process_bind_param(self, value: Any, dialect: sa.Dialect) -> str:
        joined = self.BETWEEN.join([self.NULL if it is None else str(it) for it in value])
        marks = joined.count(self.BETWEEN), joined.count(self.NULL)
        if marks != (max(len(value) - 1, 0), value.count(None)) or [*value] == [
            ""
        ]:  # no list is joined to that, too
            raise ValueError("a value holds a separator")  # each after it would be another row's
        return joined


Id = sa.BigInteger().with_variant(sa.Integer, "sqlite")
Identifier = Annotated[str | None, mapped_column(sa.String(64))]
UniqueIdentifier = Annotated[str | None, mapped_column(sa.String(64), unique=True)]
Text = Annotated[str | None, mapped_column(sa.String(200))]
LongText = Annotated[str | None, mapped_column(sa.String(4000))]
Day = Annotated[str | None, mapped_column(IsoDate)]


class Record:
    """What every stored record has. `version` counts the writes."""

    __table_args__: Any = TABLE_OPTIONS

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    created_at: Mapped[str] = mapped_column(Instant)
    updated_at: Mapped[str] = mapped_column(Instant)
    version: Mapped[int] = mapped_column(default=1)


class Clinic(Record, db.Model):
    code: Mapped[str] = mapped_column(sa.String(64), unique=True)
    name: Mapped[str] = mapped_column(sa.String(200))
    number: Mapped[Text]
    specialization: Mapped[Text]
    clinic_type: Mapped[Text]
    branch: Mapped[Text]
    floor: Mapped[Text]
    location: Mapped[Text]
    account_no: Mapped[Text]
    cost_center_no: Mapped[Text]
    address: Mapped[LongText]
    phone: Mapped[Text]
    email: Mapped[Text]
    is_active: Mapped[bool]


class Doctor(Record, db.Model):
    code: Mapped[UniqueIdentifier]
    license_number: Mapped[UniqueIdentifier]
    name: Mapped[str] = mapped_column(sa.String(200))
    a_name: Mapped[Text]
    branch: Mapped[Text]
    gender: Mapped[str | None] = mapped_column(sa.String(10))
    date_of_birth: Mapped[Day]
    medical_reg_number: Mapped[Text]
    id_number: Mapped[Text]
    account_no: Mapped[Text]
    cost_center: Mapped[Text]
    description: Mapped[LongText]
    email: Mapped[Text]
    phone: Mapped[Text]
    specialization: Mapped[Text]
    is_active: Mapped[bool]


class DoctorClinic(db.Model):
    """A doctor works in a clinic."""

    __table_args__ = TABLE_OPTIONS | {"sqlite_autoincrement": False}

    doctor_id: Mapped[int] = mapped_column(sa.ForeignKey("doctor.id"), primary_key=True)
    clinic_id: Mapped[int] = mapped_column(sa.ForeignKey("clinic.id"), primary_key=True)


class Patient(Record, db.Model):
    """`contact_key` is the mobile and the folded name; who comes to share one takes the lowest free rank."""

    __table_args__ = (sa.UniqueConstraint("contact_key", "contact_rank"), TABLE_OPTIONS)

    patient_no: Mapped[UniqueIdentifier]
    national_id: Mapped[UniqueIdentifier]
    name: Mapped[str] = mapped_column(sa.String(200))
    first_name: Mapped[Text]
    second_name: Mapped[Text]
    last_name: Mapped[Text]
    mobile: Mapped[Text]
    date_of_birth: Mapped[Day]
    gender: Mapped[str | None] = mapped_column(sa.String(10))
    email: Mapped[Text]
    phone: Mapped[Text]
    blood_type: Mapped[str | None] = mapped_column(sa.String(3))
    is_active: Mapped[bool]
    contact_key: Mapped[Identifier]
    contact_rank: Mapped[int | None]


class Appointment(Record, db.Model):
    """`slot_key` is patient, date and timeFrom; bookings that come to share one are ranked like contacts."""

    __table_args__ = (sa.UniqueConstraint("slot_key", "slot_rank"), TABLE_OPTIONS)

    appointment_no: Mapped[UniqueIdentifier]
    patient_id: Mapped[int] = mapped_column(sa.ForeignKey("patient.id"), index=True)
    doctor_id: Mapped[int | None] = mapped_column(sa.ForeignKey("doctor.id"), index=True)
    clinic_id: Mapped[int | None] = mapped_column(sa.ForeignKey("clinic.id"))
    date: Mapped[str] = mapped_column(IsoDate)
    time_from: Mapped[str] = mapped_column(IsoTime)
    time_to: Mapped[str | None] = mapped_column(IsoTime)
    status: Mapped[str] = mapped_column(sa.String(40))
    notes: Mapped[LongText]
    slot_key: Mapped[Identifier]
    slot_rank: Mapped[int | None]


class FormerKey(db.Model):
    """A number that a record gave up and that still leads to it: for one record at most."""

    __table_args__ = TABLE_OPTIONS | {"sqlite_autoincrement": False}

    entity: Mapped[str] = mapped_column(sa.String(20), primary_key=True)
    value: Mapped[str] = mapped_column(sa.String(64), primary_key=True)
    record_id: Mapped[int] = mapped_column(Id, index=True)


class SyncRun(db.Model):
    """What became of one list, single record or decision. `failures` is JSON; `duration_ms` in milliseconds."""

    __table_args__ = TABLE_OPTIONS

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    at: Mapped[str] = mapped_column(Instant, index=True)
    request_id: Mapped[str] = mapped_column(sa.String(64))
    key_name: Mapped[str] = mapped_column(sa.String(200))
    entity: Mapped[str] = mapped_column(sa.String(20))
    path: Mapped[str] = mapped_column(sa.String(200))
    total: Mapped[int]
    created: Mapped[int]
    updated: Mapped[int]
    unchanged: Mapped[int]
    failed: Mapped[int]
    dry_run: Mapped[bool]
    duration_ms: Mapped[int]
    failures: Mapped[str] = mapped_column(
        sa.Text().with_variant(mysql.MEDIUMTEXT(), "mysql", "mariadb")
    )


class LoginAttempt(db.Model):
    """A wrong password of the last minutes, or one that is being checked: an address has so many slots and no more."""

    __table_args__ = TABLE_OPTIONS | {"sqlite_autoincrement": False}

    address: Mapped[str] = mapped_column(sa.String(64), primary_key=True)
    slot: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    at: Mapped[str] = mapped_column(Instant, index=True)


def engine_options(url: sa.URL) -> dict[str, Any]:
    """Return what `create_engine` needs for this database."""
    options: dict[str, Any] = {"hide_parameters": True, "pool_timeout": LOCK_WAIT_SECONDS}
    backend = url.get_backend_name()
    if backend == "sqlite":
        return options | {"connect_args": {"timeout": LOCK_WAIT_SECONDS}}
    options["pool_pre_ping"] = True  # a server may have restarted
    options["isolation_level"] = (
        "READ COMMITTED"  # keys and versions guard the rest; a retry must see the winner
    )
    if backend == "postgresql":
        # A plan kept from when a table was empty reads the whole table for each chunk, until somebody analyses it.
        settings = f"-c lock_timeout={LOCK_WAIT_SECONDS}s -c plan_cache_mode=force_custom_plan -c datestyle=ISO"
        options["connect_args"] = {"connect_timeout": 10, "options": settings}
    if backend in ("mysql", "mariadb"):
        wait = f"SET SESSION innodb_lock_wait_timeout={LOCK_WAIT_SECONDS}"
        options["connect_args"] = {
            "init_command": f"{wait}, sql_mode=CONCAT(@@sql_mode, ',STRICT_ALL_TABLES')"
        }
    return options


def prepare(engine: sa.Engine) -> None:
    """Make an SQLite engine durable, checked and safe for several writers; let PostgreSQL's dates come as text."""
    if engine.dialect.name == "sqlite":
        sa.event.listen(engine, "connect", _open_sqlite)
        sa.event.listen(engine, "begin", _begin_sqlite)
    if engine.dialect.name == "postgresql":
        sa.event.listen(engine, "connect", _open_postgresql)


def _open_postgresql(connection: Any, _record: Any) -> None:
    """Have psycopg load dates and times as it loads text (format 0: as the server writes it)."""
    adapters = connection.adapters
    as_text = adapters.get_loader(adapters.types["text"].oid, 0)
    for kind in ("date", "time", "timestamp"):
        adapters.register_loader(kind, as_text)


def _open_sqlite(connection: sqlite3.Connection, _record: Any) -> None:
    connection.isolation_level = None  # the driver would begin no transaction for a SELECT
    connection.execute(f"PRAGMA busy_timeout={LOCK_WAIT_SECONDS * 1000}")
    if connection.execute("PRAGMA journal_mode=WAL").fetchone() != ("wal",):
        raise sqlite3.OperationalError("this SQLite file cannot use WAL: put it on a local disk")
    connection.execute("PRAGMA synchronous=FULL")  # a clinic has no UPS
    connection.execute("PRAGMA foreign_keys=ON")
    connection.execute(
        "PRAGMA wal_autocheckpoint=4000"
    )  # pages: a large list is written to the file less often


def _begin_sqlite(connection: sa.Connection) -> None:
    """Take the write lock at once where writing is meant: a read lock could not be raised to it later."""
    writes = connection.get_execution_options().get("writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def others_write(connection: sa.Connection) -> bool:
    """Tell whether others may write while a transaction of ours does: SQLite lets one in at a time."""
    return connection.dialect.name != "sqlite"


def among(
    connection: sa.Connection, column: sa.ColumnElement, values: Collection
) -> sa.ColumnElement[bool]:
    """Return the condition that `column` is one of any number of `values`, as one parameter where it can be."""
    return _among(connection.dialect.name, column, value=list(values))


def rows_among(
    connection: sa.Connection,
    shown: tuple[sa.Column, ...],
    column: sa.Column,
    values: Collection,
    *also: sa.ColumnElement[bool],
) -> sa.CursorResult:
    """Return the columns `shown` of the rows whose `column` is one of `values`, and that meet conditions.

    No value may come twice. Conditions are to be the same objects each time, for the statement is kept.
    """
    return connection.execute(
        _select_among(connection.dialect.name, shown, column, *also), {"values": list(values)}
    )


@lru_cache(maxsize=256)  # to build one takes longer than to run it for a single record
def _select_among(
    dialect: str, shown: tuple[sa.Column, ...], column: sa.Column, *also: sa.ColumnElement[bool]
) -> sa.Select:
    found = sa.select(*shown).where(*also)
    if (
        dialect == "sqlite"
    ):  # twice as fast as IN, for which SQLite would make an index of the values first
        values = _values(key="values", required=True)
        return found.select_from(CrossJoin(values, column.table, column == values.c.value))
    return found.where(_among(dialect, column, key="values", required=True))


def _among(dialect: str, column: sa.ColumnElement, **parameter: Any) -> sa.ColumnElement[bool]:
    parameter = {"key": None} | parameter
    if dialect == "sqlite":
        return column.in_(sa.select(_values(**parameter).c.value))
    if dialect == "postgresql":
        return column == sa.any_(_array(sa.bindparam(**parameter, type_=Joined()), column.type))
    return column.in_(sa.bindparam(**parameter, expanding=True))


class CrossJoin(sa.sql.expression.Join):
    """A join that SQLite does in the order as it is written, whatever an old ANALYZE tells of the sizes of tables."""

    inherit_cache = True


@compiles(CrossJoin, "sqlite")
def _compile(join: CrossJoin, compiler: Any, **options: Any) -> str:
    return compiler.visit_join(join, **options).replace(" JOIN ", " CROSS JOIN ", 1)


def _values(**parameter: Any) -> sa.TableValuedAlias:
    """Return the table that SQLite makes of a JSON array."""
    return sa.func.json_each(sa.bindparam(**parameter, type_=sa.JSON)).table_valued("value")


def _array(joined: sa.BindParameter, kind: Any) -> sa.ColumnElement:
    """Return the array that PostgreSQL makes of joined values. A cast to VARCHAR(64) would cut them in silence."""
    kind = sa.Text() if isinstance(kind, sa.String) else kind
    return sa.cast(sa.func.string_to_array(joined, Joined.BETWEEN, Joined.NULL), sa.ARRAY(kind))


Columns = Mapping[str, Sequence[Any]]  # by name, all of the same length
AS_READ = ("old_id", "old_version")  # what a row must still have to be updated


def insert_rows(connection: sa.Connection, table: sa.Table, columns: Columns) -> None:
    """Insert the rows that these columns make."""
    _write(connection, table, columns, row_by_row=_insert, from_arrays=_insert_arrays)


def update_rows(connection: sa.Connection, table: sa.Table, columns: Columns) -> int:
    """Set columns of the rows whose id and version still are the columns AS_READ; return how many there were."""
    return _write(connection, table, columns, row_by_row=_update, from_arrays=_update_arrays)


def _write(
    connection: sa.Connection,
    table: sa.Table,
    columns: Columns,
    *,
    row_by_row: Callable[[sa.Table], sa.Insert | sa.Update],
    from_arrays: Callable[[sa.Table, tuple[str, ...]], sa.Insert | sa.Update],
) -> int:
    """Write many rows, as each database does it fastest, and return how many it touched.

    SQLite needs no conversion of any of our types: its driver gets tuples. PostgreSQL gets each column as one text and
    converts it itself.
    """
    dialect, written = connection.dialect, tuple(name for name in columns if name not in AS_READ)
    if dialect.name == "postgresql":
        arrays = {f"all_{name}": values for name, values in columns.items()}
        return connection.execute(from_arrays(table, written), arrays).rowcount
    if dialect.name == "sqlite":
        compiled = _compiled(dialect, row_by_row(table), written)
        return connection.exec_driver_sql(
            compiled.string, [*_rows(columns, compiled.positiontup)]
        ).rowcount
    return connection.execute(row_by_row(table), _named(columns)).rowcount


def _rows(columns: Columns, names: Iterable[str]) -> Iterable[tuple]:
    return zip(*[columns[name] for name in names], strict=True)


def _named(columns: Columns) -> list[dict[str, Any]]:
    return [dict(zip(columns, row, strict=True)) for row in _rows(columns, columns)]


@lru_cache(maxsize=256)
def _compiled(
    dialect: sa.Dialect, statement: sa.Insert | sa.Update, columns: tuple[str, ...]
) -> Any:
    return statement.compile(dialect=dialect, column_keys=columns)


@cache
def _insert(table: sa.Table) -> sa.Insert:
    return sa.insert(table)


@lru_cache(maxsize=256)
def _insert_arrays(table: sa.Table, columns: tuple[str, ...]) -> sa.Insert:
    return sa.insert(table).from_select(columns, sa.select(*_unnested(table, columns)))


@cache
def _update(table: sa.Table) -> sa.Update:
    """Return the update of what nobody else has written since it was read."""
    return _as_read(table, *map(sa.bindparam, AS_READ))


@lru_cache(maxsize=256)
def _update_arrays(table: sa.Table, columns: tuple[str, ...]) -> sa.Update:
    *sent, old_id, old_version = _unnested(table, (*columns, *AS_READ))
    return _as_read(table, old_id, old_version).values(dict(zip(columns, sent, strict=True)))


def _as_read(table: sa.Table, record_id: Any, version: Any) -> sa.Update:
    return sa.update(table).where(table.c.id == record_id, table.c.version == version)


def _unnested(table: sa.Table, names: tuple[str, ...]) -> sa.ColumnCollection:
    """Return the columns of the rows that PostgreSQL makes of an array for each."""
    kinds = {name: table.c[name.removeprefix("old_")].type for name in names}
    arrays = [
        _array(sa.bindparam(f"all_{name}", type_=Joined()), kind) for name, kind in kinds.items()
    ]
    columns = [sa.column(name, kind) for name, kind in kinds.items()]
    return sa.func.unnest(*arrays).table_valued(*columns, name="sent").render_derived().c


FEW_AT_ONCE = {
    "insertmanyvalues_page_size": 200
}  # rows: MariaDB takes 16 MB at most (max_allowed_packet)
_LAST_ID = "SELECT seq FROM sqlite_sequence WHERE name = ?"
_NEXT_IDS = sa.text(
    "SELECT nextval(pg_get_serial_sequence(:name, 'id')) FROM generate_series(1, :count)"
)


def insert_all(connection: sa.Connection, table: sa.Table, columns: Columns) -> Sequence[int]:
    """Insert the rows that columns make, in order and with few statements, and return their ids.

    Where ids can be had beforehand they are: RETURNING promises no order.
    """
    ids = _ids_for(connection, table.name, len(next(iter(columns.values()))))
    if ids is None:
        return _insert_for_ids(connection, table, _named(columns))
    insert_rows(connection, table, {"id": ids, **columns})
    return ids


def _ids_for(connection: sa.Connection, name: str, count: int) -> Sequence[int] | None:
    """Return the next ids of a table, or None where only an insert tells them."""
    if connection.dialect.name == "sqlite":  # its only writer knows them
        last = connection.exec_driver_sql(_LAST_ID, (name,)).scalar() or 0
        return range(last + 1, last + 1 + count)
    if connection.dialect.name == "postgresql":
        return sorted(connection.scalars(_NEXT_IDS, {"name": name, "count": count}))
    return None


def _insert_for_ids(
    connection: sa.Connection, table: sa.Table, rows: Sequence[dict[str, Any]]
) -> Sequence[int]:
    insert = _insert(table)
    if connection.dialect.insert_executemany_returning_sort_by_parameter_order:
        returning = insert.returning(table.c.id, sort_by_parameter_order=True)
        return connection.scalars(returning, rows, execution_options=FEW_AT_ONCE).all()
    return [cast(Any, connection.execute(insert, row).inserted_primary_key)[0] for row in rows]


class Fault(enum.Enum):
    """What a database error means for the work: run it again, look once more, give up, or blame the record."""

    RACE = enum.auto()
    REFERENCE = enum.auto()
    OUTAGE = enum.auto()
    RECORD = enum.auto()


# SQLSTATE: serialization failure, deadlock, unique violation. MariaDB: deadlock, record changed, duplicate.
# SQLite: stale snapshot and unique constraints.
_RACES = {
    *("40001", "40P01", "23505"),
    *(1213, 1020, 1062),
    *("SQLITE_BUSY_SNAPSHOT", "SQLITE_CONSTRAINT_UNIQUE", "SQLITE_CONSTRAINT_PRIMARYKEY"),
}
# A foreign key fails once when somebody merged the other record away meanwhile. When it fails again, rows that this
# program does not know refer to the record.
_REFERENCES = {"23503", 1451, 1452, "SQLITE_CONSTRAINT_FOREIGNKEY"}
_NO_TABLE = {"42P01", 1146, "SQLITE_ERROR"}
_OUTAGES = (
    sa.exc.OperationalError,
    sa.exc.InterfaceError,
    sa.exc.ProgrammingError,
    sa.exc.TimeoutError,
)


def fault_of(error: sa.exc.SQLAlchemyError) -> tuple[Fault, str]:
    """Return what an error means, and a name for the log that holds no value of any record."""
    original = getattr(error, "orig", None)
    numbers = [it for it in getattr(original, "args", ())[:1] if isinstance(it, int)]
    states = [getattr(original, name, None) for name in ("sqlstate", "sqlite_errorname")]
    known = [it for it in (*numbers, *states) if it]
    name = " ".join(map(str, [type(original or error).__name__, *known]))
    if not _RACES.isdisjoint(known):
        return Fault.RACE, name
    if not _REFERENCES.isdisjoint(known):
        return Fault.REFERENCE, name
    if not _NO_TABLE.isdisjoint(known):
        name += " (are the tables there? flask --app app db upgrade)"
    return (Fault.OUTAGE if isinstance(error, _OUTAGES) else Fault.RECORD), name
