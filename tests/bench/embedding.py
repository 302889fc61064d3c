"""Embedding a request."""

from collections.abc import Iterator

import numpy as np
import onnxruntime as ort
from tokenizers import Tokenizer

from ranker.bundle import REQUEST_TOWER, TOKENIZER
from ranker.embed import RequestEmbedder
from ranker.events import ControlRequest
from streams.wire import decode_request, encode
from tests.bench.cores import on_core
from tests.bench.figures import Bench, Bound, Figure
from tests.bench.timing import MICRO, by_turns
from tests.bench.workload import MADE_AT, REQUESTS, load_bundle

REPEATS = 20
TO = "bare onnxruntime"


def figures(bench: Bench) -> Iterator[Figure]:
    """One request through its tower, beside the bare onnxruntime call for the same tokens, on one core."""
    with on_core(bench.cores.work):
        bundle = load_bundle(bench.bundle)
        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        session = ort.InferenceSession(str(bench.bundle / REQUEST_TOWER), options, providers=["CPUExecutionProvider"])
        tokenizer = Tokenizer.from_file(str(bench.bundle / TOKENIZER))
        tokenizer.no_padding()
        tokenizer.enable_truncation(bundle.manifest.max_length)
        ids = {text: np.array([tokenizer.encode(text).ids], np.int64) for text in REQUESTS}
        requests = {
            text: encode(ControlRequest(event_id="r", user_id="u", op="set", created_at=MADE_AT, text=text))
            for text in REQUESTS
        }
        forgetful = RequestEmbedder(bundle, cache=0)
        tower, bare, event = by_turns(
            [
                bundle.request_tower.embed,
                lambda text: session.run(["vector"], {"input_ids": ids[text]}),
                lambda text: encode(forgetful.control(decode_request(requests[text]))),
            ],
            REQUESTS,
            REPEATS,
        )
    bounds = (Bound("ratio", "at most", 1.2),)
    yield Figure("embed.tower", tower.median * MICRO, "µs", tower.median / bare.median, TO, bounds, tower.least * MICRO)
    yield Figure("embed.request", event.median * MICRO, "µs", event.median / bare.median, TO, (), event.least * MICRO)
