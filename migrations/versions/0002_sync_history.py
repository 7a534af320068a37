"""The sync history."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

LONG_JSON = sa.Text().with_variant(mysql.MEDIUMTEXT(), "mysql", "mariadb")
OPTIONS = {
    f"{name}_{option}": value
    for name in ("mysql", "mariadb")
    for option, value in {
        "engine": "InnoDB",
        "charset": "utf8mb4",
        "collate": "utf8mb4_bin",
    }.items()
}


def upgrade() -> None:
    op.create_table(
        "sync_run",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), nullable=False),
        sa.Column(
            "at", sa.DateTime().with_variant(sa.String(19), "sqlite"), nullable=False
        ),
        sa.Column("request_id", sa.String(64), nullable=False),
        sa.Column("key_name", sa.String(200), nullable=False),
        sa.Column("entity", sa.String(20), nullable=False),
        sa.Column("path", sa.String(200), nullable=False),
        *(
            sa.Column(name, sa.Integer, nullable=False)
            for name in (
                "total",
                "created",
                "updated",
                "unchanged",
                "failed",
                "duration_ms",
            )
        ),
        sa.Column("dry_run", sa.Boolean, nullable=False),
        sa.Column("failures", LONG_JSON, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_sync_run"),
        sqlite_autoincrement=True,
        **OPTIONS,
    )
    op.create_index("ix_sync_run_at", "sync_run", ["at"])


def downgrade() -> None:
    op.drop_table("sync_run")
