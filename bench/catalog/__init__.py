"""`python -m bench catalog`: how well the catalogue is curated, and what a record costs at several sizes.

The quality figures need the real catalogue, which is no part of the project: `--data FILE` names it.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from app.catalog import Exercise, read_catalog
from app.catalog.enrichment import DEFAULT_THRESHOLD
from app.catalog.reviewer.duplicates import scan_duplicates
from bench.catalog import doubles, masking, names
from bench.catalog.labelled import Half, labelled_names, labelled_pairs
from bench.catalog.synthetic import synthetic_records
from bench.figures import Figures, table
from bench.process import ROOT

DATA = ROOT.parent / "shared" / "data" / "exercises" / "free-exercise-db.json"
SIZES = (873, 10_000, 100_000)
PARTS = {
    "read ms": 3,
    "families ms": 3,
    "quality ms": 3,
    "doubles ms": 3,
    "compared a record": 0,
    "index ms": 3,
    "enrich ms": 2,
    "peak RSS MB": 0,
}
FULL = {
    "import ms": 2,
    "scans and their jobs ms": 2,
    "enrichment ms": 2,
    "all ms": 1,
    "jobs completed": 0,
    "jobs needs_review": 0,
    "jobs failed": 0,
    "rounds": 0,
    "peak RSS MB": 0,
}
RATES = {"right": 0, "wrong": 0, "missed": 0, "precision": 2, "recall": 2}
_PATIENCE_SECONDS = 4 * 3600.0


def run(arguments: Sequence[str]) -> int:
    """Measure and print; gives the exit code."""
    parser = argparse.ArgumentParser(prog="python -m bench catalog", description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA, help="free-exercise-db.json, 873 records")
    parser.add_argument("--sizes", type=int, nargs="*", default=SIZES, help="records of the made-up catalogues")
    parser.add_argument("--full", type=int, nargs="*", default=[873], help="the same for whole runs through the queue")
    given = parser.parse_args(arguments)

    print(f"# Catalogue, {datetime.now(UTC):%Y-%m-%d}")
    if given.data.is_file():
        exercises = read_catalog(given.data.read_bytes(), datetime.now(UTC)).exercises
        _doubles(exercises)
        _enrichment(exercises)
        _names(exercises)
    else:
        print(f"# left out what needs real records: there is no {given.data}; name it with --data", file=sys.stderr)
    _sizes("parts", PARTS, given.data, given.sizes)
    if given.full:
        _sizes("full", FULL, given.data, given.full)
    return 0


def _doubles(exercises: Sequence[Exercise]) -> None:
    labels = labelled_pairs()
    judge = doubles.Judge(exercises, labels)
    report = scan_duplicates(exercises)
    merges = [pair for pair in report.pairs if not pair.needs_review]
    print(
        f"\n## Doubles: {len(labels.same)} labelled pairs are the same, {len(labels.different)} are not "
        f"({len(labels.opposite)} of them opposite movements)\n"
    )
    rows: dict[str, list[Figures]] = {}
    for half in (Half.DEVELOPMENT, Half.HELD_OUT, None):
        for name, found in (("to merge", merges), ("to merge or to look at", report.pairs)):
            rate = judge.rate(found, half)
            figures = {"right": rate.right, "wrong": rate.wrong, "missed": rate.missed}
            rows[f"{name}, {half or 'all'}"] = [{**figures, "precision": rate.precision, "recall": rate.recall}]
    print(table("found", RATES, rows))
    print(
        f"\nOpposite movements: {judge.opposites(merges)} to merge, {judge.opposites(report.pairs)} to look at. "
        f"Findings without a label: {len(judge.unlabelled(report.pairs))}."
    )
    everything = doubles.everything_compared(exercises)
    possible = len(exercises) * (len(exercises) - 1) // 2
    print(
        f"Compared: {report.compared:,} of {possible:,} pairs; "
        f"that finds {len(report.pairs)} of the {everything} that comparing all would find."
    )
    made = [doubles.find_made(exercises, seed) for seed in masking.SEEDS]
    total = sum(each.made for each in made)
    found, merged = (sum(getattr(each, name) for each in made) / total for name in ("found", "merged"))
    print(
        f"Entered a second time ({doubles.MADE} records, {len(made)} seeds): {found:.1%} found, {merged:.1%} to merge, "
        f"{sum(each.wrong_merges for each in made)} wrong merges."
    )


def _enrichment(exercises: Sequence[Exercise]) -> None:
    print(
        f"\n## Enrichment: {masking.SHARE:.0%} of the known values masked, {len(masking.SEEDS)} seeds, "
        f"median (least–most); confidence {DEFAULT_THRESHOLD} or more\n"
    )
    rows: dict[str, list[Figures]] = {}
    for field in masking.FIELDS:
        for seed in masking.SEEDS:
            found = masking.mask(exercises, field, seed)
            figures = {
                "masked": found.masked,
                "coverage": found.coverage,
                "accuracy": found.accuracy,
                "majority, same records": found.majority_of_proposed,
                "majority, all": found.majority,
            }
            rows.setdefault(field, []).append(figures)
    digits = {"masked": 0, "coverage": 2, "accuracy": 2, "majority, same records": 2, "majority, all": 2}
    print(table("field", digits, rows))
    worst = min(
        statistics.median(each["accuracy"] - each["majority, same records"] for each in runs) for runs in rows.values()
    )
    print(f"\nThe least gain over the majority class, on the same records: {worst:+.2f}.")


def _names(exercises: Sequence[Exercise]) -> None:
    print("\n## Names\n")
    rows: dict[str, list[Figures]] = {}
    for name, found in (("as read", names.group(exercises)), ("naive rule", names.naive_grouping(exercises))):
        rows[name] = [
            {
                "families": found.families,
                "of several equipment": found.multi_equipment,
                "largest": found.largest,
                "slugs with equipment left": found.equipment_left,
                "names with a doubled word": found.doubled_words,
            }
        ]
    print(table("families", dict.fromkeys(rows["as read"][0], 0), rows))
    labels = labelled_names()
    seen = names.alarms(labels)
    true_hits = sum(label.meaning.value != "agrees" for label in labels)
    print(
        f"\nName against equipment, {seen.names} labelled names: {seen.false_alarms} false alarms of {seen.alarms}, "
        f"{seen.missed} missed; equipment that only the name gives: {seen.filled} of {seen.to_fill} read rightly.\n"
        f"The rule of keywords that they were drawn from: {len(labels) - true_hits} false alarms of {len(labels)}."
    )


def _sizes(module: str, columns: Mapping[str, int], data: Path, sizes: Sequence[int]) -> None:
    what = {"parts": "what needs no queue", "full": "a whole run on SQLite"}[module]
    print(f"\n## Processor time a record, {what}, in a process of its own\n", flush=True)
    rows: dict[str, list[Figures]] = {}
    if data.is_file():
        rows["the real records"] = [_measured(module, data)]
    with tempfile.TemporaryDirectory(prefix="torpor-bench-") as folder:
        for size in sizes:
            path = Path(folder) / f"{size}.json"
            path.write_text(json.dumps(list(synthetic_records(size))), encoding="utf-8")
            rows[f"{size:,} made-up records"] = [_measured(module, path)]
    print(table("catalogue", columns, rows), flush=True)


def _measured(module: str, path: Path) -> Figures:
    done = subprocess.run(
        [sys.executable, "-m", f"bench.catalog.{module}", str(path)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        timeout=_PATIENCE_SECONDS,
        check=True,
    )
    figures: dict[str, float] = json.loads(done.stdout)
    return figures
