"""What the settings make of it: which models the catalogue's jobs may ask."""

from importlib.util import find_spec
from typing import Any

import pytest

from app import bootstrap
from app.bootstrap import application_of
from app.catalog.gemini import GeminiEnricher
from app.catalog.repair.deferred import DeferredRepairer
from app.jobs import BadInput, Repair, RepairableError
from app.settings import Settings


def given(**values: Any) -> Settings:
    return Settings(_env_file=None, **values)


def test_without_a_project_nobody_is_asked() -> None:
    assert application_of(given()) == {"catalog_apply_enabled": False}


def test_a_project_makes_the_enricher_that_is_named_gemini(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "another")
    said = application_of(
        given(
            catalog_gemini_project="a-project",
            catalog_gemini_model="gemini-2.5-pro",
            catalog_gemini_input_price=1,
            catalog_gemini_output_price=2,
        )
    )
    enrichers: Any = said["catalog_enrichers"]

    made = enrichers["gemini"]()

    assert isinstance(made, GeminiEnricher)
    assert made.name == "gemini:gemini-2.5-pro"
    assert "catalog_repairer" not in said


def test_the_repairer_is_made_with_the_first_plan_that_needs_one() -> None:
    said = application_of(given(catalog_gemini_project="a-project", catalog_repairer="gemini"))

    assert isinstance(said["catalog_repairer"], DeferredRepairer)


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"catalog_repairer": "gemini"}, "catalog_repairer"),
        ({"catalog_gemini_project": "p", "catalog_gemini_input_price": 1}, "catalog_gemini_input_price"),
        ({"catalog_gemini_project": "p", "catalog_gemini_output_price": 1}, "catalog_gemini_input_price"),
    ],
)
def test_what_is_missing_is_told_at_the_start(values: dict[str, Any], field: str) -> None:
    with pytest.raises(BadInput) as caught:
        application_of(given(**values))

    assert caught.value.field == field


def test_the_missing_extra_is_told_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_spec("google.genai") is not None
    monkeypatch.setattr(bootstrap, "find_spec", lambda name: None)

    with pytest.raises(BadInput, match=r"pip install 'torpor\[gemini\]'"):
        application_of(given(catalog_gemini_project="a-project"))


async def test_a_deferred_repairer_is_made_once_and_not_before() -> None:
    made: list[int] = []

    class Inner:
        async def repair(self, work: Any, error: RepairableError, repairs_left: int) -> Repair[Any]:
            return Repair(can_repair=False, analysis=f"{repairs_left} left")

    def make() -> Inner:
        made.append(1)
        return Inner()

    deferred = DeferredRepairer(make)
    assert made == []

    answers = [await deferred.repair(None, RepairableError("wrong"), left) for left in (2, 1)]

    assert [answer.analysis for answer in answers] == ["2 left", "1 left"]
    assert made == [1]
