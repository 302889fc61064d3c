from types import SimpleNamespace

import pytest

from tests.oracle import REPORT, Account, finished_before


def letter(value: bytes, why: bytes = b"schema") -> SimpleNamespace:
    return SimpleNamespace(value=value, headers=[("ctrlrec.error.class", why)])


def test_every_kind_of_outcome_is_told_apart() -> None:
    at = [("lists", 0, offset) for offset in range(7)]
    inputs = {at[0]: "a", at[1]: "b", at[2]: None, at[3]: None, at[4]: "twice", at[5]: "twice", at[6]: "lost"}
    answers = {"a": [b"1"], "b": [b"1", b"2", b"1"], "twice": [b"3"], "of another test": [b"4"]}
    letters = {at[2]: [letter(b"x"), letter(b"x")], at[1]: [letter(b"y"), letter(b"z")]}
    account = Account.of(inputs, answers, letters)
    assert (account.inputs, account.outputs, account.letters) == (7, 3, 2)
    assert account.missing == [at[3], at[5], at[6]]
    assert account.repeats == 2 + 1 + 1
    assert account.unlike == ["b", str(at[1])]
    assert account.both == [at[1]]
    good = account._replace(missing=[], unlike=[], both=[], letters=4)
    assert good.check("a row") == 4
    for wrong in (good._replace(missing=at), good._replace(unlike=["a"]), good._replace(both=at)):
        with pytest.raises(AssertionError):
            wrong.check("a row")
    del REPORT[-4:]
    other_reason = Account.of(inputs, answers, {at[2]: [letter(b"x"), letter(b"x", b"bug")]})
    assert str(at[2]) in other_reason.unlike


def test_what_is_missing_before_the_commit_is_lost() -> None:
    missing = [("lists", 0, 4), ("lists", 1, 4), ("lists", 1, 2), ("requests", 1, 2), ("requests", 1, 1)]
    committed = {("lists", 0): 4, ("lists", 1): 4, ("requests", 1): 2}
    assert finished_before(committed, missing) == [("lists", 1, 2), ("requests", 1, 1)]
