"""Judges score how well items match a request: the teachers of the towers."""

from ranker.judges.rule import RuleJudge

__all__ = ["RuleJudge"]
