"""How many responses are lost to a server that closes after each reply and does not say so.

The server answers by HTTP/1.1, does not announce that it closes, and does so after a while in which
it reads nothing. What the client sent meanwhile nobody receives: it is for the client to know.
"""

import collections
import os
import socket
import time

from hosts import Process

# Seconds from a reply to the end of its connection.
DELAYS = {"at once": 0, "after 50 us": 50e-6, "after 1 ms": 1e-3}

Count = collections.namedtuple("Count", "lost twice unasked")
NONE = Count(0, 0, 0)

EVENT = (
    b"HTTP/1.1 200 OK\r\nLambda-Runtime-Aws-Request-Id: %b\r\n"
    b"Lambda-Runtime-Deadline-Ms: %d\r\nContent-Length: 1\r\n\r\n1"
)
ACCEPTED = b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n"
PATIENCE = 10


def measure(program, events, delay):
    """Serves `events` events to a function; how many responses did not come, came twice, and how
    many events were never asked for."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(PATIENCE)
        api = f"127.0.0.1:{listener.getsockname()[1]}"
        client = Process([program], {"AWS_LAMBDA_RUNTIME_API": api, "PATH": os.environ["PATH"]})
        try:
            return serve(listener, events, delay)
        finally:
            client.end()


def serve(listener, events, delay):
    answers = collections.Counter()
    delivered = 0
    while True:
        try:
            connection, _ = listener.accept()
        except TimeoutError:
            break
        with connection:
            connection.settimeout(PATIENCE)
            path = requested(connection)
            if path is None:
                continue
            if path.endswith(b"/next"):
                if delivered == events:
                    break
                delivered += 1
                deadline = int((time.time() + 60) * 1000)
                connection.sendall(EVENT % (b"%d" % delivered, deadline))
            else:
                answers[path.split(b"/")[-2]] += 1
                connection.sendall(ACCEPTED)
            # Sleeping takes longer than that, and is less exact.
            until = time.perf_counter() + delay
            while time.perf_counter() < until:
                pass
    twice = sum(number - 1 for number in answers.values())
    return Count(delivered - len(answers), twice, events - delivered)


def requested(connection):
    """Reads one request, whose body is as short as the events; its path. None if there is none."""
    received = b""
    while True:
        try:
            part = connection.recv(65_536)
        except OSError:
            return None
        if not part:
            return None
        received += part
        head, end, body = received.partition(b"\r\n\r\n")
        length = head.lower().partition(b"content-length:")[2].split(b"\r\n")[0]
        if end and len(body) >= int(length or 0):
            return head.split(b" ")[1]


def report(program, events):
    """The measurement for people; the exit status."""
    counts = {name: measure(program, events, delay) for name, delay in DELAYS.items()}
    print(f"{'closes':12}  {'events':>7}  {'lost':>7}  {'twice':>7}  {'unasked':>7}")
    for name, count in counts.items():
        print(f"{name:12}  {events:7}  {count.lost:7}  {count.twice:7}  {count.unasked:7}")
    return 0 if all(count == NONE for count in counts.values()) else 1
