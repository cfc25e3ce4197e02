"""What asking models has cost."""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass(frozen=True, slots=True)
class Spending:
    """Calls of a model and what they cost. An enricher without a model spends nothing."""

    calls: int = 0
    prompt_tokens: int = 0
    output_tokens: int = 0
    """Thinking included: it is billed alike."""
    microdollars: int = 0
    """Millionths of a US$ at list prices; 0 for calls of a model whose price is not known."""
    unusable: int = 0
    """Calls whose answer was blocked, cut off, or no such thing as was asked for. They are billed all the same."""

    def __add__(self, other: Spending) -> Spending:
        return Spending(*(getattr(self, each.name) + getattr(other, each.name) for each in fields(Spending)))

    def __sub__(self, other: Spending) -> Spending:
        return Spending(*(getattr(self, each.name) - getattr(other, each.name) for each in fields(Spending)))

    def as_numbers(self) -> dict[str, int]:
        """By name, without what is 0."""
        found = {each.name: int(getattr(self, each.name)) for each in fields(Spending)}
        return {name: number for name, number in found.items() if number}
