#!/usr/bin/env python3
"""What Node (llhttp) and curl make of responses: python3 tests/verdicts/peers.py VECTOR ...

A vector is a file below fuzz/corpus, as client/head-nul. Out: a line for each, `takes` or `refuses`
for Node and for curl, whichever are installed. By hand, for the table of docs/http-verdicts.md.
"""

import pathlib
import shutil
import socket
import subprocess
import sys
import threading

CORPUS = pathlib.Path(__file__).resolve().parents[2] / "fuzz/corpus"

NODE = """
const request = require('http').get(process.argv[1], response => {
  response.on('data', () => {});
  response.on('end', () => process.exit(response.complete ? 0 : 1));
  response.on('error', () => process.exit(1));
});
request.on('error', () => process.exit(1));
"""
CLIENTS = {
    "node": lambda url: ["node", "-e", NODE, url],
    "curl": lambda url: ["curl", "--silent", "--output", "/dev/null", "--max-time", "5", url],
}


def serve(listener, response):
    connection, _ = listener.accept()
    with connection:
        connection.recv(65_536)
        connection.sendall(response)
        connection.shutdown(socket.SHUT_WR)
        connection.settimeout(5)
        try:
            while connection.recv(65_536):
                pass
        except OSError:
            pass


def verdict(command, response):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve, args=(listener, response), daemon=True).start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        environment = {"PATH": "/usr/local/bin:/usr/bin:/bin"}
        done = subprocess.run(command(url), stderr=subprocess.DEVNULL, env=environment)
    return "takes" if done.returncode == 0 else "refuses"


def main():
    clients = {name: command for name, command in CLIENTS.items() if shutil.which(name)}
    for name in sys.argv[1:]:
        response = (CORPUS / name).read_bytes()[1 if name.startswith("client/") else 0 :]
        verdicts = (f"{client} {verdict(clients[client], response)}" for client in clients)
        print(f"{name}: {', '.join(verdicts)}", flush=True)


if __name__ == "__main__":
    main()
