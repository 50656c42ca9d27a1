"""Server-sent events, however the bytes come."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from dagi.targets.models.wire.sse import Frame, SseDecoder


def frames(*portions: bytes, limit: int = 1000) -> list[Frame]:
    decoder = SseDecoder(limit)
    heard = [frame for portion in portions for frame in decoder.feed(portion)]
    return heard + decoder.finish()


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = sorted({0, len(data), *(place % (len(data) + 1) for place in places)})
    return [data[start:end] for start, end in pairwise(edges)]


PIECES = st.sampled_from(
    [b"data: x", b"data:y", b"data", b"event: error", b": note", b"\n", b"\r\n", b"\r", b"\n\n", b"\xef\xbb\xbf", b"\xff"]
)
STREAMS = st.lists(PIECES | st.binary(max_size=5), max_size=30).map(b"".join)


def test_lf_crlf_and_cr_end_lines_alike() -> None:
    for end in (b"\n", b"\r\n", b"\r"):
        assert frames(end.join([b"data: a", b"", b"data: b", b"", b""])) == [Frame(b"", b"a"), Frame(b"", b"b")]


def test_a_crlf_cut_in_two_is_one_line_end() -> None:
    assert frames(b"data: a\r", b"\n\r", b"\ndata: b\r", b"\n\r\n") == [Frame(b"", b"a"), Frame(b"", b"b")]


def test_a_crlf_cut_in_two_does_not_end_a_frame() -> None:
    assert frames(b"data: a\r", b"\ndata: b\r", b"\n", b"\r", b"\n") == [Frame(b"", b"a\nb")]


def test_lines_of_data_are_joined() -> None:
    assert frames(b"data: a\ndata:b\ndata:  c\n\n") == [Frame(b"", b"a\nb\n c")]


def test_comments_and_unknown_fields_are_dropped_and_the_event_is_kept() -> None:
    assert frames(b": ping\n\nid: 7\nevent: error\ndata: {}\nretry: 1\n\ndata: x\n\n") == [Frame(b"error", b"{}"), Frame(b"", b"x")]


def test_a_byte_order_mark_is_dropped_even_in_pieces() -> None:
    assert frames(b"\xef", b"\xbb", b"\xbfdata: a\n\n") == [Frame(b"", b"a")]


def test_the_last_blank_line_may_be_missing() -> None:
    assert frames(b"data: a\n\ndata: [DONE]") == [Frame(b"", b"a"), Frame(b"", b"[DONE]")]


def test_a_frame_without_end_is_given_up_at_the_limit() -> None:
    decoder = SseDecoder(limit=100)
    assert decoder.feed(b"data: a\n\n" + b"data: " + b"x" * 200) == [Frame(b"", b"a")]
    assert decoder.failed is not None
    assert decoder.feed(b"\n\ndata: b\n\n") == []


def test_a_frame_of_many_short_lines_is_given_up_at_the_limit() -> None:
    decoder = SseDecoder(limit=100)
    for _ in range(50):
        decoder.feed(b"data: abc\n")
    assert decoder.failed is not None


@given(STREAMS, st.lists(st.integers(min_value=0), max_size=20), st.sampled_from([8, 20, 1000]))
def test_any_split_of_the_bytes_gives_the_same_frames(data: bytes, places: list[int], limit: int) -> None:
    assert frames(*cut(data, places), limit=limit) == frames(data, limit=limit)
