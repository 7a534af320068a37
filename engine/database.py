"""Databases: connect, transact, and one class for each kind of database with what it does its own way."""

import atexit
import enum
import logging
import math
import os
import random
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass
from functools import cache, lru_cache, partial
from typing import Any, ClassVar, TypeVar, cast
from weakref import WeakKeyDictionary

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.types import TypeDecorator

from engine import in_use, outages, turns
from engine.outages import WATCHES, Outage, Unfit, watch_of
from engine.problems import DatabaseUnavailable, InternalError
from engine.sqlite_file import LOCK_WAIT_SECONDS, SQLiteFile

PATIENCE = (
    LOCK_WAIT_SECONDS  # seconds of waiting and lost races after which a request gives up
)
FEW_LOSSES = 3  # lost races after which PATIENCE counts
CONNECT_SECONDS = 3
ANSWER_SECONDS = 11  # that a server may take for one answer: longer than for a lock
HEALTH_SECONDS = 1.8  # after which a health check says that the database is down
LONGEST_PAUSE = 0.25  # seconds between two attempts
READ_COLUMNS = ("old_id", "old_version")  # what a row must still have to be updated

Columns = Mapping[str, Sequence[Any]]  # by name, all of the same length
T = TypeVar("T")
log = logging.getLogger(__name__)


class LostRace(Exception):
    """Another writer changed a record between our reading and our writing of it."""


# --- Statements --------------------------------------------------------------------------------


def among(
    connection: sa.Connection, column: sa.ColumnElement, values: Collection
) -> sa.ColumnElement[bool]:
    """Return the condition that `column` is one of any number of values."""
    return of(connection.dialect).among(column, value=list(values))


@lru_cache(maxsize=256)  # to build one takes longer than to run it for a single record
def selection(name: str, *parts: Any, limited: bool = False) -> sa.Select:
    """Return the query for `Index.rows_among`, in the words of the database with this name.

    `limited`: for so many rows at most as its parameter `limit` says.
    """
    query = of_name(name).selection(*parts)
    return query.limit(sa.bindparam("limit")) if limited else query


def insert_rows(connection: sa.Connection, table: sa.Table, columns: Columns) -> None:
    """Insert the rows that these columns make."""
    of(connection.dialect).insert(connection, table, columns)


def insert_for_ids(
    connection: sa.Connection, table: sa.Table, columns: Columns
) -> Sequence[int]:
    """Insert the rows that columns make, in order, and return their ids.

    That takes few statements, but one a row where the database cannot return ids in order (MySQL).
    """
    return of(connection.dialect).insert_for_ids(connection, table, columns)


def as_read(ids: Sequence[int], versions: Sequence[int]) -> dict[str, Any]:
    """Return the columns that the rows must still have to be updated: the ids and versions that were read."""
    return dict(zip(READ_COLUMNS, (ids, versions), strict=True))


def update_rows(connection: sa.Connection, table: sa.Table, columns: Columns) -> None:
    """Set columns of the rows that still have the id and version that were read; raise LostRace if one has not."""
    count = len(columns[READ_COLUMNS[0]])
    if count and of(connection.dialect).update(connection, table, columns) != count:
        raise LostRace


@cache
def _insert(table: sa.Table) -> sa.Insert:
    return sa.insert(table)


@cache
def _update(table: sa.Table) -> sa.Update:
    """Return the update of what nobody else has written since it was read."""
    return _update_if(table, *map(sa.bindparam, READ_COLUMNS))


def _update_if(table: sa.Table, record_id: Any, version: Any) -> sa.Update:
    return sa.update(table).where(table.c.id == record_id, table.c.version == version)


def _rows(columns: Columns, names: Iterable[str]) -> Iterable[tuple]:
    return zip(*[columns[name] for name in names], strict=True)


def _named(columns: Columns) -> list[dict[str, Any]]:
    return [dict(zip(columns, row, strict=True)) for row in _rows(columns, columns)]


# --- Each kind of database ---------------------------------------------------------------------


