"""Requests as bytes."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dagi.outbound.request import encoded
from dagi.ports.http import HttpFailure, HttpRequest


def test_a_request_is_a_head_and_its_body() -> None:
    request = HttpRequest(method="POST", url="https://example.org/a%20b?q=\u0439#x", headers={"A": "b", "Host": "evil"}, body=b"{}")
    origin, data = encoded(request)
    assert (origin.tls, str(origin)) == (True, "example.org:443")
    assert data == b"POST /a%20b?q=%D0%B9 HTTP/1.1\r\nHost: example.org\r\nA: b\r\nContent-Length: 2\r\n\r\n{}"


@pytest.mark.parametrize(
    ("url", "host"),
    [("http://h", "h"), ("http://h:80/", "h:80"), ("http://[::1]:9/", "[::1]:9"), ("https://[::1]", "[::1]")],
)
def test_the_host_header_is_written_as_the_url_says(url: str, host: str) -> None:
    assert encoded(HttpRequest(method="GET", url=url))[1] == f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()


@pytest.mark.parametrize(
    "request_",
    [
        HttpRequest(method="GET", url="http://h/", headers={"A": "b\r\nEvil: yes"}),
        HttpRequest(method="GET", url="http://h/", headers={"A\r\nB": "c"}),
        HttpRequest(method="GET / HTTP/1.1\r\n", url="http://h/"),
        HttpRequest(method="GET", url="http://h/ HTTP/1.1\r\nEvil: yes"),
        HttpRequest(method="GET", url="file:///etc/passwd"),
        HttpRequest(method="GET", url="http://user:secret@h/"),
        HttpRequest(method="GET", url="/relative"),
        HttpRequest(method="GET", url="http://h:99999/"),
        HttpRequest(method="GET", url="http://h/", headers={"A": "ключ"}),
    ],
)
def test_a_request_that_would_be_two_is_refused_without_quoting_it(request_: HttpRequest) -> None:
    with pytest.raises(HttpFailure) as caught:
        encoded(request_)
    assert "secret" not in str(caught.value)
    assert "Evil" not in str(caught.value)


@given(st.text(), st.text(max_size=20), st.text(max_size=20))
def test_any_request_becomes_one_head_or_a_failure(path: str, name: str, value: str) -> None:
    with suppress(HttpFailure):
        _, data = encoded(HttpRequest(method="GET", url=f"http://h/{path}", headers={name: value}))
        assert data.count(b"\r\n") == data.count(b"\n") == data.count(b"\r") <= 4
        assert data.endswith(b"\r\n\r\n")
