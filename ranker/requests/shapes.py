"""Sentence shapes, as pairs of a wish and a refusal that look alike.

A shape that occurred on one side only would become the signal itself: were all questions refusals, every question would be
understood as one. So each shape is written down on both sides, also where that means a wish with "no" in it. `{x}` is
what is talked about. The held-out shapes are unlike those of training and are used for nothing but the final figures;
choices are made on the dev shapes.
"""

from typing import Literal, NamedTuple, TypeAlias

Split: TypeAlias = Literal["train", "dev", "heldout"]


class Pair(NamedTuple):
    """One shape on both sides."""

    wish: str
    refusal: str


PAIRS: dict[Split, tuple[Pair, ...]] = {
    "train": (
        Pair("{x}", "no {x}"),
        Pair("{x} please", "no {x} please"),
        Pair("more {x}", "less {x}"),
        Pair("more {x}, please", "no more {x}, please"),
        Pair("yes to {x}", "no to {x}"),
        Pair("I want {x}", "I don't want {x}"),
        Pair("I do want to see {x}", "I do not want to see {x}"),
        Pair("show me {x}", "don't show me {x}"),
        Pair("always show me {x}", "never show me {x}"),
        Pair("I'd like to see more {x}", "I'd like to see less {x}"),
        Pair("I'd rather see {x}", "I'd rather not see {x}"),
        Pair("I'm in the mood for {x}", "I'm not in the mood for {x}"),
        Pair("I feel like watching {x} tonight", "I don't feel like watching {x} tonight"),
        Pair("can you show me {x}?", "can you stop showing me {x}?"),
        Pair("could I get more {x}?", "could I get less {x}?"),
        Pair("is there any good {x} around?", "is there anything around that is not {x}?"),
        Pair("what do you have in {x}?", "what do you have besides {x}?"),
        Pair("how about some {x}?", "how about something other than {x}?"),
        Pair("why is there so little {x} in my feed?", "why is there so much {x} in my feed?"),
        Pair("why do I never see {x}?", "why do I always see {x}?"),
        Pair("not enough {x} in here", "too much {x} in here"),
        Pair("you never show me {x}, change that", "you keep showing me {x}, change that"),
        Pair("I haven't seen enough {x} lately", "I have seen enough {x} lately"),
        Pair("I can't get enough of {x}", "I've had enough of {x}"),
        Pair("I never get tired of {x}", "I am tired of {x}"),
        Pair("I'm not sick of {x} yet, keep going", "I am sick of {x}"),
        Pair("I love {x}", "I hate {x}"),
        Pair("I like {x}", "I dislike {x}"),
        Pair("I really enjoy {x}", "I really can't stand {x}"),
        Pair("I'm a fan of {x}", "I'm not a fan of {x}"),
        Pair("I don't mind {x} at all", "I don't like {x} at all"),
        Pair("I can't do without {x}", "I can do without {x}"),
        Pair("{x} is for me", "{x} is not for me"),
        Pair("{x} makes me happy", "{x} makes me angry"),
        Pair("{x} never bores me", "{x} bores me"),
        Pair("{x}? yes please", "{x}? no thanks"),
        Pair("only {x}", "anything but {x}"),
        Pair("nothing but {x}", "everything but {x}"),
        Pair("nothing except {x}", "everything except {x}"),
        Pair("with {x}", "without {x}"),
        Pair("recommend {x}", "stop recommending {x}"),
        Pair("don't stop recommending {x}", "don't recommend {x}"),
        Pair("fill my feed with {x}", "clear my feed of {x}"),
        Pair("put {x} into my feed", "keep {x} out of my feed"),
        Pair("keep the {x} coming", "keep the {x} away"),
        Pair("don't hide {x} from me", "hide {x} from me"),
        Pair("don't skip the {x}", "skip the {x}"),
        Pair("leave in the {x}", "leave out the {x}"),
        Pair("look for {x}", "avoid {x}"),
        Pair("get me {x}", "get rid of {x}"),
        Pair("find {x}", "filter out {x}"),
        Pair("start with {x}", "stop with the {x}"),
        Pair("it has to be {x}", "it must not be {x}"),
        Pair("something that is {x}", "something that isn't {x}"),
        Pair("today I need {x}", "today I need a break from {x}"),
        Pair("I miss {x}", "I'm fed up with {x}"),
        Pair("there should be more {x}", "there should be fewer {x}"),
        Pair("turn up the {x}", "turn down the {x}"),
        Pair("give me a lot of {x}", "give me none of the {x}"),
        Pair("{x}, and nothing else", "something else than {x}"),
        Pair("my kids want {x}", "my kids don't want {x}"),
        Pair("I'm here for {x}", "I'm not here for {x}"),
        Pair("bring on the {x}", "enough with the {x}"),
        Pair("please include {x}", "please exclude {x}"),
        Pair("please add {x}", "please remove {x}"),
        Pair("a bit more {x} would be nice", "a bit less {x} would be nice"),
    ),
    "dev": (
        Pair("I'm looking for {x}", "I'm not looking for {x}"),
        Pair("let me see some {x}", "let me not see any {x}"),
        Pair("{x} would be great right now", "{x} would be awful right now"),
        Pair("anything with {x} in it?", "anything with no {x} in it?"),
        Pair("suggest {x} to me", "quit suggesting {x} to me"),
        Pair("I don't get to see {x} often enough", "I get to see {x} far too often"),
        Pair("boost {x}", "block {x}"),
        Pair("I have a soft spot for {x}", "I have no patience for {x}"),
        Pair("where did all the {x} go?", "where does all this {x} come from?"),
        Pair("surprise me with {x}", "don't surprise me with {x}"),
        Pair("{x} is what I'm after", "{x} is the last thing I'm after"),
        Pair("queue up {x}", "throw out the {x}"),
    ),
    "heldout": (
        Pair("treat me to {x}", "spare me {x}"),
        Pair("steer me towards {x}", "steer clear of {x}"),
        Pair("do you have anything in the way of {x}?", "do you have anything aside from {x}?"),
        Pair("my feed is starving for {x}", "my feed is drowning in {x}"),
        Pair("I could happily watch {x} all day long", "I could happily live without ever seeing {x} again"),
        Pair("let's have a run of {x} for a while", "let's take a rest from {x} for a while"),
        Pair("I insist on {x}", "I refuse to watch {x}"),
        Pair("prioritise {x}", "ban {x}"),
        Pair("I'm into {x} these days", "I'm over {x} these days"),
        Pair("please bring {x} into my recommendations", "please cut {x} from my recommendations"),
        Pair("we would all enjoy {x} tonight", "nobody here enjoys {x}"),
        Pair("{x} gives me so much, bring it", "{x} gives me nothing, drop it"),
        Pair("I'm craving {x}", "I'm allergic to {x}"),
        Pair("absolutely {x}", "absolutely nothing with {x}"),
    ),
}

