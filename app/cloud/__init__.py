"""Google Cloud around the engine: wake-ups, callers' identities, logs. Imported only where it is used."""
