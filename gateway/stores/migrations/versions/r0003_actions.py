"""What partners are asked to do."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.create_table(
        "actions",
        sa.Column("number", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("client", sa.Text(), nullable=False),
        sa.Column("customer", sa.Text(), nullable=True),
        sa.Column("key", sa.LargeBinary(), nullable=True),
        sa.Column("subject", sa.LargeBinary(), nullable=False),
        sa.Column("harmless", sa.Boolean(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("due", sa.BigInteger(), nullable=False),
        sa.Column("expires", sa.BigInteger(), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.Column("updated", sa.BigInteger(), nullable=False),
        sa.Column("ended", sa.BigInteger(), nullable=True),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("deaths", sa.Integer(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("cause", sa.Text(), nullable=True),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_actions")),
        sa.UniqueConstraint("id", name=op.f("uq_actions_id")),
        sa.UniqueConstraint("key", name=op.f("uq_actions_key")),
    )
    op.create_index(op.f("ix_actions_account_id"), "actions", ["account", "id"], unique=False)
    op.create_index(op.f("ix_actions_client_id"), "actions", ["client", "id"], unique=False)
    _partial("due", "state = 'waiting'", "account", "due", "number")
    _partial("late", "state = 'waiting'", "expires")
    _partial("line", "state IN ('waiting', 'running')", "subject", "number")
    _partial("open", "state IN ('waiting', 'running', 'unknown')", "state", "id")
    _partial("owed", "state IN ('waiting', 'running', 'unknown')", "client")
    _partial("ended", "ended IS NOT NULL", "ended")


def _partial(name: str, where: str, *columns: str) -> None:
    condition = sa.text(where)
    op.create_index(
        f"ix_actions_{name}", "actions", list(columns), unique=False, sqlite_where=condition, postgresql_where=condition
    )
