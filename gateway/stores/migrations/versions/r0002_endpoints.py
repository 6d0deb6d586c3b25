"""What is decided and known about endpoints; late versions by record; what is queued and what has ended badly, by endpoint."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "booked",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("paused", sa.Boolean(), nullable=False),
        sa.Column("updated", sa.BigInteger(), nullable=False),
        sa.Column("document", sa.LargeBinary(), nullable=False),
        sa.Column("secrets", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_booked")),
    )
    op.create_table(
        "health",
        sa.Column("endpoint", sa.Text(), nullable=False),
        sa.Column("failing_since", sa.BigInteger(), nullable=True),
        sa.Column("warned", sa.Integer(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("last_ok", sa.BigInteger(), nullable=True),
        sa.Column("last_failure", sa.BigInteger(), nullable=True),
        sa.Column("cause", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("endpoint", name=op.f("pk_health")),
    )
    op.create_index(
        "ix_deliveries_ended",
        "deliveries",
        ["endpoint", "state", "id"],
        unique=False,
        sqlite_where=sa.text("state IN ('dead', 'disabled', 'cancelled')"),
        postgresql_where=sa.text("state IN ('dead', 'disabled', 'cancelled')"),
    )
    op.create_index(
        "ix_deliveries_queued",
        "deliveries",
        ["endpoint", "number"],
        unique=False,
        sqlite_where=sa.text("state IN ('due', 'waiting')"),
        postgresql_where=sa.text("state IN ('due', 'waiting')"),
    )
    op.create_index(op.f("ix_superseded_record_number"), "superseded", ["record", "number"], unique=False)
