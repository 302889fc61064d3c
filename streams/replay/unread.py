"""Candidate lists whose items and scores are read as columns, a batch at a time, not as a string and a float object each.

Only what needs no thought is read this way: plain ids and finite scores, none repeated. A batch with anything else is left
to the decoder that a worker uses, for it to say what is wrong; what is read here is what that would have read.
"""

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from ranker.errors import BadEvent
from ranker.events import MAX_CANDIDATES, CandidateList
from ranker.run import Asked, Entries, Flat, lay_out
from streams.replay.state import Codes
from streams.wire import decode_candidates

MAX_ID = 128
"""Bytes; more may be too many characters."""
BYTES = 8
"""Of a score, one with another, at least; two is the least there can be."""
QUOTE, COMMA, SPACE = b'", '


class Unread(CandidateList, frozen=True, kw_only=True, gc=False):
    """A list whose items and scores are still JSON. Their keys are there once, and no character is written as an escape."""

    item_ids: msgspec.Raw  # type: ignore[assignment]
    base_scores: msgspec.Raw  # type: ignore[assignment]


_decode = msgspec.json.Decoder(Unread).decode


def candidates(value: bytes | None) -> CandidateList:
    """An `Unread` list, or a whole one where this one is not plain. Raises BadEvent."""
    if value and b"\\" not in value:
        try:
            found = _decode(value)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            pass
        else:
            # What is wrong with a request of its own is said after what is wrong with the list.
            if found.request is None and _once(value, found):
                return found
    return decode_candidates(value)


def _once(value: bytes, found: Unread) -> bool:
    """Whether the keys are there once, as far as it is quick to see: of the keys of an object the last one counts."""
    ids = value.find(b"[", value.find(b'"item_ids"'))
    between = ids + len(found.item_ids)
    scores = value.find(b"[", value.find(b'"base_scores"', between))
    if not value.startswith(found.item_ids, ids) or not value.startswith(found.base_scores, scores):
        return False
    rest = value[:ids] + value[between:scores] + value[scores + len(found.base_scores) :]
    return rest.count(b'"item_ids"') == 1 == rest.count(b'"base_scores"')


def entries(listed: CandidateList) -> int:
    """How many items a list has; of one that is not read yet roughly, and at least a quarter of them."""
    return len(listed.base_scores) // BYTES + 1 if isinstance(listed, Unread) else len(listed.item_ids)


def lay_out_all(
    run: Sequence[Asked], values: Sequence[bytes | None], codes: Codes
) -> tuple[Flat | None, dict[int, BadEvent]]:
    """`lay_out`, of lists some of which may be unread; `values` are the events that they came from."""
    unread = [asked.candidates for asked in run if isinstance(asked.candidates, Unread)]
    if len(unread) == len(run) and (read := _columns(unread, codes)) is not None:
        flat = Flat.of(run, read)
        if not flat.repeating() and not flat.not_finite():
            return flat, {}
    refused: dict[int, BadEvent] = {}
    whole = list(run)
    for place, (asked, value) in enumerate(zip(run, values, strict=True)):
        if isinstance(asked.candidates, Unread):
            try:
                whole[place] = asked._replace(candidates=decode_candidates(value))
            except BadEvent as error:
                refused[place] = error
    places = [place for place in range(len(run)) if place not in refused]
    if not places:
        return None, refused
    laid, wrong = lay_out([whole[place] for place in places], codes.of)
    return laid, refused | {places[place]: error for place, error in wrong.items()}


def _columns(lists: Sequence[Unread], codes: Codes) -> Entries | None:
    """The items and scores, end to end; None if they are not plain."""
    arrays = [[bytes(each.item_ids) for each in lists], [bytes(each.base_scores) for each in lists]]
    if not all(array.startswith(b"[") for some in arrays for array in some):
        return None
    ids, scores = _strings(arrays[0]), _floats(arrays[1])
    if ids is None or scores is None or not np.array_equal(ids[0], scores[0]):
        return None
    lengths, encoded, suffix = ids
    try:
        different = [each[:-suffix] for each in encoded.dictionary.to_pylist()]
    except UnicodeDecodeError:
        return None
    places = encoded.indices.to_numpy()
    return Entries(lengths.tolist(), np.array(different, object)[places], scores[1], codes.of(different)[places])


def _strings(arrays: list[bytes]) -> tuple[NDArray[np.intp], Any, int] | None:
    """JSON arrays of plain strings: their lengths; the strings end to end, each with the same suffix; and its length.

    `["a","b"]` and `["a", "b"]` will do. What is between a string's quotes and the next one's is looked at, so that nothing
    else is taken for a string.
    """
    import pyarrow as pa

    compact = b", " not in arrays[0]
    comma = b"," if compact else b", "
    text = comma.join([each[1:-1] for each in arrays]) + comma + b'"'
    ends = np.cumsum([len(each) - 2 + len(comma) for each in arrays])
    read = np.frombuffer(text, np.uint8)
    quotes = np.flatnonzero(read == QUOTE)
    opening, closing = quotes[::2], quotes[1::2]  # one more that opens than that close
    suffix = len(comma) + 2
    if (
        len(opening) != len(closing) + 1
        or opening[0] != 0
        or (opening[1:] - closing != suffix - 1).any()
        or (read[closing + 1] != COMMA).any()
        or (not compact and (read[closing + 2] != SPACE).any())
        or read.min() < SPACE
    ):
        return None
    sizes = closing - opening[:-1] - 1
    if sizes.min() < 1 or sizes.max() > MAX_ID:
        return None
    lengths = np.diff(np.searchsorted(opening[:-1], ends), prepend=0)
    if lengths.min() < 1 or lengths.max() > MAX_CANDIDATES:
        return None
    offsets = (opening + 1).astype(np.int32)
    strings = pa.StringArray.from_buffers(len(closing), pa.py_buffer(offsets), pa.py_buffer(text))
    return lengths, strings.dictionary_encode(), suffix


def _floats(arrays: list[bytes]) -> tuple[NDArray[np.intp], NDArray[np.float64]] | None:
    """JSON arrays of numbers: their lengths, and the numbers end to end."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if b" " in arrays[0]:
        arrays = [each.replace(b" ", b"") for each in arrays]
    text = b",".join([each[1:-1] for each in arrays]) + b","
    read = np.frombuffer(text, np.uint8)
    commas = np.flatnonzero(read == COMMA)
    offsets = np.zeros(len(commas) + 1, np.int32)
    offsets[1:] = commas - np.arange(len(commas))
    strings = pa.StringArray.from_buffers(len(commas), pa.py_buffer(offsets), pa.py_buffer(text.replace(b",", b"")))
    try:
        numbers = pc.cast(strings, pa.float64()).to_numpy()
    except pa.ArrowInvalid:
        return None
    ends = np.cumsum([len(each) - 1 for each in arrays])
    lengths = np.diff(np.searchsorted(commas, ends), prepend=0)
    return (lengths, numbers) if np.isfinite(numbers).all() else None
