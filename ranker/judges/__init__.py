"""Judges score how well items match a request: the teachers of the towers."""

from ranker.judges.embedding import EmbeddingJudge
from ranker.judges.question import Judge, Question
from ranker.judges.rule import RuleJudge

__all__ = ["EmbeddingJudge", "Judge", "Question", "RuleJudge"]