class Database:
    """A kind of database; what is said here is MariaDB's and MySQL's way. Each other kind overrides it.

    `races` are the codes of errors that a re-run mends, `references` those of foreign keys, `internal` those of the
    server's own faults. `outage_codes` tells what other codes say of the database as a whole; of a text its beginning
    counts.
    """

    lets_others_write = True  # while one of our transactions writes
    keeps_dates_as_text = False
    loads_dates_as_text = False
    races: frozenset = frozenset((1213, 1020, 1062))  # deadlock, record changed, duplicate
    references: frozenset = frozenset((1451, 1452))
    internal: frozenset = frozenset()
    outage_codes: ClassVar[dict[Any, Outage]] = {
        1146: outages.NO_TABLES,
        1267: outages.CONVERTED,
        1205: outages.LOCKED,
        **dict.fromkeys((1142, 1290, 1792, 1836), outages.READ_ONLY),
        **dict.fromkeys((1021, 1114), outages.FULL),
        **dict.fromkeys((1034, 1035, 1194, 1195, 1712), outages.DAMAGED),
        **dict.fromkeys((1030, 1040, 1047, 1053, 2006, 2013), outages.DOWN),
    }

    def options(self) -> dict[str, Any]:
        """Return what `create_engine` needs."""
        wait = f"SET SESSION innodb_lock_wait_timeout={LOCK_WAIT_SECONDS}"
        strict = "sql_mode=CONCAT(@@sql_mode, ',STRICT_ALL_TABLES')"
        limits = {"connect_timeout": CONNECT_SECONDS}
        limits |= dict.fromkeys(("read_timeout", "write_timeout"), ANSWER_SECONDS)
        # Over those of the address: MySQL's `utf8` holds only some of the letters.
        letters = {"charset": "utf8mb4", "use_unicode": True}
        return SERVER_OPTIONS | {
            "connect_args": {"init_command": f"{wait}, {strict}"} | letters | limits
        }

    def prepare(self, engine: sa.Engine) -> None:
        """Set up an engine before its first connection."""

    def refuse_another(self, connection: sa.Connection) -> None:
        """Raise Unfit if the database to which a connection leads has been replaced."""

    def prepare_upgrade(self, engine: sa.Engine) -> None:
        """Let the next connection wait for answers as long as it needs, and create SQLite's file."""
        engine.dispose()
        sa.event.listen(engine, "do_connect", _without_limits, insert=True, once=True)

    def respond(self, engine: sa.Engine, outage: Outage) -> None:
        """Do what an outage asks for beside refusing records."""
        if outage is outages.READ_ONLY:
            engine.dispose()  # after a fail-over the name may lead to another server by now

    def tidy(self, url: sa.URL) -> None:
        """Do what remains to be done when the service has ended."""

    def outage_of(self, connection: sa.Connection) -> Outage | None:
        """Return why the database takes no writes, as far as it says so without one."""
        if connection.scalar(sa.text("SELECT @@read_only")):
            return outages.READ_ONLY
        is_node = connection.execute(sa.text("SHOW VARIABLES LIKE 'wsrep_on'")).first()
        if not is_node or is_node[1] != "ON":
            return None
        ready = connection.execute(sa.text("SHOW STATUS LIKE 'wsrep_ready'")).first()
        return None if ready and ready[1] == "ON" else outages.DOWN

    def turn(self, engine: sa.Engine, seconds: float) -> AbstractContextManager[None]:
        """Wait for the turn to write, and have it; raise `turns.NoTurn` after so many seconds."""
        return nullcontext()

    def nobody_waits(self, engine: sa.Engine) -> bool:
        """Return whether no other writer waits for the turn; False where nobody can know."""
        return False

    def among(self, column: sa.ColumnElement, **parameter: Any) -> sa.ColumnElement[bool]:
        """Return the condition that `column` is one of the values of a parameter (of `sa.bindparam`)."""
        return column.in_(sa.bindparam(**({"key": None} | parameter), expanding=True))

    def selection(
        self, shown: tuple[sa.Column, ...], column: sa.Column, *also: sa.ColumnElement[bool]
    ) -> sa.Select:
        """Return the query of columns where `column` is one of the parameter `values`."""
        return sa.select(*shown).where(
            *also, self.among(column, key="values", required=True)
        )

    def insert(self, connection: sa.Connection, table: sa.Table, columns: Columns) -> None:
        """Insert the rows that these columns make."""
        connection.execute(_insert(table), _named(columns))

    def update(self, connection: sa.Connection, table: sa.Table, columns: Columns) -> int:
        """Update the rows that still have the id and version that were read; return how many there were."""
        return connection.execute(_update(table), _named(columns)).rowcount

    def insert_for_ids(
        self, connection: sa.Connection, table: sa.Table, columns: Columns
    ) -> Sequence[int]:
        """Insert rows in order, and return their ids."""
        insert, rows = _insert(table), _named(columns)
        if connection.dialect.insert_executemany_returning_sort_by_parameter_order:
            returning = insert.returning(table.c.id, sort_by_parameter_order=True)
            return connection.scalars(returning, rows, execution_options=FEW_AT_ONCE).all()
        inserted = [connection.execute(insert, row).inserted_primary_key for row in rows]
        return [cast(Any, key)[0] for key in inserted]


