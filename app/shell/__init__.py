"""For interactive agents only; nothing in `workers/` may import it."""
