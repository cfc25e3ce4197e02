"""The scan of aliases: what is wrong with them, and what would mend it."""

from __future__ import annotations

from app.catalog.aliases import FAMILY_PREFIX, Alias
from app.catalog.exercise import Exercise
from app.catalog.families import Family
from app.catalog.reviewer.aliases import REPAIR_BATCH, AliasReport, scan_aliases
from tests.unit.catalog.exercises import NOW, named

ROW = named("Row (Cable)", "cable", id="cable-row")
MERGED = named("Low Row", "cable", status="merged", merged_into="cable-row")


def alias(record_id: str, exercise: str | None = None, family: str | None = None, slug: str | None = None) -> Alias:
    return Alias(
        id=record_id,
        slug=slug or record_id.removeprefix(FAMILY_PREFIX),
        exercise_id=exercise,
        family_slug=family,
        created_at=NOW,
        updated_at=NOW,
    )


def family(slug: str, merged_into: str | None = None) -> Family:
    status = "active" if merged_into is None else "deprecated"
    return Family.model_validate(
        {"slug": slug, "status": status, "merged_into": merged_into, "created_at": NOW, "updated_at": NOW}
    )


def found(*aliases: Alias, exercises: tuple[Exercise, ...] = (ROW,), families: tuple[Family, ...] = ()) -> AliasReport:
    """The report on these and on the alias that ROW has to have."""
    return scan_aliases(exercises, [alias("cable-row", "cable-row"), *aliases], families)


def told(report: AliasReport) -> list[tuple[str, str, str | None, str]]:
    return [(str(each.code), each.alias, each.mend, each.target) for each in report.findings]


def test_sound_aliases_are_not_reported() -> None:
    report = found(
        alias("low-row", "cable-row"),
        alias("family:rows", family="row"),
        exercises=(ROW, MERGED),
        families=(family("rows", "row"),),
    )

    assert (report.aliases, report.findings, report.proposed_jobs) == (3, (), ())


def test_an_alias_without_its_target() -> None:
    assert told(found(alias("old", "nobody"), alias("family:old", family="nothing"))) == [
        ("ALIAS_ORPHANED", "family:old", "delete", ""),
        ("ALIAS_ORPHANED", "old", "delete", ""),
    ]


def test_an_alias_of_something_that_was_merged_leads_to_what_stayed() -> None:
    report = found(
        alias("low-row", "cable-row"),
        alias("l-row", "low-row"),
        alias("family:rows", family="row"),
        alias("family:rowing", family="rows"),
        exercises=(ROW, MERGED),
        families=(family("rows", "row"),),
    )

    assert told(report) == [
        ("ALIAS_ORPHANED", "family:rowing", "lead", "row"),
        ("ALIAS_ORPHANED", "l-row", "lead", "cable-row"),
    ]


def test_old_slugs_that_nothing_leads_from() -> None:
    report = scan_aliases([ROW, MERGED], [], [family("rows", "row")])

    assert told(report) == [
        ("ALIAS_MISSING", "cable-row", "lead", "cable-row"),
        ("ALIAS_MISSING", "family:rows", "lead", "row"),
        ("ALIAS_MISSING", "low-row", "lead", "cable-row"),
    ]


def test_a_slug_that_stands_for_two_things() -> None:
    report = found(
        alias("row-cable", "cable-row"),
        alias("family:row", family="row"),
        alias("another-id", "cable-row", slug="cable-row"),
        alias("lonely-id", "cable-row", slug="r-row"),
    )

    assert told(report) == [
        ("ALIAS_DOUBLED", "another-id", "delete", ""),
        ("ALIAS_DOUBLED", "family:row", "delete", ""),
        ("ALIAS_DOUBLED", "lonely-id", None, ""),
        ("ALIAS_DOUBLED", "row-cable", "delete", ""),
    ]
    assert {each.alias: each.evidence["owner"] for each in report.findings}["row-cable"] == "Row (Cable)"


def test_an_alias_with_two_targets_or_none() -> None:
    assert told(found(alias("both", "cable-row", "row"), alias("none"), alias("wrong", "nobody", "row"))) == [
        ("ALIAS_TWO_TARGETS", "both", "lead", "cable-row"),
        ("ALIAS_NO_TARGET", "none", "delete", ""),
        ("ALIAS_TWO_TARGETS", "wrong", "delete", ""),
    ]


def test_circles_of_merges_end() -> None:
    one = named("One", status="merged", merged_into="two")
    two = named("Two", status="merged", merged_into="one")

    report = scan_aliases([one, two], [alias("old", "one")], [family("a", "b"), family("b", "a")])

    assert told(report) == [("ALIAS_ORPHANED", "old", "delete", "")]


def test_repairs_are_proposed_in_batches_and_only_where_it_is_sure_what_to_do() -> None:
    many = [alias(f"old-{number}", "nobody") for number in range(REPAIR_BATCH + 1)]

    report = found(*many, alias("lonely-id", "cable-row", slug="r-row"))

    sizes = [len(job.payload["aliases"]) for job in report.proposed_jobs]  # type: ignore[arg-type]
    assert sizes == [REPAIR_BATCH, 1]
    assert report.counts()["ALIAS_DOUBLED"] == 1
    assert {job.type for job in report.proposed_jobs} == {"alias_repair"}