TIME_LIMITS = {"read_timeout", "write_timeout"}


def _without_limits(
    dialect: sa.Dialect, _record: Any, args: Any, options: dict[str, Any]
) -> Any:
    """Connect without limits for answers."""
    rest = {name: value for name, value in options.items() if name not in TIME_LIMITS}
    return dialect.connect(*args, **rest)


SERVER_OPTIONS = {
    "hide_parameters": True,
    # Above the pool's five: of the threads of a process eight have a connection, the others wait for one.
    "max_overflow": 3,
    "pool_timeout": LOCK_WAIT_SECONDS,
    "pool_pre_ping": True,  # a server may have restarted
    "isolation_level": "READ COMMITTED",  # keys and versions guard the rest; a retry must see the winner
}
# In rows: MariaDB takes 16 MB at most (max_allowed_packet).
FEW_AT_ONCE = {"insertmanyvalues_page_size": 200}


FILES: "WeakKeyDictionary[sa.Engine, SQLiteFile]" = WeakKeyDictionary()


@atexit.register
def close_files() -> None:
    """Close this process's SQLite files, which its end alone does not: the last to close one puts its log into it."""
    for engine in list(FILES):
        engine.dispose()


class SQLite(Database):
    """One file, one writer at a time. Its driver gets tuples, for none of our types needs a conversion."""

    lets_others_write = False
    keeps_dates_as_text = loads_dates_as_text = True
    races = frozenset(
        ("SQLITE_BUSY_SNAPSHOT", "SQLITE_CONSTRAINT_UNIQUE", "SQLITE_CONSTRAINT_PRIMARYKEY")
    )
    references = frozenset(("SQLITE_CONSTRAINT_FOREIGNKEY",))
    outage_codes: ClassVar[dict[Any, Outage]] = {
        "SQLITE_ERROR": outages.NO_TABLES,
        "SQLITE_BUSY": outages.LOCKED,
        "SQLITE_LOCKED": outages.LOCKED,
        "SQLITE_READONLY_DBMOVED": outages.REPLACED,
        "SQLITE_READONLY": outages.READ_ONLY,
        "SQLITE_FULL": outages.FULL,
        "SQLITE_CANTOPEN": outages.UNREADABLE,
        "SQLITE_IOERR": outages.UNREADABLE,
        "SQLITE_CORRUPT": outages.DAMAGED,
        "SQLITE_NOTADB": outages.DAMAGED,
    }

    def options(self) -> dict[str, Any]:
        wait = {"timeout": LOCK_WAIT_SECONDS}
        return {
            "hide_parameters": True,
            "pool_timeout": LOCK_WAIT_SECONDS,
            "connect_args": wait,
        }

    def prepare(self, engine: sa.Engine) -> None:
        file = FILES[engine] = SQLiteFile(str(engine.url.database))
        sa.event.listen(engine, "do_connect", file.before_connect)
        sa.event.listen(engine, "connect", file.opened)
        sa.event.listen(engine, "begin", partial(turns.begin, file))

    def refuse_another(self, connection: sa.Connection) -> None:
        try:  # as in sqlite_file, and in place: each transaction comes by
            now = os.stat(str(connection.engine.url.database))[1:3]
        except OSError:  # it is gone, or its folder
            now = None
        if now != connection.info["file"]:
            raise Unfit(outages.REPLACED)

    def turn(self, engine: sa.Engine, seconds: float) -> AbstractContextManager[None]:
        return turns.of(str(engine.url.database)).turn(seconds)

    def prepare_upgrade(self, engine: sa.Engine) -> None:
        FILES[engine].may_be_created = True

    def respond(self, engine: sa.Engine, outage: Outage) -> None:
        if outage is outages.DAMAGED:
            FILES[engine].mark_damaged()
        if outage is outages.REPLACED:
            FILES[engine].set_log_aside()
            engine.dispose()

    def tidy(self, url: sa.URL) -> None:
        path = str(url.database)
        with suppress(in_use.InUse), in_use.shared(path):
            SQLiteFile(path).put_log_in()

    def outage_of(self, connection: sa.Connection) -> Outage | None:
        return FILES[connection.engine].outage()

    def nobody_waits(self, engine: sa.Engine) -> bool:
        return not turns.of(str(engine.url.database)).wanted()

    def among(self, column: sa.ColumnElement, **parameter: Any) -> sa.ColumnElement[bool]:
        return column.in_(sa.select(_values(**({"key": None} | parameter)).c.value))

    def selection(
        self, shown: tuple[sa.Column, ...], column: sa.Column, *also: sa.ColumnElement[bool]
    ) -> sa.Select:
        # Twice as fast as IN, for which SQLite would make an index of the values first.
        values = _values(key="values", required=True)
        joined = CrossJoin(values, column.table, column == values.c.value)
        return sa.select(*shown).where(*also).select_from(joined)

    def insert(self, connection: sa.Connection, table: sa.Table, columns: Columns) -> None:
        self._write(connection, _insert(table), columns)

    def update(self, connection: sa.Connection, table: sa.Table, columns: Columns) -> int:
        return self._write(connection, _update(table), columns)

    def insert_for_ids(
        self, connection: sa.Connection, table: sa.Table, columns: Columns
    ) -> Sequence[int]:
        count = len(next(iter(columns.values())))
        last = connection.exec_driver_sql(_LAST_ID, (table.name,)).scalar() or 0
        ids = range(last + 1, last + 1 + count)  # its only writer knows them
        self.insert(connection, table, {"id": ids, **columns})
        return ids

    def _write(
        self, connection: sa.Connection, statement: sa.Insert | sa.Update, columns: Columns
    ) -> int:
        written = tuple(name for name in columns if name not in READ_COLUMNS)
        compiled = _compiled(connection.dialect, statement, written)
        rows = [*_rows(columns, compiled.positiontup)]
        return connection.exec_driver_sql(compiled.string, rows).rowcount


