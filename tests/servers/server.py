"""A Runtime API as people write one on Python's http.server: python3 server.py PORT LIMIT_MS MANNERS

It has Lambda's invoke path beside it, for one event at a time, and /count for what went wrong.
MANNERS are words with commas between them:

  1.0      HTTP/1.0, http.server's own default: closes after each reply; answers to POST have no length
  chunked  events come in chunks
  close    `Connection: close` with each reply
  silent   closes after each reply without having said so
  early    answers a chunked POST when it has its head, and goes on reading
  refuse   the same with 400, and `fail` with 503
  polls    204 to every second /next, and a body after it, which no 204 has
  prefix   a path before the Runtime API's own
  bare     events without a length, which end with the connection
  switch   101 where an event is asked for
"""

import json
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PORT, LIMIT = int(sys.argv[1]), int(sys.argv[2]) / 1000
MANNERS = set(sys.argv[3].split(","))
PREFIX = "/.rt/function" if "prefix" in MANNERS else ""
INVOCATION = PREFIX + "/2018-06-01/runtime/invocation/"


class Event:
    def __init__(self, number, body):
        self.id, self.body, self.until = f"event-{number}", body, time.time() + LIMIT
        self.is_out, self.is_arriving, self.answer = False, False, None


class State:
    """The event that is being worked on, if any. `changed` guards it."""

    changed = threading.Condition()
    event = None
    events = polls = 0
    answered = set()
    count = {"lost": 0, "twice": 0}


class Api(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.0" if "1.0" in MANNERS else "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        if self.path == "/count":
            return self.reply(200, json.dumps(State.count).encode())
        if self.path != INVOCATION + "next":
            return self.reply(404, b"no such path")
        if "switch" in MANNERS:
            return self.reply(101, None)
        with State.changed:
            self.note_lost()
            State.polls += 1
            if "polls" in MANNERS and State.polls % 2:
                self.reply(204, None)
                # So do servers that have a body for every status; its length is not told either.
                return self.wfile.write(b"{}")
            State.changed.wait_for(lambda: State.event and not State.event.is_out)
            event = State.event
            event.is_out = True
        return self.reply(
            200,
            event.body,
            {
                "Lambda-Runtime-Aws-Request-Id": event.id,
                "Lambda-Runtime-Deadline-Ms": str(int(event.until * 1000)),
            },
        )

    def note_lost(self):
        """Who asks for an event while another is out believes that it was answered."""
        event = State.event
        if event and event.is_out and not event.is_arriving and event.answer is None:
            State.count["lost"] += 1
            event.answer = b'{"errorType":"Lost"}'
            State.changed.notify_all()

    def do_POST(self):
        if self.path.startswith("/2015-03-31/functions/"):
            return self.invoke(self.body())
        is_chunked = "chunked" in self.headers.get("Transfer-Encoding", "")
        is_early = is_chunked and MANNERS & {"early", "refuse"}
        id = self.path.removeprefix(INVOCATION).split("/")[0]
        with State.changed:
            if State.event and State.event.id == id:
                State.event.is_arriving = True
        if is_early:
            status = 200 if "early" in MANNERS else 503 if "fail" in MANNERS else 400
            self.reply(status, b"")
        status = self.take(id, self.body())
        if is_early:
            return None
        return self.reply(status, b'{"status":"OK"}', length="1.0" not in MANNERS)

    def invoke(self, body):
        with State.changed:
            State.events += 1
            event = State.event = Event(State.events, body)
            State.changed.notify_all()
            State.changed.wait_for(lambda: event.answer is not None, event.until - time.time())
            if event.answer is None:
                event.answer = b'{"errorType":"Sandbox.Timedout"}'
            State.event = None
        return self.reply(200, event.answer)

    def take(self, id, body):
        with State.changed:
            if body is not None and id in State.answered:
                State.count["twice"] += 1
            event = State.event
            if event is None or event.id != id or event.answer is not None:
                return 400
            event.answer = b'{"errorType":"Truncated"}' if body is None else body
            State.answered.add(id)
            State.changed.notify_all()
        return 202

    def body(self):
        """The body of a request; None if it was cut. http.server leaves chunks to its users."""
        if "Transfer-Encoding" not in self.headers:
            length = int(self.headers.get("Content-Length", 0))
            body = self.rfile.read(length)
            return body if len(body) == length else None
        body = []
        while size := self.rfile.readline().strip():
            if int(size, 16) == 0:
                # Trailers, and the empty line.
                while self.rfile.readline().strip():
                    pass
                return b"".join(body)
            body.append(self.rfile.read(int(size, 16)))
            self.rfile.readline()
        return None

    def reply(self, status, body, headers=None, length=True):
        is_event = headers is not None
        if "silent" in MANNERS:
            self.close_connection = True
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        if "close" in MANNERS:
            self.send_header("Connection", "close")
        if is_event and "bare" in MANNERS:
            self.close_connection = True
            length = False
        if is_event and "chunked" in MANNERS:
            self.send_header("Transfer-Encoding", "chunked")
            body = in_chunks(body)
        elif body is not None and length:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if body:
            self.wfile.write(body)


def in_chunks(body, size=65_000):
    parts = [body[at : at + size] for at in range(0, len(body), size)]
    return b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", PORT), Api).serve_forever()