# `{a}` is wanted and `{b}` is refused.
BUT_NOT: dict[Split, tuple[str, ...]] = {
    "train": (
        "{a} but no {b}",
        "{a} but not {b}",
        "{a} without {b}",
        "{a} without any {b}, please",
        "{a}, not {b}",
        "no {b}, just {a}",
        "not {b} but {a}",
        "less {b}, more {a}",
        "more {a}, less {b}",
        "less {b} and more {a}, please",
        "{a} except {b}",
        "{a} excluding {b}",
        "{a}, minus the {b}",
        "I want {a}, I don't want {b}",
        "I don't want {b}, I want {a}",
        "I love {a} but hate {b}",
        "I hate {b} but love {a}",
        "instead of {b} give me {a}",
        "give me {a} instead of {b}",
        "show me {a} and leave out {b}",
        "{a} that isn't {b}",
        "{a} rather than {b}",
        "nothing with {b}, I'd like {a}",
        "I'm tired of {b}, show me {a}",
        "{a}, nothing {b}",
        "can I have {a} with no {b}?",
    ),
    "dev": (
        "{a}, but skip anything {b}",
        "replace {b} with {a}",
        "{a} if it has no {b} in it",
        "enough {b}, time for {a}",
        "I'd take {a} over {b}",
        "could you find {a} that avoids {b}?",
    ),
    "heldout": (
        "swap the {b} for {a}",
        "{a} please, and go easy on the {b}",
        "can we do {a} free of {b}?",
        "{a} yes, {b} no",
        "give {b} a miss and bring me {a}",
        "{a}, as long as there's no {b} involved",
        "I'm up for {a}, though {b} puts me off",
        "forget {b}, what I need is {a}",
    ),
}

# What is talked about, where it is two things at once.
BOTH: dict[Split, tuple[str, ...]] = {
    "train": (
        "{a} that is also {b}",
        "{a} and {b} in one",
        "{a} mixed with {b}",
        "{a} with {b}",
        "a mix of {a} and {b}",
        "both {a} and {b}",
        "{a} blended with {b}",
        "a cross between {a} and {b}",
        "{a} combined with {b}",
        "{a} plus {b}",
        "{a} with a bit of {b}",
    ),
    "dev": ("{a} with elements of {b}", "{a} and {b} at the same time", "{b} flavoured {a}", "{a} meets {b}"),
    "heldout": (
        "a blend of {a} and {b}",
        "{a} with a touch of {b}",
        "{a} fused with {b}",
        "{a} that doubles as {b}",
        "{a} with {b} woven in",
    ),
}
EITHER: dict[Split, tuple[str, ...]] = {
    "train": (
        "{a} or {b}",
        "either {a} or {b}",
        "{a} or else {b}",
        "{a} or maybe {b}",
        "one of {a} or {b}",
        "{a}, {b}, either is fine",
        "any {a} or {b}",
        "{a} or {b}, I don't care which",
    ),
    "dev": ("{a}, alternatively {b}", "{a} or possibly {b}", "{a} or {b}, both are fine"),
    "heldout": (
        "{a} or perhaps {b}",
        "{a}, failing that {b}",
        "{a} or {b}, whichever you have",
        "{a} or, why not, {b}",
    ),
}