_LAST_ID = "SELECT seq FROM sqlite_sequence WHERE name = ?"


@lru_cache(maxsize=256)
def _compiled(
    dialect: sa.Dialect, statement: sa.Insert | sa.Update, columns: tuple[str, ...]
) -> Any:
    return statement.compile(dialect=dialect, column_keys=columns)


class CrossJoin(sa.sql.expression.Join):
    """A join that SQLite does in the order as it is written, whatever an old ANALYZE tells of the sizes of tables."""

    inherit_cache = True


@compiles(CrossJoin, "sqlite")
def _compile(join: CrossJoin, compiler: Any, **options: Any) -> str:
    return compiler.visit_join(join, **options).replace(" JOIN ", " CROSS JOIN ", 1)


def _values(**parameter: Any) -> sa.TableValuedAlias:
    """Return the table that SQLite makes of a JSON array."""
    return sa.func.json_each(sa.bindparam(**parameter, type_=sa.JSON)).table_valued("value")


class PostgreSQL(Database):
    """It gets each column as one text, and makes an array of it itself."""

    loads_dates_as_text = True
    # A serialization failure, a deadlock, a unique constraint.
    races = frozenset(("40001", "40P01", "23505"))
    references = frozenset(("23503",))
    # As "new multixact has more than one updating member", which PostgreSQL 15 says once after it was killed.
    internal = frozenset(("XX000",))
    outage_codes: ClassVar[dict[Any, Outage]] = {
        "42P01": outages.NO_TABLES,
        "55P03": outages.LOCKED,
        "25006": outages.READ_ONLY,
        "42501": outages.READ_ONLY,
        "53100": outages.FULL,
        "XX001": outages.DAMAGED,
        "XX002": outages.DAMAGED,
        # Connections, resources, an operator's intervention, errors of the system.
        **dict.fromkeys(("08", "53", "57P", "58"), outages.DOWN),
    }

    def options(self) -> dict[str, Any]:
        # A plan kept from when a table was empty reads the whole table for each chunk, until somebody analyses it.
        plan = "-c plan_cache_mode=force_custom_plan"
        settings = f"-c lock_timeout={LOCK_WAIT_SECONDS}s {plan} -c datestyle=ISO"
        # An old database of no encoding would have the driver return bytes, before anybody can say what is wrong.
        options = {"options": settings, "client_encoding": "utf8"}
        limits = {"connect_timeout": CONNECT_SECONDS}
        return SERVER_OPTIONS | {"connect_args": options | limits | KEEPALIVES}

    def prepare(self, engine: sa.Engine) -> None:
        sa.event.listen(engine, "connect", _refuse_encoding)
        sa.event.listen(engine, "connect", _open_postgresql)
        sa.event.listen(engine, "do_connect", _connect_postgresql)

    def outage_of(self, connection: sa.Connection) -> Outage | None:
        read_only = connection.scalar(sa.text("SHOW transaction_read_only")) == "on"
        return outages.READ_ONLY if read_only else None

    def among(self, column: sa.ColumnElement, **parameter: Any) -> sa.ColumnElement[bool]:
        joined = sa.bindparam(**({"key": None} | parameter), type_=Joined())
        return column == sa.any_(_array(joined, column.type))

    def insert(self, connection: sa.Connection, table: sa.Table, columns: Columns) -> None:
        connection.execute(_insert_arrays(table, tuple(columns)), _arrays(columns))

    def update(self, connection: sa.Connection, table: sa.Table, columns: Columns) -> int:
        written = tuple(name for name in columns if name not in READ_COLUMNS)
        return connection.execute(_update_arrays(table, written), _arrays(columns)).rowcount

    def insert_for_ids(
        self, connection: sa.Connection, table: sa.Table, columns: Columns
    ) -> Sequence[int]:
        # The ids are asked for beforehand, for RETURNING promises no order.
        count = len(next(iter(columns.values())))
        ids = sorted(connection.scalars(_NEXT_IDS, {"name": table.name, "count": count}))
        self.insert(connection, table, {"id": ids, **columns})
        return ids


