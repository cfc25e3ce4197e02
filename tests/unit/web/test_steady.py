"""How much of a request has to have come before a thread takes it."""

from __future__ import annotations

import select
import socket
from collections.abc import Iterator

import pytest

from workers.steady import VIEW_BYTES, Arrival, arrival_of, look

GET = b"GET / HTTP/1.1\r\nHost: here\r\n"
POST = b"POST / HTTP/1.1\r\nHost: here\r\n"


@pytest.mark.parametrize(
    ("view", "arrival"),
    [
        (b"", Arrival.PART),
        (b"GET / HT", Arrival.PART),
        (GET, Arrival.PART),
        (GET + b"\r", Arrival.PART),
        (GET + b"\r\n", Arrival.WHOLE),
        (GET + b"\r\n" + GET, Arrival.WHOLE),
        (POST + b"Content-Length: 0\r\n\r\n", Arrival.WHOLE),
        (POST + b"Content-Length: 3\r\n\r\n", Arrival.PART),
        (POST + b"Content-Length: 3\r\n\r\nab", Arrival.PART),
        (POST + b"Content-Length: 3\r\n\r\nabc", Arrival.WHOLE),
        (POST + b"Content-Length: 3\r\n\r\nabc" + GET, Arrival.WHOLE),
        (POST + b"cONTENT-lENGTH :\t3 \r\n\r\nab", Arrival.PART),
        (POST + b"content-length: 3\r\nX: 1\r\n\r\nab", Arrival.PART),
        (POST + b"X-Content-Length: 3\r\n\r\n", Arrival.WHOLE),
        (POST + b"Content-Length: 1000000\r\n\r\nab", Arrival.LARGE),
        (POST + b"Content-Length: 9999999999999999999999\r\n\r\nab", Arrival.WHOLE),
        (POST + b"Content-Length: x\r\n\r\nab", Arrival.WHOLE),
        (POST + b"Content-Length: -1\r\n\r\nab", Arrival.WHOLE),
        (POST + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", Arrival.LARGE),
        (POST + b"transfer-encoding : chunked\r\nContent-Length: 3\r\n\r\nabc", Arrival.LARGE),
        (POST + b"Expect: 100-continue\r\nContent-Length: 3\r\n\r\n", Arrival.LARGE),
        (b"x" * VIEW_BYTES, Arrival.WHOLE),
    ],
)
def test_how_much_has_come(view: bytes, arrival: Arrival) -> None:
    assert arrival_of(view) is arrival


def test_a_request_that_just_fits_the_view_is_awaited_and_a_larger_one_is_read() -> None:
    head = POST + b"Content-Length: %d\r\n\r\n"
    room = VIEW_BYTES - len(head % 60_000)
    assert arrival_of(head % room) is Arrival.PART
    assert arrival_of(head % (room + 1)) is Arrival.LARGE


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ours = socket.create_connection(listener.getsockname())
        theirs, _ = listener.accept()
        with ours, theirs:
            yield ours, theirs


def until_readable(sock: socket.socket) -> None:
    sock.settimeout(60)
    sock.recv(1, socket.MSG_PEEK)


def test_looking_takes_nothing_off(pair: tuple[socket.socket, socket.socket]) -> None:
    client, server = pair
    assert look(server) is Arrival.PART
    client.sendall(GET + b"\r\n")
    until_readable(server)

    assert look(server) is Arrival.WHOLE
    assert look(server) is Arrival.WHOLE
    assert server.recv(1000) == GET + b"\r\n"


def test_what_came_with_the_request_before_counts(pair: tuple[socket.socket, socket.socket]) -> None:
    client, server = pair
    assert look(server, read=GET) is Arrival.PART
    client.sendall(b"\r\n")
    until_readable(server)
    assert look(server, read=GET) is Arrival.WHOLE
    assert look(server, read=GET + b"\r\n") is Arrival.WHOLE


def test_part_of_a_request_wakes_the_loop_only_once_there_is_more(pair: tuple[socket.socket, socket.socket]) -> None:
    client, server = pair
    client.sendall(GET)
    until_readable(server)
    assert look(server) is Arrival.PART
    assert server.getsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT) == len(GET) + 1

    client.sendall(b"\r\n")
    until_readable(server)
    assert look(server) is Arrival.WHOLE
    assert server.getsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT) == 1


@pytest.mark.parametrize("said", [b"", b"GET / HT", POST + b"Content-Length: 3\r\n\r\nab"])
def test_who_hangs_up_in_the_middle_is_not_waited_for(pair: tuple[socket.socket, socket.socket], said: bytes) -> None:
    """A connection that has ended is always readable: the loop would turn without a pause."""
    client, server = pair
    client.sendall(said)
    client.shutdown(socket.SHUT_WR)
    ended = select.poll()
    ended.register(server, select.POLLRDHUP)
    assert ended.poll(60_000)
    for _ in range(2):
        assert look(server) is Arrival.WHOLE
