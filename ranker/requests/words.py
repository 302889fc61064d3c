"""How facts are named: the noun phrases that fill the shapes. `{n}` stands for "movies" and its kin."""

from ranker.requests.shapes import Split
from ranker.requests.spec import Acclaim, Era, OwnTaste, Popularity, Topic

NOUNS: dict[Split, tuple[str, ...]] = {
    "train": ("movies", "films", "titles", "stuff"),
    "dev": ("movies", "things"),
    "heldout": ("films", "flicks", "pictures"),
}

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

DECADE_NAMES = {1920: "twenties", 1930: "thirties", 1940: "forties", 1950: "fifties", 1960: "sixties",
                1970: "seventies", 1980: "eighties", 1990: "nineties"}  # fmt: skip
DECADE: dict[Split, tuple[str, ...]] = {
    "train": ("from the {d}", "made in the {d}", "of the {d}", "out of the {d}"),
    "dev": ("of {d} vintage", "shot in the {d}"),
    "heldout": ("released during the {d}", "dating from the {d}"),
}
BEFORE: dict[Split, tuple[str, ...]] = {
    "train": ("made before {y}", "from before {y}", "older than {y}"),
    "dev": ("not newer than {y}",),
    "heldout": ("released earlier than {y}",),
}
SINCE: dict[Split, tuple[str, ...]] = {
    "train": ("made after {y}", "from after {y}", "newer than {y}"),
    "dev": ("not older than {y}",),
    "heldout": ("released later than {y}",),
}

POPULARITY_WORDS: dict[Popularity, dict[Split, tuple[str, ...]]] = {
    Popularity("mainstream"): {
        "train": (
            "blockbusters",
            "mainstream {n}",
            "popular {n}",
            "big hits",
            "{n} that everybody has seen",
            "well-known {n}",
            "famous {n}",
            "what everyone is watching",
            "box office hits",
        ),
        "dev": ("widely seen {n}", "crowd favourites", "the big names"),
        "heldout": ("hugely popular {n}", "{n} that everyone knows", "the most watched {n}", "mainstream hits"),
    },
    Popularity("hidden gem"): {
        "train": (
            "hidden gems",
            "overlooked gems",
            "underrated {n}",
            "good {n} that nobody knows",
            "little known gems",
            "lesser known {n} worth seeing",
            "undiscovered {n}",
            "good obscure {n}",
            "hidden treasures",
        ),
        "dev": ("under the radar {n}", "forgotten gems", "unknown but good {n}"),
        "heldout": ("buried treasures", "gems that few people have seen", "unsung {n}", "overlooked good {n}"),
    },
}
ACCLAIM_WORDS: dict[Acclaim, dict[Split, tuple[str, ...]]] = {
    Acclaim("high"): {
        "train": (
            "critically acclaimed {n}",
            "highly rated {n}",
            "masterpieces",
            "award winning {n}",
            "the best rated {n}",
            "{n} that critics love",
            "{n} with great reviews",
            "excellent {n}",
            "top rated {n}",
        ),
        "dev": ("well reviewed {n}", "{n} of high quality", "celebrated {n}"),
        "heldout": ("{n} that critics praised", "outstanding {n}", "{n} with high ratings", "acclaimed {n}"),
    },
    Acclaim("low"): {
        "train": (
            "badly rated {n}",
            "bad {n}",
            "trash",
            "poorly reviewed {n}",
            "{n} that critics hate",
            "{n} with terrible reviews",
            "low rated {n}",
            "flops",
            "awful {n}",
        ),
        "dev": ("badly reviewed {n}", "{n} of low quality", "garbage"),
        "heldout": ("{n} that critics panned", "lousy {n}", "{n} with low ratings", "terrible {n}"),
    },
}
TASTE_WORDS: dict[OwnTaste, dict[Split, tuple[str, ...]]] = {
    OwnTaste(): {
        "train": (
            "what I usually watch",
            "my usual {n}",
            "my usual genres",
            "{n} like my favourites",
            "{n} similar to what I watch",
            "the kind of {n} I always watch",
            "{n} of my taste",
            "the same kind of {n} as always",
            "{n} like the ones I have seen",
        ),
        "dev": ("{n} close to my taste", "my typical {n}", "the sort of {n} I always pick"),
        "heldout": ("{n} in my usual style", "the type of {n} I normally go for", "my ordinary fare"),
    },
}
# Whole sentences about one's own taste: (like it, unlike it).
TASTE_SENTENCES: dict[Split, tuple[tuple[str, str], ...]] = {
    "train": (
        ("more like my favourites", "something different"),
        ("something like what I usually watch", "something different from what I usually watch"),
        ("more of the same", "no more of the same"),
        ("stay close to my taste", "get away from my taste"),
        ("stay in my comfort zone", "leave my comfort zone"),
        ("nothing new, stick to what I like", "something new, not what I like"),
        ("don't surprise me", "surprise me"),
        ("something familiar", "something unfamiliar"),
        ("show me what matches my history", "show me what doesn't match my history"),
        ("don't take me out of my bubble", "take me out of my bubble"),
        ("keep it as usual", "a change from the usual"),
        ("things I would normally choose", "things I would never choose"),
    ),
    "dev": (
        ("similar to what I have liked so far", "dissimilar to what I have liked so far"),
        ("what suits me best", "what I would not expect"),
        ("inside my comfort zone, please", "outside my comfort zone, please"),
    ),
    "heldout": (
        ("more along the lines of my favourites", "nothing along the lines of my favourites"),
        ("give me my usual fix", "give me a break from my usual fix"),
        ("play it safe and stay with my habits", "be bold and break with my habits"),
        ("I feel at home with my usual genres, stay there", "I'm stuck in my usual genres, get me out of there"),
    ),
}


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
        return tuple(word.format(y=era.last + 1) for word in BEFORE[split])
    if era.last is None:
        return tuple(word.format(y=era.first - 1) for word in SINCE[split])
    decade = era.first
    names = [f"{decade}s", f"{decade % 100}s"] if decade < 2000 else [f"{decade}s"]
    if decade in DECADE_NAMES:
        names.append(DECADE_NAMES[decade])
    return tuple(word.format(d=name) for word in DECADE[split] for name in names)