# Of libpq, in seconds, and milliseconds: a peer that is gone answers no probe.
KEEPALIVES = {
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 2,
    "tcp_user_timeout": ANSWER_SECONDS * 1000,
}
_NEXT_IDS = sa.text(
    "SELECT nextval(pg_get_serial_sequence(:name, 'id')) FROM generate_series(1, :count)"
)


def _refuse_encoding(connection: Any, _record: Any) -> None:
    """Raise Unfit if the database cannot hold every name; the server tells its encoding as it connects."""
    if connection.info.parameter_status("server_encoding") != "UTF8":
        connection.close()
        raise Unfit(outages.NOT_UTF8)


def _open_postgresql(connection: Any, _record: Any) -> None:
    """Have psycopg load dates and times as it loads text (format 0: as the server writes it)."""
    adapters = connection.adapters
    as_text = adapters.get_loader(adapters.types["text"].oid, 0)
    for kind in ("date", "time", "timestamp"):
        adapters.register_loader(kind, as_text)


def _connect_postgresql(
    dialect: sa.Dialect, _record: Any, _args: Any, options: dict[str, Any]
) -> Any:
    """Connect with a limit in seconds for each answer, which psycopg itself does not know."""
    connection = _limited(cast(Any, dialect).loaded_dbapi).connect(**options)
    connection.read_timeout = ANSWER_SECONDS
    return connection


