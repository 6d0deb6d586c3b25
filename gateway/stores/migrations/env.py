"""What Alembic runs: the revisions, on the connection that ``migrate`` holds, all in its one transaction."""

from alembic import context

from gateway.stores import tables_actions

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=tables_actions.actions.metadata,
    # SQLite can roll back a table; Alembic assumes it cannot.
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
