"""A tower as it is served: a text becomes a unit vector, through tokenizers and onnxruntime alone.

One text a call, always. Dynamic quantization takes its activation scale over everything in a call, so a text's vector
would otherwise depend on its neighbours; the graph's batch axis is fixed at one to make that impossible.
"""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnxruntime as ort
from onnxruntime.capi import onnxruntime_pybind11_state as state
from tokenizers import Tokenizer

from ranker.errors import BundleError
from ranker.vectors import Floats

INPUT, OUTPUT = "input_ids", "vector"
UNKNOWN = "[UNK]"
_UNLOADABLE = (
    state.Fail,
    state.InvalidGraph,
    state.InvalidProtobuf,
    state.NoSuchFile,
    state.NotImplemented,
    state.RuntimeException,
)


class Tower:
    """One tower. Safe to call from several threads; the same text gives the same bytes in any of them."""

    def __init__(self, onnx_file: Path, tokenizer_file: Path, *, max_length: int, threads: int = 1) -> None:
        """Load and warm up. `max_length` is in tokens, `threads` is how many one call may use.

        Raises BundleError naming the file that cannot be read or is not of the expected form.
        """
        try:
            tokenizer = Tokenizer.from_file(str(tokenizer_file))
        except Exception as error:  # tokenizers raises nothing narrower
            raise BundleError(f"{tokenizer_file} is no tokenizer: {error}") from error
        tokenizer.no_padding()
        tokenizer.enable_truncation(max_length)
        try:
            session = ort.InferenceSession(str(onnx_file), _options(threads), providers=["CPUExecutionProvider"])
        except _UNLOADABLE as error:
            raise BundleError(f"{onnx_file} is no graph that onnxruntime can run: {error}") from error
        inputs = [(node.name, node.shape[:1], node.type) for node in session.get_inputs()]
        outputs = [node.name for node in session.get_outputs()]
        if inputs != [(INPUT, [1], "tensor(int64)")] or outputs != [OUTPUT]:
            raise BundleError(f"{onnx_file} maps {inputs} to {outputs}, not one row of {INPUT} to one of {OUTPUT}")
        self._tokenizer, self._session = tokenizer, session
        self._unknown = tokenizer.token_to_id(UNKNOWN)
        self.dimension: int = len(self.embed(""))

    def embed(self, text: str) -> Floats:
        """The unit vector of `text`, (d,) float32. What lies past `max_length` tokens is not read."""
        ids = np.array([self._tokenizer.encode(text).ids], np.int64)  # (1, t)
        vector: Floats = self._session.run([OUTPUT], {INPUT: ids})[0][0]  # (1, d) -> (d,)
        return vector

    def pieces(self, text: str) -> tuple[int, int]:
        """Word pieces that `embed` reads of `text`, and how many characters they cover.

        What the vocabulary has no piece for counts as many as it has characters.
        """
        read = self._tokenizer.encode(" ".join(text.split()), add_special_tokens=False)
        unknown = [end - start - 1 for number, (start, end) in zip(read.ids, read.offsets, strict=True)
                   if number == self._unknown]  # fmt: skip
        return len(read.ids) + sum(unknown), max((end for _, end in read.offsets), default=0)

    def embed_all(
        self, texts: Sequence[str], progress: Callable[[int], object] | None = None, *, workers: int = 1
    ) -> Floats:
        """The vectors of `texts`, (n, d) float32, each the same bytes as `embed` gives it.

        `workers` calls run side by side. `progress` is told how many texts are done, after each.
        """
        vectors = np.empty((len(texts), self.dimension), np.float32)
        with ThreadPoolExecutor(max(1, min(workers, os.cpu_count() or 1))) as pool:
            for row, vector in enumerate(pool.map(self.embed, texts)):
                vectors[row] = vector
                if progress:
                    progress(row + 1)
        return vectors


def _options(threads: int) -> ort.SessionOptions:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    # Idle threads sleep: a worker shares its cores with the consumer, and a busy wait would take them.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    options.log_severity_level = 3
    return options