@cache
def _limited(psycopg: Any) -> Any:
    """Return psycopg's connection with a limit for each answer: a server that is frozen keeps its connections open."""

    class Limited(psycopg.Connection):
        read_timeout: float | None = None

        def wait(self, *args: Any, **kwargs: Any) -> Any:
            try:
                return super().wait(*args, **{"timeout": self.read_timeout} | kwargs)
            except psycopg.OperationalError:
                if self.info.transaction_status == psycopg.pq.TransactionStatus.ACTIVE:
                    self.pgconn.finish()  # the answer may still come: to somebody else's question
                raise

    return Limited


class Joined(TypeDecorator):
    """A list of values as one text: psycopg takes many times as long to write an array."""

    impl, cache_ok = sa.Text, True
    BETWEEN, NULL = "\x1f", "\x1e"  # control characters are refused, so no value holds them

    def process_bind_param(self, value: Any, dialect: sa.Dialect) -> str:
        joined = self.BETWEEN.join(
            [self.NULL if element is None else str(element) for element in value]
        )
        marks = joined.count(self.BETWEEN), joined.count(self.NULL)
        expected = max(len(value) - 1, 0), value.count(None)
        if marks != expected or [*value] == [""]:  # [""] and [] give the same text
            # Each value after it would get into another row.
            raise ValueError("a value holds a separator")
        return joined


def _arrays(columns: Columns) -> dict[str, Sequence[Any]]:
    return {f"all_{name}": values for name, values in columns.items()}


def _array(joined: sa.BindParameter, kind: Any) -> sa.ColumnElement:
    """Return the array that PostgreSQL makes of joined values. A cast to VARCHAR(64) would cut them in silence."""
    kind = sa.Text() if isinstance(kind, sa.String) else kind
    return sa.cast(
        sa.func.string_to_array(joined, Joined.BETWEEN, Joined.NULL), sa.ARRAY(kind)
    )


@lru_cache(maxsize=256)
def _insert_arrays(table: sa.Table, columns: tuple[str, ...]) -> sa.Insert:
    return sa.insert(table).from_select(columns, sa.select(*_unnested(table, columns)))


@lru_cache(maxsize=256)
def _update_arrays(table: sa.Table, columns: tuple[str, ...]) -> sa.Update:
    *sent, old_id, old_version = _unnested(table, (*columns, *READ_COLUMNS))
    return _update_if(table, old_id, old_version).values(
        dict(zip(columns, sent, strict=True))
    )


def _unnested(table: sa.Table, names: tuple[str, ...]) -> sa.ColumnCollection:
    """Return the columns of the rows that PostgreSQL makes of an array for each."""
    kinds = [table.c[name.removeprefix("old_")].type for name in names]
    joined = [sa.bindparam(f"all_{name}", type_=Joined()) for name in names]
    columns = [*map(sa.column, names, kinds)]
    unnested = sa.func.unnest(*map(_array, joined, kinds))
    return unnested.table_valued(*columns, name="sent").render_derived().c


KINDS: dict[str, Database] = {
    "sqlite": SQLite(),
    "postgresql": PostgreSQL(),
    "mysql": Database(),
    "mariadb": Database(),
}


@cache
def of_name(name: str) -> Database:
    """Return the kind of database by the name of its dialect; one that is not known is treated as MariaDB is."""
    return KINDS.get(name, Database())


def of(dialect: sa.Dialect) -> Database:
    """Return the kind of database that a dialect speaks to."""
    return of_name(dialect.name)


# --- Transactions ------------------------------------------------------------------------------

BUSY = "The database does not answer or is busy. Nothing was half-written: send the same again."
UNFIT = "The database takes no records now: it is {}. Nothing was half-written: send the same again later."
RETRY_AFTER = {"Retry-After": "10"}


class Fault(enum.Enum):
    """What a database error means for the work: run it again, run it once more, give up, or blame the record."""

    RACE = enum.auto()
    REFERENCE = enum.auto()
    INTERNAL = enum.auto()
    OUTAGE = enum.auto()
    RECORD = enum.auto()


