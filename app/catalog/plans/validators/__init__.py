"""The rules that a plan is judged by: one file for each family of rules, all of them pure."""

from app.catalog.plans.validators.case import Case, Rule, Step
from app.catalog.plans.validators.codes import CODES

__all__ = ["CODES", "Case", "Rule", "Step"]
