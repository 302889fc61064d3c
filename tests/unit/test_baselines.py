from ranker.experiments.baselines import bm25_scores


def test_bm25_finds_the_words_that_items_share_with_a_request() -> None:
    items = ["Alien: horror sci-fi 1970s", "Airplane: comedy 1980s", "Scream: horror 1990s"]
    scores = bm25_scores(["horror films please", "the comedy of the 1980s", "nothing that is known"], items)
    assert (scores[0] > 0).tolist() == [True, False, True]
    assert scores[1].argmax() == 1
    assert scores[2].tolist() == [0, 0, 0]