REFUSED = {
    Fault.RECORD: "The database refused this record; the service's log says more.",
    # The first time another writer may have removed the other record meanwhile. The second time it is this: rows that
    # this program does not know refer to the record.
    Fault.REFERENCE: "Rows of another table refer to this record, or it refers to none; the service's log says more.",
    Fault.INTERNAL: "The database's server failed twice on this record; its log and the service's say more.",
}
_CODES = {
    Fault.RACE: frozenset().union(*(kind.races for kind in KINDS.values())),
    Fault.REFERENCE: frozenset().union(*(kind.references for kind in KINDS.values())),
    Fault.INTERNAL: frozenset().union(*(kind.internal for kind in KINDS.values())),
}
_ONCE_MORE = (Fault.REFERENCE, Fault.INTERNAL)
_OUTAGE_CODES = {
    code: outage for kind in KINDS.values() for code, outage in kind.outage_codes.items()
}
_OUTAGES = (
    sa.exc.OperationalError,
    sa.exc.InterfaceError,
    sa.exc.ProgrammingError,
)


@dataclass(frozen=True)
class Failure:
    """What a database error means; `name` is for the log and holds no value of any record."""

    fault: Fault
    name: str
    outage: Outage = outages.DOWN


def failure_of(error: sa.exc.SQLAlchemyError) -> Failure:
    """Return what an error means."""
    codes = _codes_of(error)
    original = getattr(error, "orig", None)
    name = " ".join(map(str, [type(original or error).__name__, *codes]))
    for fault, known in _CODES.items():
        if not known.isdisjoint(codes):
            return Failure(fault, name)
    if isinstance(error, sa.exc.TimeoutError):  # all connections are in use
        return Failure(Fault.OUTAGE, name, outages.LOCKED)
    outage = outages.meant_by(codes, _OUTAGE_CODES)
    if outage or isinstance(error, _OUTAGES):
        return Failure(Fault.OUTAGE, name, outage or outages.DOWN)
    return Failure(Fault.RECORD, name)


def _codes_of(error: sa.exc.SQLAlchemyError) -> list[Any]:
    """Return the codes that a driver gives an error: a number, an SQLSTATE, SQLite's name."""
    original = getattr(error, "orig", None)
    first = getattr(original, "args", ())[:1]
    numbers = [number for number in first if isinstance(number, int)]
    states = [getattr(original, name, None) for name in ("sqlstate", "sqlite_errorname")]
    return [code for code in (*numbers, *states) if code]


def transact(
    engine: sa.Engine,
    work: Callable[[sa.Connection], T],
    *,
    writes: bool = True,
    most_losses: int | None = None,
    patience: float = PATIENCE,
    any_revision: bool = False,
) -> T:
    """Run `work` in a transaction and commit; a lost race runs it again in a new one.

    Raises DatabaseUnavailable when the database fails or `patience` (seconds) ends, InternalError when it refuses what
    no re-run mends, or after so many `most_losses`. `any_revision`: also on tables that are not this program's.
    """
    until, attempt = time.monotonic() + patience, 0
    seen: set[Fault] = set()
    while True:
        attempt += 1
        begun = time.monotonic()
        try:
            return _attempt(engine, work, writes, until, any_revision)
        except turns.NoTurn:
            raise unavailable() from None
        except LostRace:
            log.debug("lost a race: a record was written meanwhile")
        except Unfit as unfit:
            raise _problem_of(engine, unfit) from None
        except sa.exc.SQLAlchemyError as error:
            seen.add(_fault_to_retry(engine, error, seen, begun))
        _pause(attempt, most_losses, until)


def _pause(attempt: int, most_losses: int | None, until: float) -> None:
    """Wait before the next attempt, longer each time: chance parts those who lost the same race.

    Raises InternalError after so many losses, DatabaseUnavailable when the time is over.
    """
    if most_losses and attempt >= most_losses:
        raise InternalError("Others kept writing these records.")
    if attempt >= FEW_LOSSES and time.monotonic() > until:
        raise unavailable()
    longest = min(LONGEST_PAUSE, 0.005 * 2**attempt)
    time.sleep(random.uniform(0, longest))  # noqa: S311 chance is no secret here


