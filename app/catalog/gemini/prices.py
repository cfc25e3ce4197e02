"""What tokens cost."""

from __future__ import annotations

from dataclasses import dataclass

from app.catalog.taxonomy import load_table


@dataclass(frozen=True, slots=True)
class Price:
    """US$ for a million tokens."""

    input: float
    output: float

    def microdollars(self, prompt_tokens: int, output_tokens: int) -> int:
        """What these tokens cost, in millionths of a US$, rounded."""
        return round(prompt_tokens * self.input + output_tokens * self.output)


def list_price(model: str) -> Price | None:
    """The list price of a model, from `data/gemini.toml`; None if it is not there.

    Args:
        model: as Vertex AI calls it; a version after "@" and a suffix such as "-001" are no other price.
    """
    prices = load_table("gemini")["prices"]
    name = model.partition("@")[0]
    known = [each for each in prices if name == each or name.removeprefix(each).strip("-").isdigit()]
    return Price(**prices[known[0]]) if known else None
