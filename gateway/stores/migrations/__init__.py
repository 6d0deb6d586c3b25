"""How a store comes to have the tables of this version. Revisions only ever add: an older gateway may still be running beside."""

import importlib

import sqlalchemy as sa

HEAD = "0003"
"""The newest revision in ``versions/``."""


def migrate(url: str | sa.URL) -> None:
    """Bring the store at ``url`` to ``HEAD``, in one transaction; nothing to do is fine. What ``gateway db migrate`` runs.

    StoreError when it cannot be reached, or was written by a newer gateway.
    """
    # Loading Alembic takes longer than opening everything else; a store that is at HEAD never needs it.
    importlib.import_module("gateway.stores.migrations.alembic_run").migrate(url)
