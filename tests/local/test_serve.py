"""`zerostrap serve`: Lambda's invoke API and a function URL, against raw requests."""

import json
import os
import signal
import socket
import threading
import time

import command
import support
from command import INVOKE
from support import ROOT, until, write

NULS = r"\0\0\0\0\0\0\0\0"


def together(count, work):
    """Runs `work(number)` that often at the same time; the results in order."""
    results = [None] * count

    def one(number):
        results[number] = work(number)

    threads = [threading.Thread(target=one, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return results


class Api(command.Case):
    def test_answers_are_lambda_s(self):
        self.script('handler() { printf \'[%s,%s]\' "$LAMBDA_RUNTIME_CLIENT_CONTEXT" "$1"; }\n')
        serving = self.serve()
        context = {"X-Amz-Client-Context": "eyJhIjoxfQ=="}
        for path in (INVOKE, "/2015-03-31/functions/other%20name/invocations?Qualifier=1"):
            reply = serving.request("POST", path, b"2", **context)
            self.assertEqual((reply.status, reply.json()), (200, [{"a": 1}, 2]))
            self.assertIsNone(reply.header("X-Amz-Function-Error"))
            self.assertEqual(reply.header("X-Amz-Executed-Version"), "$LATEST")
            self.assertIn(f"START RequestId: {reply.header('X-Amzn-Requestid')} ", serving.said())
        for path in ("/", "/2015-03-31/functions/function"):
            self.assertEqual(serving.request("POST", path, b"1").status, 404)

    def test_what_lambda_refuses_is_refused(self):
        self.script("handler() { echo ran >&2; echo 1; }\n")
        serving = self.serve()
        for event in ("{", "text", "{}{}", "[1,]", "{'a':1}", "nul", "01", '"a\tb"'):
            reply = serving.post(event)
            self.assertEqual(reply.status, 400, event)
            self.assertEqual(reply.header("X-Amzn-ErrorType"), "InvalidRequestContentException")
            self.assertEqual(sorted(reply.json()), ["Type", "message"])
            self.assertIn("Could not parse request body into json", reply.json()["message"])
        reply = serving.post("1", X_Amz_Client_Context="not base64")
        self.assertEqual(reply.status, 400)
        reply = serving.post("1", X_Amz_Invocation_Type="Never")
        self.assertEqual(reply.header("X-Amzn-ErrorType"), "InvalidParameterValueException")
        reply = serving.post("1", X_Amz_Invocation_Type="DryRun")
        self.assertEqual((reply.status, reply.body), (204, b""))
        self.assertIsNone(reply.header("Content-Length"))
        self.assertNotIn("ran", serving.said())
        # Nested as deep as it likes, JSON is JSON.
        deep = 200_000 * "[" + 200_000 * "]"
        self.assertEqual(serving.post(deep).status, 200)
        self.assertEqual(serving.post(deep[1:]).status, 400)

    def test_limits_are_lambda_s(self):
        self.script("handler() { echo ${#1}; }\n")
        serving = self.serve(AWS_LAMBDA_FUNCTION_NAME="f")
        largest = b'"' + 6_291_554 * b"x" + b'"'
        self.assertEqual(serving.post(largest).body, b"6291556")
        reply = serving.post(largest + b" ")
        self.assertEqual(reply.status, 413)
        self.assertEqual(reply.header("X-Amzn-ErrorType"), "RequestTooLargeException")
        reply = serving.post(largest[:1_048_576] + b'"', X_Amz_Invocation_Type="Event")
        self.assertEqual(reply.status, 413)

    def test_payload_that_is_empty_is_an_empty_object(self):
        self.script('handler() { echo "got $1" >&2; printf %s "$1"; }\n')
        serving = self.serve()
        self.assertEqual(serving.post("").body, b"{}")
        serving.post("", X_Amz_Invocation_Type="Event")
        until(lambda: serving.said().count("got {}\n") == 2, 30, "the queued event to be run")

    def test_queued_event_is_answered_at_once_and_run_afterwards(self):
        go = os.path.join(self.folder, "go")
        self.script(f"handler() {{ until [ -e {go} ]; do sleep 0.02; done; echo did $1 >&2; }}\n")
        serving = self.serve()
        reply = serving.post("7", X_Amz_Invocation_Type="Event")
        self.assertEqual((reply.status, reply.body), (202, b""))
        write(go, "")
        until(lambda: "did 7\n" in serving.said(), 30, "the event to be run")

    def test_function_error_and_end_of_the_log_are_returned(self):
        self.script(
            "handler() { for i in {1..200}; do echo 'a line of thirty bytes, or so' >&2; done\n"
            "echo last >&2; return 4; }\n"
        )
        serving = self.serve()
        reply = serving.post("1", X_Amz_Log_Type="Tail")
        self.assertEqual(reply.status, 200)
        self.assertEqual(reply.header("X-Amz-Function-Error"), "Unhandled")
        tail = serving.tail(reply)
        self.assertEqual(len(tail), 4096)
        self.assertIn("\nlast\n", tail)
        self.assertRegex(tail, r"REPORT RequestId: .*\n$")
        self.script("handler() { echo $1 >&2; echo 1; }\n")
        for event in ("11", "22"):
            tail = serving.tail(serving.post(event, X_Amz_Log_Type="Tail"))
            self.assertTrue(tail.startswith("START RequestId: "), tail)
            self.assertEqual(tail.count("START"), 1)
            self.assertIn(f"\n{event}\n", tail)
        self.assertIsNone(serving.post("1").header("X-Amz-Log-Result"))

    def test_bootstrap_that_died_or_is_overdue_is_replaced(self):
        self.script(
            "handler() { case $1 in 1) kill -9 $PPID; sleep 600 ;; 2) sleep 600 ;;\n"
            '*) echo "$1" ;; esac; }\n'
        )
        serving = self.serve("--timeout", "2")
        for _ in range(2):
            self.assertIn(b"Runtime.ExitError", serving.post("1").body)
            self.assertEqual(serving.post("3").body, b"3")
            # By the bootstrap's own watch, before anybody else has to.
            self.assertIn(b"Function.TimedOut", serving.post("2").body)
            self.assertEqual(serving.post("4").body, b"4")

    def test_callers_of_one_slot_wait_in_line(self):
        # The folder can be made by one at a time only.
        folder = os.path.join(self.folder, "running")
        self.script(f'handler() {{ mkdir {folder}; sleep 0.02; rmdir {folder}; echo "$1"; }}\n')
        serving = self.serve()
        bodies = together(8, lambda number: serving.post(str(number)).body)
        self.assertEqual(bodies, [str(number).encode() for number in range(8)])

    def test_each_event_goes_to_one_of_several_slots_and_callers_are_served_in_parallel(self):
        here = os.path.join(self.folder, "here")
        os.mkdir(here)
        # An event ends when four are at it: one after the other they would wait for ever.
        self.script(
            f'handler() {{ touch "{here}/$1"; echo "run $1" >&2\n'
            f'until [ "$(ls {here} | wc -l)" -ge 4 ]; do sleep 0.02; done; echo "$1"; }}\n'
        )
        serving = self.serve("--timeout", "60", AWS_LAMBDA_MAX_CONCURRENCY="4")
        bodies = together(4, lambda number: serving.post(str(number)).body)
        self.assertEqual(bodies, [b"0", b"1", b"2", b"3"])
        # More callers than slots: who comes too early waits for one.
        bodies = together(12, lambda number: serving.post(str(100 + number)).body)
        self.assertEqual(bodies, [str(100 + number).encode() for number in range(12)])
        said = serving.said()
        for number in [*range(4), *range(100, 112)]:
            self.assertEqual(said.count(f"run {number}\n"), 1, said)

    def test_time_out_of_one_slot_leaves_the_others_alone(self):
        self.script('handler() { [ "$1" != 1 ] || sleep 600; sleep 0.5; echo "$1"; }\n')
        serving = self.serve(
            "--timeout", "1.5", AWS_LAMBDA_MAX_CONCURRENCY="2", BOOTSTRAP_DEADLINE_MARGIN_MS="300"
        )
        bodies = together(2, lambda number: serving.post(str(number)).body)
        self.assertEqual(bodies[0], b"0")
        self.assertIn(b"timed out" if b"Sandbox" in bodies[1] else b"TimedOut", bodies[1])
        self.assertEqual(together(4, lambda number: serving.post("3").body), 4 * [b"3"])

    def test_edits_take_effect_at_the_next_event(self):
        self.script("handler() { echo old; }\n")
        outside = write(os.path.join(self.folder, "lib.sh"), "say() { echo 1; }\n")
        serving = self.serve()
        self.assertEqual(serving.post("1").body, b"old")
        # The times of its content say that nothing happened.
        path = os.path.join(self.task, "function.sh")
        status = os.stat(path)
        self.script("handler() { echo new; }\n")
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
        self.assertEqual(serving.post("1").body, b"new")
        # A file behind a link, out of the folder.
        os.symlink(outside, os.path.join(self.task, "lib.sh"))
        self.script(". ./lib.sh; handler() { say; }\n")
        self.assertEqual(serving.post("1").body, b"1")
        write(outside, "say() { echo 2; }\n")
        self.assertEqual(serving.post("1").body, b"2")
        # One that is gone, and one that was put in its place by a build.
        os.unlink(os.path.join(self.task, "lib.sh"))
        self.assertIn(b"Runtime.HandlerInitFailed", serving.post("1").body)
        write(os.path.join(self.task, "lib.sh.new"), "say() { echo 3; }\n")
        os.replace(os.path.join(self.task, "lib.sh.new"), os.path.join(self.task, "lib.sh"))
        self.assertEqual(serving.post("1").body, b"3")
        # Nothing changed: the same process.
        self.script("echo init >&2; handler() { echo 1; }\n")
        for _ in range(3):
            serving.post("1")
        self.assertEqual(serving.said().count("init\n"), 1)

    def test_links_set_to_another_folder_or_bootstrap_are_followed_at_the_next_event(self):
        for name in ("old", "new"):
            task = os.path.join(self.folder, name, "function.sh")
            write(task, f"handler() {{ echo {name} $LAMBDA_TASK_ROOT; }}\n")
            own = os.path.join(self.folder, name, "bootstrap")
            write(own, f"#!/bin/sh\necho by {name} >&2; exec {command.bootstrap()}\n", 0o755)

        def lead(link, target):
            os.symlink(os.path.join(self.folder, target), self.folder + "/made")
            os.replace(self.folder + "/made", os.path.join(self.folder, link))

        lead("link", "old")
        lead("own", "old/bootstrap")
        serving = self.serve("--task", f"{self.folder}/link", "--bootstrap", f"{self.folder}/own")
        self.assertEqual(serving.post("1").body.decode(), f"old {self.folder}/old")
        lead("link", "new")
        self.assertEqual(serving.post("1").body.decode(), f"new {self.folder}/new")
        self.assertNotIn("by new\n", serving.said())
        lead("own", "new/bootstrap")
        serving.post("1")
        self.assertIn("by new\n", serving.said())

    def test_rebuilt_bootstrap_is_started(self):
        self.script("handler() { echo 1; }\n")
        own = os.path.join(self.folder, "bootstrap")
        for _ in range(2):
            support.shutil.copy(command.bootstrap(), own + ".new")
            os.replace(own + ".new", own)
            if _ == 0:
                serving = self.serve("--bootstrap", own)
            self.assertEqual(serving.post("1").body, b"1")
        self.assertEqual(serving.said().count("Init Duration"), 2)

    def test_foreign_pages_and_names_are_refused(self):
        self.script("handler() { echo ran >&2; echo 1; }\n")
        serving = self.serve()
        port = serving.port
        for method, path in (("POST", INVOKE), ("GET", "/lambda-url/")):
            for headers in (
                {"Host": "evil.example"},
                {"Host": f"evil.example:{port}"},
                {"Host": "127.0.0.1.evil.example"},
                {"Host": "localhost.evil.example"},
                {"Host": "192.168.0.1"},
                {"Origin": "http://evil.example"},
                {"Origin": "https://localhost.evil.example"},
                {"Origin": "null"},
                {"Sec-Fetch-Site": "cross-site"},
            ):
                reply = serving.request(method, path, b"1" if method == "POST" else b"", **headers)
                self.assertEqual(reply.status, 403, headers)
                self.assertIsNone(reply.header("Access-Control-Allow-Origin"))
        self.assertNotIn("ran", serving.said())
        for headers in (
            {"Host": "localhost"},
            {"Host": f"LOCALHOST:{port}"},
            {"Host": "127.0.0.1"},
            {"Host": f"[::1]:{port}"},
            {"Host": "[::1]"},
            {"Host": f"app.localhost:{port}"},
            {"Origin": "http://localhost:3000"},
            {"Origin": f"http://127.0.0.1:{port}", "Sec-Fetch-Site": "same-origin"},
        ):
            self.assertEqual(serving.post("1", **headers).status, 200, headers)

    def test_request_that_is_not_http_gets_400(self):
        self.script()
        serving = self.serve()
        self.assertEqual(serving.raw(b"GET / HTTP/1.1\nHost: localhost\n\n").status, 400)


class End(command.Case):
    def test_interrupt_leaves_nothing_and_prints_nothing(self):
        self.script("handler() { setsid sleep 600 & sleep 600 & sleep 600; }\n")
        make = ["make", "-s", "serve", f"TASK={self.task}", "PORT=0"]
        for words, status in ((None, 0), (make, -signal.SIGINT)):
            serving = self.serve() if words is None else command.Serving(words, ROOT, {})
            self.addCleanup(serving.end)
            with socket.create_connection(("127.0.0.1", serving.port)) as client:
                client.sendall(f"POST {INVOKE} HTTP/1.1\r\nContent-Length: 1\r\n\r\n1".encode())
                # The command, its worker, the bootstrap, the shell, its subshell, three sleeps.
                until(lambda: len(serving.processes()) >= 8, 60, "the handler to run")
                self.assertEqual(serving.interrupt(), status)
                until(lambda: not serving.processes(), 30, "all to be gone")
            lines = [line for line in serving.said().splitlines() if line]
            kinds = {line.split()[0] for line in lines}
            self.assertEqual(kinds, {"Serving", "Function", "START"}, lines)

    def test_nothing_is_left_when_the_command_is_killed(self):
        self.script("handler() { setsid sleep 600 & sleep 600; }\n")
        for number in (signal.SIGTERM, signal.SIGKILL):
            serving = self.serve()
            with socket.create_connection(("127.0.0.1", serving.port)) as client:
                client.sendall(f"POST {INVOKE} HTTP/1.1\r\nContent-Length: 1\r\n\r\n1".encode())
                until(lambda: len(serving.processes()) >= 7, 60, "the handler to run")
                serving.process.send_signal(number)
                serving.process.wait(30)
                until(lambda: not serving.processes(), 30, "all to be gone")

    def test_port_that_is_taken_is_told(self):
        self.script()
        serving = self.serve()
        done = self.command("serve", "--port", str(serving.port))
        self.assertEqual(done.returncode, 2)
        self.assertIn(f"cannot listen on port {serving.port}", done.stderr)


class Url(command.Case):
    def test_request_becomes_an_event_of_format_2(self):
        self.script()
        serving = self.serve()
        reply = serving.request(
            "PUT",
            "/lambda-url/a%20b/c?x=1&y=%41+b&x=2&z",
            b'{"k":1}',
            Content_Type="application/json",
            Cookie="one=1; two=2",
            User_Agent="curl/8",
            X_Own="first",
            x_own="second",
        )
        self.assertEqual(reply.status, 200)
        self.assertEqual(reply.header("Content-Type"), "application/json")
        event = reply.json()
        self.assertEqual(event["version"], "2.0")
        self.assertEqual(event["routeKey"], "$default")
        self.assertEqual(event["rawPath"], "/a%20b/c")
        self.assertEqual(event["rawQueryString"], "x=1&y=%41+b&x=2&z")
        self.assertEqual(event["queryStringParameters"], {"x": "1,2", "y": "A b", "z": ""})
        self.assertEqual(event["cookies"], ["one=1", "two=2"])
        self.assertEqual((event["body"], event["isBase64Encoded"]), ('{"k":1}', False))
        self.assertEqual(event["headers"]["x-own"], "first,second")
        self.assertEqual(event["headers"]["content-type"], "application/json")
        self.assertNotIn("cookie", event["headers"])
        context = event["requestContext"]
        self.assertEqual(context["http"]["method"], "PUT")
        self.assertEqual(context["http"]["path"], "/a%20b/c")
        self.assertEqual(context["http"]["userAgent"], "curl/8")
        self.assertEqual(context["http"]["sourceIp"], "127.0.0.1")
        self.assertIn(context["requestId"], serving.said())
        self.assertEqual(
            context["time"],
            time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime(context["timeEpoch"] / 1000)),
        )
        # Bytes that are no text, and forms, arrive in base64.
        for kind, body in (("image/png", b"\x89PNG\0\xff"), ("", b"a=1")):
            event = serving.request("POST", "/lambda-url/", body, Content_Type=kind).json()
            self.assertTrue(event["isBase64Encoded"])
            self.assertEqual(command.base64.b64decode(event["body"]), body)
        event = serving.get("/lambda-url").json()
        self.assertEqual(event["rawPath"], "/")
        for absent in ("body", "cookies", "queryStringParameters"):
            self.assertNotIn(absent, event)

    def test_response_becomes_a_page(self):
        page = os.path.join(self.folder, "page")
        self.script(f"handler() {{ cat {page}; }}\n")
        serving = self.serve()

        def shown(document, method="GET"):
            write(page, document if isinstance(document, str) else json.dumps(document))
            return serving.request(method, "/lambda-url/")

        reply = shown(
            {
                "statusCode": 201,
                "headers": {"Content-Type": "text/html", "X-Number": 3, "Connection": "upgrade"},
                "cookies": ["a=1", "b=2; Secure"],
                "body": "<h1>größe</h1>",
            }
        )
        self.assertEqual((reply.status, reply.body.decode()), (201, "<h1>größe</h1>"))
        self.assertEqual(reply.header("Content-Type"), "text/html")
        self.assertEqual(reply.header("X-Number"), "3")
        self.assertIsNone(reply.header("Connection"))
        cookies = [value for name, value in reply.headers if name == "Set-Cookie"]
        self.assertEqual(cookies, ["a=1", "b=2; Secure"])
        reply = shown({"statusCode": 200, "body": "AP8=", "isBase64Encoded": True})
        self.assertEqual(
            (reply.body, reply.header("Content-Type")), (b"\0\xff", "application/json")
        )
        reply = shown({"statusCode": 302, "headers": {"Location": "/x"}})
        self.assertEqual((reply.status, reply.header("Location")), (302, "/x"))
        for document in ({"a": 1}, [1], "text in quotes"):
            reply = shown(json.dumps(document))
            self.assertEqual((reply.status, reply.json()), (200, document))
        reply = shown({"statusCode": 200, "body": "abc"}, "HEAD")
        self.assertEqual((reply.header("Content-Length"), reply.body), ("3", b""))
        # No header may bring another one along.
        reply = shown({"statusCode": 200, "headers": {"X-A": "1\r\nX-B: 2", "X: Y": "1"}})
        self.assertIsNone(reply.header("X-B"))
        for broken in ("no JSON", {"statusCode": "many"}, {"statusCode": 200, "body": {}}):
            reply = shown(broken)
            self.assertEqual((reply.status, reply.body), (502, b"Internal Server Error"))
        self.assertIn("a function URL shows 502 for it", serving.said())
        os.unlink(page)
        self.assertEqual(shown.__call__ and serving.get("/lambda-url/").status, 502)

    def test_stream_is_shown_as_it_comes(self):
        go = os.path.join(self.folder, "go")
        self.script(
            'handler() { printf \'{"statusCode":203,"headers":{"Content-Type":"text/plain",\'\n'
            f'printf \'"X-Own":"1"}},"cookies":["a=1"]}}{NULS}one\'\n'
            f"until [ -e {go} ]; do sleep 0.02; done; printf two; }}\n"
        )
        serving = self.serve(
            BOOTSTRAP_RESPONSE_MODE="streaming",
            BOOTSTRAP_CONTENT_TYPE="application/vnd.awslambda.http-integration-response",
        )
        with socket.create_connection(("127.0.0.1", serving.port), timeout=60) as client:
            client.sendall(
                b"GET /lambda-url/ HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
            )
            data = b""
            while not data.endswith(b"\r\n3\r\none\r\n"):
                part = client.recv(65536)
                self.assertTrue(part, data)
                data += part
            write(go, "")
            while part := client.recv(65536):
                data += part
        reply = command.Reply(data)
        self.assertEqual((reply.status, reply.header("X-Own")), (203, "1"))
        self.assertEqual(reply.header("Set-Cookie"), "a=1")
        self.assertEqual(reply.header("Content-Type"), "text/plain")
        self.assertEqual(reply.header("Transfer-Encoding"), "chunked")
        self.assertEqual(reply.body, b"3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n")

    def test_stream_without_a_prelude_is_shown_as_its_type_says(self):
        self.script("handler() { printf '<p>'; }\n")
        serving = self.serve(
            BOOTSTRAP_RESPONSE_MODE="streaming", BOOTSTRAP_CONTENT_TYPE="text/html"
        )
        reply = serving.get("/lambda-url/")
        self.assertEqual((reply.status, reply.header("Content-Type")), (200, "text/html"))
        self.assertEqual(reply.body, b"3\r\n<p>\r\n0\r\n\r\n")

    def test_stream_that_fails_is_cut_off(self):
        self.script("handler() { printf one; return 3; }\n")
        serving = self.serve(BOOTSTRAP_RESPONSE_MODE="streaming")
        self.assertEqual(serving.get("/lambda-url/").body, b"3\r\none\r\n")

    def test_prelude_that_is_none_is_told(self):
        self.script("handler() { printf '%20000s' x; }\n")
        serving = self.serve(
            BOOTSTRAP_RESPONSE_MODE="streaming",
            BOOTSTRAP_CONTENT_TYPE="application/vnd.awslambda.http-integration-response",
        )
        self.assertEqual(serving.get("/lambda-url/").status, 502)
        self.assertIn("note: no eight NUL bytes end the stream's prelude", serving.said())

    def test_function_error_is_502(self):
        self.script("handler() { return 3; }\n")
        reply = self.serve().get("/lambda-url/")
        self.assertEqual((reply.status, reply.body), (502, b"Internal Server Error"))
