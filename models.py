"""Storage: the tables, and the constraints that guard every key."""

from datetime import UTC, datetime
from typing import Annotated, Any

import sqlalchemy as sa
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.dialects import mysql
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.types import TypeDecorator

from engine import database

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

REVISION = "0005"  # of the tables below: the newest in migrations/versions


class _IsoText(TypeDecorator):
    """A date or time: ISO text in Python and where a database keeps it so, the real type elsewhere."""

    def load_dialect_impl(self, dialect: sa.Dialect) -> Any:
        kept_as_text = database.of_name(dialect.name).keeps_dates_as_text
        kind = sa.String(19) if kept_as_text else self.impl_instance
        return dialect.type_descriptor(kind)

    def process_bind_param(self, value: str | None, dialect: sa.Dialect) -> Any:
        python: Any = self.impl_instance.python_type
        return value if value is None else python.fromisoformat(value)

    def bind_processor(self, dialect: sa.Dialect) -> Any:
        """Spare values the call where they stay text."""
        if database.of_name(dialect.name).keeps_dates_as_text:
            return None
        return super().bind_processor(dialect)

    def process_result_value(self, value: Any, dialect: sa.Dialect) -> str | None:
        return value if value is None else str(value)

    def result_processor(self, dialect: sa.Dialect, coltype: Any) -> Any:
        """Spare rows the call for each value where it is text already."""
        if database.of_name(dialect.name).loads_dates_as_text:
            return None
        return super().result_processor(dialect, coltype)


class IsoDate(_IsoText):
    impl, cache_ok = sa.Date, True


class IsoTime(_IsoText):
    impl, cache_ok = sa.Time, True


class IsoInstant(_IsoText):
    """Naive UTC in whole seconds: `2026-06-15 09:00:00`."""

    impl, cache_ok = sa.DateTime, True


INSTANT = "%Y-%m-%d %H:%M:%S"  # of a moment in UTC, as the tables keep it


def instant(moment: datetime) -> str:
    """Return a moment as the tables keep it."""
    return moment.astimezone(UTC).strftime(INSTANT)


def moment_of(stored: str) -> datetime:
    """Return the moment that a stored instant names."""
    return datetime.fromisoformat(stored).replace(tzinfo=UTC)


Id = sa.BigInteger().with_variant(sa.Integer, "sqlite")
KeyColumn = Annotated[str | None, mapped_column(sa.String(64))]
UniqueColumn = Annotated[str | None, mapped_column(sa.String(64), unique=True)]
TextColumn = Annotated[str | None, mapped_column(sa.String(200))]
LongTextColumn = Annotated[str | None, mapped_column(sa.String(4000))]
DateColumn = Annotated[str | None, mapped_column(IsoDate)]


class Stamped:
    """What every stored record has. `version` counts the writes."""

    __table_args__: Any = TABLE_OPTIONS

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    created_at: Mapped[str] = mapped_column(IsoInstant)
    updated_at: Mapped[str] = mapped_column(IsoInstant)
    version: Mapped[int] = mapped_column(default=1)


class Clinic(Stamped, db.Model):
    code: Mapped[str] = mapped_column(sa.String(64), unique=True)
    name: Mapped[str] = mapped_column(sa.String(200))
    number: Mapped[TextColumn]
    specialization: Mapped[TextColumn]
    clinic_type: Mapped[TextColumn]
    branch: Mapped[TextColumn]
    floor: Mapped[TextColumn]
    location: Mapped[TextColumn]
    account_no: Mapped[TextColumn]
    cost_center_no: Mapped[TextColumn]
    address: Mapped[LongTextColumn]
    phone: Mapped[TextColumn]
    email: Mapped[TextColumn]
    is_active: Mapped[bool]


class Doctor(Stamped, db.Model):
    code: Mapped[UniqueColumn]
    license_number: Mapped[UniqueColumn]
    name: Mapped[str] = mapped_column(sa.String(200))
    a_name: Mapped[TextColumn]
    branch: Mapped[TextColumn]
    gender: Mapped[str | None] = mapped_column(sa.String(10))
    date_of_birth: Mapped[DateColumn]
    medical_reg_number: Mapped[TextColumn]
    id_number: Mapped[TextColumn]
    account_no: Mapped[TextColumn]
    cost_center: Mapped[TextColumn]
    description: Mapped[LongTextColumn]
    email: Mapped[TextColumn]
    phone: Mapped[TextColumn]
    specialization: Mapped[TextColumn]
    is_active: Mapped[bool]


class DoctorClinic(db.Model):
    """A doctor works in a clinic."""

    __table_args__ = TABLE_OPTIONS | {"sqlite_autoincrement": False}

    doctor_id: Mapped[int] = mapped_column(sa.ForeignKey("doctor.id"), primary_key=True)
    clinic_id: Mapped[int] = mapped_column(sa.ForeignKey("clinic.id"), primary_key=True)


class Patient(Stamped, db.Model):
    """`contact_key` is a digest of mobile and folded name. Who comes to share one takes the lowest free rank."""

    __table_args__ = (sa.UniqueConstraint("contact_key", "contact_rank"), TABLE_OPTIONS)

    patient_no: Mapped[UniqueColumn]
    national_id: Mapped[UniqueColumn]
    name: Mapped[str] = mapped_column(sa.String(200))
    first_name: Mapped[TextColumn]
    second_name: Mapped[TextColumn]
    last_name: Mapped[TextColumn]
    mobile: Mapped[TextColumn]
    date_of_birth: Mapped[DateColumn]
    gender: Mapped[str | None] = mapped_column(sa.String(10))
    email: Mapped[TextColumn]
    phone: Mapped[TextColumn]
    blood_type: Mapped[str | None] = mapped_column(sa.String(3))
    is_active: Mapped[bool]
    contact_key: Mapped[KeyColumn]
    contact_rank: Mapped[int | None]


class Appointment(Stamped, db.Model):
    """`slot_key` is patient, date and timeFrom; bookings that come to share one are ranked like contacts."""

    __table_args__ = (sa.UniqueConstraint("slot_key", "slot_rank"), TABLE_OPTIONS)

    appointment_no: Mapped[UniqueColumn]
    patient_id: Mapped[int] = mapped_column(sa.ForeignKey("patient.id"), index=True)
    doctor_id: Mapped[int | None] = mapped_column(sa.ForeignKey("doctor.id"), index=True)
    clinic_id: Mapped[int | None] = mapped_column(sa.ForeignKey("clinic.id"))
    date: Mapped[str] = mapped_column(IsoDate)
    time_from: Mapped[str] = mapped_column(IsoTime)
    time_to: Mapped[str | None] = mapped_column(IsoTime)
    status: Mapped[str] = mapped_column(sa.String(40))
    notes: Mapped[LongTextColumn]
    slot_key: Mapped[KeyColumn]
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
    at: Mapped[str] = mapped_column(IsoInstant, index=True)
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
    at: Mapped[str] = mapped_column(IsoInstant, index=True)


class PortalSession(db.Model):
    """Somebody who is logged in. `digest` is that of the token in the browser's cookie, which is kept nowhere else."""

    __table_args__ = TABLE_OPTIONS | {"sqlite_autoincrement": False}

    digest: Mapped[str] = mapped_column(sa.String(64), primary_key=True)
    created_at: Mapped[str] = mapped_column(IsoInstant)
    expires_at: Mapped[str] = mapped_column(IsoInstant)
