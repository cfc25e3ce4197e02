"""The shipped application: curating an exercise catalogue.

Names, values and slugs are read by `names` and `taxonomy`; `exercise` is the record; `importer` reads and writes
catalogue files; `reviewer` judges exercises and families; `enrichment` fills in what is missing; `plans` says what is
to be changed and judges that. All of these are pure but for reading the package's own data. `store` reads the
catalogue, `apply` is what writes plans into it and takes them back, and `tasks` are the jobs that do so.
"""

from app.catalog.errors import BadCatalogFile, CatalogError, Problem, UnknownField
from app.catalog.exercise import ALWAYS_LOCKED, Exercise, ExerciseStatus, Source, free_slug, new_exercise
from app.catalog.importer import ImportResult, read_catalog, sample_catalog, write_catalog
from app.catalog.names import (
    ParsedName,
    canonical_name,
    contrasts,
    equipment_conflict,
    exact_equipment,
    family_slug,
    mentioned_equipment,
    parse_name,
)
from app.catalog.taxonomy import Taxonomy, slugify, taxonomy

__all__ = [
    "ALWAYS_LOCKED",
    "BadCatalogFile",
    "CatalogError",
    "Exercise",
    "ExerciseStatus",
    "ImportResult",
    "ParsedName",
    "Problem",
    "Source",
    "Taxonomy",
    "UnknownField",
    "canonical_name",
    "contrasts",
    "equipment_conflict",
    "exact_equipment",
    "family_slug",
    "free_slug",
    "mentioned_equipment",
    "new_exercise",
    "parse_name",
    "read_catalog",
    "sample_catalog",
    "slugify",
    "taxonomy",
    "write_catalog",
]
