#!/usr/bin/env python3
"""An API and its clients, for tests of packages.

    load.py api PORT                       an API that answers every request with 200
    load.py clients URL-PORT TOKEN FILE    clients that send requests until FILE exists

The clients print one JSON line: how many requests were answered with 200 and how many were lost.
"""

import http.client
import json
import os
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

# A test that forgets to end the clients does not run for ever.
LONGEST = 300


class Api(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        body = b'{"ok":true}\n'
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET

    def log_message(self, *arguments):
        pass


class Clients:
    def __init__(self, port, token, end):
        self.port, self.token, self.end = port, token, end
        self.answered, self.lost, self.problems = 0, 0, []
        self.lock = threading.Lock()
        self.deadline = time.monotonic() + LONGEST

    def run(self, keep_alive):
        connection = None
        while not os.path.exists(self.end) and time.monotonic() < self.deadline:
            try:
                connection = connection or http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
                headers = {"Approov-Token": self.token}
                if not keep_alive:
                    headers["Connection"] = "close"
                connection.request("GET", "/load", headers=headers)
                response = connection.getresponse()
                response.read()
                with self.lock:
                    if response.status == 200:
                        self.answered += 1
                    else:
                        self.lost += 1
                        self.problems.append(f"status {response.status}")
                if response.will_close:
                    connection.close()
                    connection = None
            except (OSError, http.client.HTTPException) as error:
                with self.lock:
                    self.lost += 1
                    self.problems.append(repr(error))
                connection = None
            time.sleep(0.001)


def main():
    if sys.argv[1] == "api":
        server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[2])), Api)
        server.daemon_threads = True
        server.serve_forever()
    clients = Clients(int(sys.argv[2]), sys.argv[3], sys.argv[4])
    threads = [threading.Thread(target=clients.run, args=(number % 2 == 0,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(json.dumps({"answered": clients.answered, "lost": clients.lost, "problems": clients.problems[:5]}))
    sys.exit(0 if clients.lost == 0 and clients.answered > 0 else 1)


main()
