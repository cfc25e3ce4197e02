"""What Alembic runs to migrate: on the connection that it is given, inside the lock that is held on it.

A new migration is a file in `versions` beside the others, written by hand, that changes what `tables.build_tables`
describes; a test compares the two on every database. It must leave tables on which the version before can still
work, because for a while both run.
"""

from alembic import context

attributes = context.config.attributes
context.configure(connection=attributes["connection"], version_table=attributes["naming"].version_table)
context.run_migrations()