def _attempt(
    engine: sa.Engine,
    work: Callable[[sa.Connection], T],
    writes: bool,
    until: float,
    any_revision: bool,
) -> T:
    kind, watch = of(engine.dialect), WATCHES.get(engine) or watch_of(engine)
    if watch.outage:
        watch.refuse_at_once()
    turn = kind.turn(engine, until - time.monotonic()) if writes else nullcontext()
    options = {"writes": writes, "until": until}
    with (
        turn,
        engine.connect().execution_options(**options) as connection,
        connection.begin(),
    ):
        checked = connection.info.get("checked", -math.inf)
        is_known = checked > time.monotonic() - outages.RECHECK
        if not (is_known or any_revision):
            watch.refuse_other_revision(connection)
        done = work(connection)
        kind.refuse_another(connection)
    if watch.outage:
        watch.note_success(wrote=writes)
    return done


def unavailable(outage: Outage = outages.LOCKED) -> DatabaseUnavailable:
    """Return the problem of a database that does not answer, or takes no records."""
    if outage in (outages.LOCKED, outages.DOWN):
        return DatabaseUnavailable(BUSY, headers=RETRY_AFTER)
    problem = DatabaseUnavailable(UNFIT.format(outage.reason), headers=RETRY_AFTER)
    problem.loses_all = outage in (outages.REPLACED, outages.DAMAGED)
    return problem


def _problem_of(engine: sa.Engine, unfit: Unfit) -> DatabaseUnavailable:
    if unfit.is_known:  # else those who keep asking would renew the pause for ever
        return unavailable(unfit.outage)
    return _note_outage(engine, unfit.outage)


def _note_outage(engine: sa.Engine, outage: Outage, name: str = "") -> DatabaseUnavailable:
    """Note an outage, and return what the sender gets."""
    watch_of(engine).begins(outage, name or outage.reason)
    of(engine.dialect).respond(engine, outage)
    return unavailable(outage)


def _fault_to_retry(
    engine: sa.Engine,
    error: sa.exc.SQLAlchemyError,
    seen: Collection[Fault],
    begun: float,
) -> Fault:
    """Return the fault of an error that a re-run may mend; raise what the sender gets for any other.

    `begun`: when the attempt began that failed, as `time.monotonic` tells it.
    """
    watch_of(engine).note_wait(time.monotonic() - begun)
    failure = failure_of(error)
    fault = failure.fault
    if fault is Fault.RACE or (fault in _ONCE_MORE and fault not in seen):
        log.debug("to be run again: %s", failure.name)
        return fault
    if fault is Fault.OUTAGE:
        raise _note_outage(engine, failure.outage, failure.name) from None
    log.error("database error %s", failure.name)
    # Its frames hold the records, and one of them the error: such a circle lives until it is collected.
    error.__traceback__ = None
    raise InternalError(REFUSED[fault]) from None


# --- Health ------------------------------------------------------------------------------------

_checkers = ThreadPoolExecutor(thread_name_prefix="health")
_checks: "WeakKeyDictionary[sa.Engine, dict[Any, Future]]" = WeakKeyDictionary()


def outage_of(engine: sa.Engine) -> Outage | None:
    """Return why the database takes no records, or None. Waits HEALTH_SECONDS at most."""
    return health_of(engine, None)[0]


def health_of(
    engine: sa.Engine, work: Callable[[sa.Connection], T] | None
) -> tuple[Outage | None, T | None]:
    """Return why the database takes no records, or else what `work`, which only reads, returns.

    Waits HEALTH_SECONDS at most. Whoever asks for the same while a check is under way gets its result: a database that
    is frozen holds one thread for each kind of question.
    """
    checks = _checks.setdefault(engine, {})
    check = checks.get(work)
    if check is None or check.done():
        check = checks[work] = _checkers.submit(_look, engine, work)
    try:
        return check.result(HEALTH_SECONDS)
    except TimeoutError:
        return outages.DOWN, None


def _look(
    engine: sa.Engine, work: Callable[[sa.Connection], T] | None
) -> tuple[Outage | None, T | None]:
    kind, watch = of(engine.dialect), watch_of(engine)
    try:
        with engine.connect() as connection, connection.begin():
            watch.refuse_other_revision(connection)
            kind.refuse_another(connection)
            outage = kind.outage_of(connection)
            return outage, None if outage or work is None else work(connection)
    except Unfit as unfit:
        return unfit.outage, None
    except sa.exc.SQLAlchemyError as error:
        return failure_of(error).outage, None
