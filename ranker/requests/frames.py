"""Many ways of saying yes and no: sentence frames times words, for training only.

What decides whether an unheard refusal is understood is how many different words for "no" were heard. A frame takes the
words for yes and those for no in the same place, so that only the word tells them apart.
"""

from typing import NamedTuple

_DO = (
    "show add include bring find fetch pick choose play deliver serve offer increase keep promote favour highlight feature "
    "send allow welcome unblock raise push list select collect present schedule unmute rank+high",
    "hide remove drop delete exclude mute avoid skip ditch scrap eliminate kill lose dump cancel forbid reject ignore omit "
    "discard erase reduce limit bury suppress quit stop withhold screen+out weed+out rule+out take+out throw+away "
    "get+rid+of stay+away+from keep+away keep+back hold+back tone+down lay+off do+away+with",
)
_FEEL = (
    "fond+of keen+on excited+about crazy+about happy+with interested+in passionate+about hungry+for ready+for addicted+to "
    "obsessed+with delighted+by comfortable+with curious+about all+for thrilled+by drawn+to in+love+with",
    "tired+of sick+of bored+with bored+by fed+up+with done+with annoyed+by scared+of disgusted+by weary+of finished+with "
    "not+keen+on uncomfortable+with not+interested+in against through+with worn+out+by indifferent+to irritated+by "
    "repelled+by exhausted+by had+it+with",
)
_VERB = (
    "love like adore enjoy want need prefer appreciate value care+for choose miss follow collect long+for go+for cherish "
    "welcome root+for",
    "hate dislike detest loathe despise can't+stand can't+bear don't+like don't+want don't+need don't+care+for avoid "
    "resent regret don't+enjoy don't+watch never+watch won't+watch can't+watch can't+take could+do+without don't+follow",
)
_IS = (
    "wonderful great fantastic my+thing time+well+spent just+right+for+me welcome fun exciting what+I+like worth+it perfect "
    "good+for+me a+pleasure relaxing brilliant",
    "boring awful terrible not+my+thing a+waste+of+time too+much+for+me unwelcome no+fun annoying what+I+dislike not+worth+it "
    "horrible bad+for+me a+pain depressing tedious dull not+wanted not+what+I+like",
)
_AMOUNT = (
    "more lots+of plenty+of a+lot+more much+more mostly mainly many+more some as+much+as+possible: loads+of even+more extra",
    "less none+of no+more a+lot+less much+less hardly+any zero fewer not+any as+little+as+possible: not+so+much "
    "even+less any+fewer not+that+much",
)
_FRAMES = (
    (_DO, ("{w} {x}", "please {w} {x}", "could you {w} {x}?", "{w} all {x}", "I want you to {w} {x}", "{w} any {x} you see",
           "time to {w} {x}", "you should {w} the {x}", "let's {w} {x} from now on", "why don't you {w} {x}?")),
    (_FEEL, ("I'm {w} {x}", "I am so {w} {x}", "we are {w} {x}", "I've always been {w} {x}", "lately I'm {w} {x}",
             "honestly, I am {w} {x}", "are you also {w} {x}? I am")),
    (_VERB, ("I {w} {x}", "we {w} {x}", "I really {w} {x}", "these days I {w} {x}", "my family and I {w} {x}",
             "you know that I {w} {x}")),
    (_IS, ("{x}: {w}", "I find {x} {w}", "to me {x} is {w}", "{x} can be so {w}, you know", "{w}, that's what {x} is")),
    (_AMOUNT, ("{w} {x}", "{w} {x} please", "I'd like {w} {x}", "give me {w} {x}", "{w} {x} from now on",
               "I want to see {w} {x}")),
)  # fmt: skip


class Frame(NamedTuple):
    """A frame, the words that make it a wish and those that make it a refusal."""

    sentence: str
    yes: tuple[str, ...]
    no: tuple[str, ...]


def _words(text: str) -> tuple[str, ...]:
    return tuple(word.replace("+", " ") for word in text.split())


FRAMES = tuple(Frame(sentence, _words(yes), _words(no)) for (yes, no), sentences in _FRAMES for sentence in sentences)
# Said around a sentence on both sides alike, so that they mean nothing.
BEFORE = ("", "", "", "please, ", "ok, ", "hey, ", "today: ", "honestly, ", "for the weekend: ", "I think ")
AFTER = ("", "", "", "", ", please", ", thanks", " tonight", " for now", " from now on", " again", " at the moment")
