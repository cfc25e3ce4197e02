"""Plans, one file for each job type: what has to be read, and what would be changed. All of it is pure.

Each file has two functions. `needs(payload, snapshot)` says what the plan is made of; it is asked again when that was
read, until it asks for nothing more. `build(payload, snapshot)` makes the plan.
"""

from app.catalog.planners.refusal import CannotPlan

__all__ = ["CannotPlan"]
