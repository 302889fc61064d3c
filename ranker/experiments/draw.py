"""The requests that a bundle is measured with, and the same ones said otherwise."""

from collections.abc import Sequence
from random import Random

from ranker.data import Dataset
from ranker.evaluate import Case, cases
from ranker.judges.rule import RuleJudge
from ranker.requests import Grammar, Split
from ranker.requesttext import request_text
from ranker.taste import user_taste


def measured(dataset: Dataset, users: Sequence[str], split: Split, per_category: int, seed: int) -> list[Case]:
    """`per_category` requests of each category, in the phrasings of `split`, each asked by one of `users`."""
    grammar, judge = Grammar(dataset.catalogue), RuleJudge(dataset.catalogue)
    return cases(grammar, judge, [user_taste(dataset, user) for user in users], split, per_category, seed)


def said_otherwise(grammar: Grammar, asked: Sequence[Case], split: Split, seed: int) -> list[str]:
    """A text for each case that means the same, with the same context: another phrasing where the split has one."""
    random, texts = Random(seed), []
    for case in asked:
        for _ in range(10):
            text = request_text(grammar.phrased(case.spec, split, random), case.context)
            if text != case.text:
                break
        texts.append(text)
    return texts
