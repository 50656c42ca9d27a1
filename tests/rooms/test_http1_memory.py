"""What a request that is being read takes."""

import tracemalloc

from dagi.observe.observer import SilentObserver
from dagi.services.face import Answer, Endpoint, Request, Table
from dagi.services.http1.requests import Requests
from dagi.services.http1.service import Bounds, Service, Visit

PIECES = 100_000


async def never(_: Request) -> Answer:
    raise AssertionError


def test_a_body_in_many_small_chunks_takes_little_more_than_its_size() -> None:
    service = Service(
        Table([Endpoint(method="POST", path="/", handler=never, summary="")]), Bounds(body_bytes=10**6, body_s=1), SilentObserver()
    )
    visits: list[Visit] = []
    requests = Requests(service, visits.append, lambda: None)
    requests.feed(b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n")
    tracemalloc.start()
    try:
        for _ in range(PIECES // 1000):
            requests.feed(b"2\r\nab\r\n" * 1000)
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    requests.feed(b"0\r\n\r\n")
    assert visits[0].request.body == b"ab" * PIECES
    assert taken < 4 * PIECES
