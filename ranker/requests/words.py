"""How facts are named: the noun phrases that fill the shapes. `{n}` stands for "movies" and its kin."""

from ranker.requests.phrasings import Split, phrasings
from ranker.requests.spec import Acclaim, Era, Fact, OwnTaste, Popularity, Topic, Words

# The genres of MovieLens. A genre that is not here is called by its own name.
GENRE_WORDS: dict[str, tuple[str, ...]] = {
    "Action": ("action", "action {n}", "action-packed {n}"),
    "Adventure": ("adventure", "adventure {n}", "adventures"),
    "Animation": ("animation", "animated {n}", "cartoons"),
    "Children": ("children's {n}", "kids {n}", "{n} for children"),
    "Comedy": ("comedy", "comedies", "funny {n}", "comedy {n}"),
    "Crime": ("crime", "crime {n}", "gangster {n}"),
    "Documentary": ("documentaries", "documentary {n}", "documentary"),
    "Drama": ("drama", "dramas", "drama {n}", "dramatic {n}"),
    "Fantasy": ("fantasy", "fantasy {n}"),
    "Film-Noir": ("film noir", "noir", "noir {n}"),
    "Horror": ("horror", "horror {n}", "scary {n}"),
    "IMAX": ("imax", "imax {n}"),
    "Musical": ("musicals", "musical {n}", "musical"),
    "Mystery": ("mystery", "mysteries", "mystery {n}", "whodunits"),
    "Romance": ("romance", "romantic {n}", "love stories"),
    "Sci-Fi": ("sci-fi", "science fiction", "sci-fi {n}", "science fiction {n}"),
    "Thriller": ("thrillers", "thriller {n}", "suspense"),
    "War": ("war {n}", "{n} about war"),
    "Western": ("westerns", "western {n}", "cowboy {n}"),
}
# What readers ask for that is no genre by itself.
MOOD_WORDS: dict[tuple[str, ...], tuple[str, ...]] = {
    ("Action", "Crime", "Horror", "War"): ("violence", "violent {n}", "brutal {n}", "violent"),
    ("Animation", "Children"): ("family {n}", "{n} for the whole family"),
}

# How a topic in words of its own is named.
WORDS_NAMED = ("{x}", "{x} {n}", "{n} about {x}")

DECADE_NAMES = {1920: "twenties", 1930: "thirties", 1940: "forties", 1950: "fifties", 1960: "sixties",
                1970: "seventies", 1980: "eighties", 1990: "nineties"}  # fmt: skip


def names(fact: Fact, split: Split) -> tuple[str, ...]:
    """The names of a fact in a split; those of genres are the same in all."""
    match fact:
        case Topic():
            return topic_words(fact)
        case Words(text):
            return tuple(name.replace("{x}", text) for name in WORDS_NAMED)
        case Era():
            return tuple(f"{{n}} {word}" for word in era_words(fact, split))
        case Popularity(kind):
            return phrasings("mainstream" if kind == "mainstream" else "hidden_gem", split)
        case Acclaim(kind):
            return phrasings(f"acclaim_{kind}", split)
        case OwnTaste():
            return phrasings("own_taste", split)


def topic_words(topic: Topic) -> tuple[str, ...]:
    """The names of a topic; one genre that is not in the list goes by its own name."""
    if topic.genres in MOOD_WORDS:
        return MOOD_WORDS[topic.genres]
    (genre,) = topic.genres
    return GENRE_WORDS.get(genre, (genre.lower(), f"{genre.lower()} {{n}}"))


def era_words(era: Era, split: Split) -> tuple[str, ...]:
    """What can follow a noun to place it in the era."""
    if era.first is None:
        assert era.last is not None
        return tuple(word.format(y=era.last + 1) for word in phrasings("before", split))
    if era.last is None:
        return tuple(word.format(y=era.first - 1) for word in phrasings("since", split))
    decade = era.first
    called = [f"{decade}s", f"{decade % 100}s"] if decade < 2000 else [f"{decade}s"]
    if decade in DECADE_NAMES:
        called.append(DECADE_NAMES[decade])
    return tuple(word.format(d=name) for word in phrasings("decade", split) for name in called)
