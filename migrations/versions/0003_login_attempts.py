"""The log-in attempts of the last minutes."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
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


def upgrade() -> None:
    op.create_table(
        "login_attempt",
        sa.Column("address", sa.String(64), nullable=False),
        sa.Column("slot", sa.Integer, nullable=False, autoincrement=False),
        sa.Column(
            "at", sa.DateTime().with_variant(sa.String(19), "sqlite"), nullable=False
        ),
        sa.PrimaryKeyConstraint("address", "slot", name="pk_login_attempt"),
        **OPTIONS,
    )
    op.create_index("ix_login_attempt_at", "login_attempt", ["at"])


def downgrade() -> None:
    op.drop_table("login_attempt")
