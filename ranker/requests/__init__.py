"""Requests that readers make, with what they mean: the grammar that towers are trained and measured with."""

from ranker.requests.grammar import Grammar, Request
from ranker.requests.phrasings import Split
from ranker.requests.spec import CATEGORIES, Category, Spec

__all__ = ["CATEGORIES", "Category", "Grammar", "Request", "Spec", "Split"]
