"""The embedding judge with its encoder: fetched where it is missing, loaded only where some text is new to it."""

import hashlib
from collections.abc import Callable
from pathlib import Path

from ranker.catalogue import Catalogue
from ranker.data.teacher import WEIGHTS, fetch_teacher
from ranker.judges.embedding import Embed, EmbeddingJudge, TopicFits, topic_text
from ranker.judges.rule import RuleJudge
from ranker.judges.vectorcache import VectorCache


def embedding_judge(
    catalogue: Catalogue,
    teacher: Path,
    cache: Path,
    *,
    genres_by_words: bool = False,
    watch: Callable[[int, int], None] | None = None,
) -> EmbeddingJudge:
    """Over a whole catalogue. `watch(done, of)` sees the texts that are new to the cache go by. Raises DataError."""
    embed = teacher_embed(teacher, cache, watch)
    topics = TopicFits([topic_text(item) for item in catalogue.items], embed)
    return EmbeddingJudge(RuleJudge(catalogue), topics, genres_by_words=genres_by_words)


def teacher_embed(teacher: Path, cache: Path, watch: Callable[[int, int], None] | None = None) -> VectorCache:
    """The encoder that lies in `teacher`, or is fetched there, as a function that remembers on disk."""
    fetch_teacher(teacher)
    with (teacher / WEIGHTS).open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()

    def load() -> Embed:
        from ranker.training.towers import Tower, quiet

        quiet()
        return Tower.load(teacher).eval().embed

    return VectorCache(cache, digest, load, watch)
