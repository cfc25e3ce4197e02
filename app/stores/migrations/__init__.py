"""How the tables of `app.stores.sql` came to be, step by step, for Alembic."""
