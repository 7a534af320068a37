"""First tables: clinics, doctors, patients, appointments, and the numbers they gave up."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

OPTIONS = {
    f"{name}_{option}": value
    for name in ("mysql", "mariadb")
    for option, value in {
        "engine": "InnoDB",
        "charset": "utf8mb4",
        "collate": "utf8mb4_bin",
    }.items()
}
ID = sa.BigInteger().with_variant(sa.Integer, "sqlite")
IDENTIFIER = sa.String(64)
TEXT = sa.String(200)
LONG_TEXT = sa.String(4000)
DATE = sa.Date().with_variant(sa.String(19), "sqlite")
TIME = sa.Time().with_variant(sa.String(19), "sqlite")
INSTANT = sa.DateTime().with_variant(sa.String(19), "sqlite")


def _text(*names: str) -> list[sa.Column]:
    return [sa.Column(name, TEXT) for name in names]


def _record(table: str) -> list[sa.Column | sa.Constraint]:
    return [
        sa.Column("id", ID, nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("updated_at", INSTANT, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("id", name=f"pk_{table}"),
    ]


def _unique(table: str, *columns: str) -> sa.UniqueConstraint:
    return sa.UniqueConstraint(*columns, name=f"uq_{table}_{'_'.join(columns)}")


def _foreign(table: str, column: str, target: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint([column], [f"{target}.id"], name=f"fk_{table}_{column}")


def upgrade() -> None:
    op.create_table(
        "clinic",
        *_record("clinic"),
        sa.Column("code", IDENTIFIER, nullable=False),
        sa.Column("name", TEXT, nullable=False),
        *_text("number", "specialization", "clinic_type", "branch", "floor", "location"),
        *_text("account_no", "cost_center_no", "phone", "email"),
        sa.Column("address", LONG_TEXT),
        sa.Column("is_active", sa.Boolean, nullable=False),
        _unique("clinic", "code"),
        sqlite_autoincrement=True,
        **OPTIONS,
    )
    op.create_table(
        "doctor",
        *_record("doctor"),
        sa.Column("code", IDENTIFIER),
        sa.Column("license_number", IDENTIFIER),
        sa.Column("name", TEXT, nullable=False),
        *_text(
            "a_name",
            "branch",
            "medical_reg_number",
            "id_number",
            "account_no",
            "cost_center",
        ),
        *_text("email", "phone", "specialization"),
        sa.Column("gender", sa.String(10)),
        sa.Column("date_of_birth", DATE),
        sa.Column("description", LONG_TEXT),
        sa.Column("is_active", sa.Boolean, nullable=False),
        _unique("doctor", "code"),
        _unique("doctor", "license_number"),
        sqlite_autoincrement=True,
        **OPTIONS,
    )
    op.create_table(
        "doctor_clinic",
        sa.Column("doctor_id", ID, nullable=False),
        sa.Column("clinic_id", ID, nullable=False),
        sa.PrimaryKeyConstraint("doctor_id", "clinic_id", name="pk_doctor_clinic"),
        _foreign("doctor_clinic", "doctor_id", "doctor"),
        _foreign("doctor_clinic", "clinic_id", "clinic"),
        **OPTIONS,
    )
    op.create_table(
        "patient",
        *_record("patient"),
        sa.Column("patient_no", IDENTIFIER),
        sa.Column("national_id", IDENTIFIER),
        sa.Column("name", TEXT, nullable=False),
        *_text("first_name", "second_name", "last_name", "mobile", "email", "phone"),
        sa.Column("date_of_birth", DATE),
        sa.Column("gender", sa.String(10)),
        sa.Column("blood_type", sa.String(3)),
        sa.Column("is_active", sa.Boolean, nullable=False),
        sa.Column("contact_key", IDENTIFIER),
        sa.Column("contact_rank", sa.Integer),
        _unique("patient", "patient_no"),
        _unique("patient", "national_id"),
        _unique("patient", "contact_key", "contact_rank"),
        sqlite_autoincrement=True,
        **OPTIONS,
    )
    op.create_table(
        "appointment",
        *_record("appointment"),
        sa.Column("appointment_no", IDENTIFIER),
        sa.Column("patient_id", ID, nullable=False),
        sa.Column("doctor_id", ID),
        sa.Column("clinic_id", ID),
        sa.Column("date", DATE, nullable=False),
        sa.Column("time_from", TIME, nullable=False),
        sa.Column("time_to", TIME),
        sa.Column("status", sa.String(40), nullable=False),
        sa.Column("notes", LONG_TEXT),
        sa.Column("slot_key", IDENTIFIER),
        sa.Column("slot_rank", sa.Integer),
        _unique("appointment", "appointment_no"),
        _unique("appointment", "slot_key", "slot_rank"),
        *(
            _foreign("appointment", f"{target}_id", target)
            for target in ("patient", "doctor", "clinic")
        ),
        sqlite_autoincrement=True,
        **OPTIONS,
    )
    for column in ("patient_id", "doctor_id"):
        op.create_index(f"ix_appointment_{column}", "appointment", [column])
    op.create_table(
        "former_key",
        sa.Column("entity", sa.String(20), nullable=False),
        sa.Column("value", IDENTIFIER, nullable=False),
        sa.Column("record_id", ID, nullable=False),
        sa.PrimaryKeyConstraint("entity", "value", name="pk_former_key"),
        **OPTIONS,
    )
    op.create_index("ix_former_key_record_id", "former_key", ["record_id"])


def downgrade() -> None:
    for table in (
        "former_key",
        "appointment",
        "patient",
        "doctor_clinic",
        "doctor",
        "clinic",
    ):
        op.drop_table(table)
