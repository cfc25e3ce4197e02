"""The engine over HTTP: what wakes workers, and what people and programs ask."""
