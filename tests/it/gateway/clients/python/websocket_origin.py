"""A WebSocket server that greets, echoes, and closes when told "bye"."""

import json
import sys

from websockets.sync.server import serve


def say(what):
    print(json.dumps(what), flush=True)


def converse(connection):
    request = connection.request
    say({"path": request.path, "fields": sorted({name.lower() for name in request.headers})})
    connection.send("welcome")
    for message in connection:
        if message == "bye":
            connection.close(4001, "bye bye")
            return
        connection.send(message)


with serve(converse, "127.0.0.1", 0, subprotocols=["chat"], max_size=None) as server:
    say({"port": server.socket.getsockname()[1]})
    server.serve_forever()
