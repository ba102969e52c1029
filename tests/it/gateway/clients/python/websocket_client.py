"""Talks to an echo behind a gateway, and tells what it met: URI, port, token, authority."""

import json
import socket
import ssl
import sys

from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

uri, port, token, authority = sys.argv[1:5]
LIMIT = 20


def open_with(*fields):
    return connect(
        uri,
        sock=socket.create_connection(("127.0.0.1", int(port)), LIMIT),
        ssl=ssl.create_default_context(cafile=authority) if uri.startswith("wss:") else None,
        additional_headers=list(fields),
        subprotocols=["chat"],
        open_timeout=LIMIT,
        max_size=None,
    )


def refusal(*fields):
    try:
        with open_with(*fields):
            return "let in"
    except InvalidStatus as refused:
        return [refused.response.status_code, refused.response.body.decode()]


told = {"refused": [refusal(), refusal(("Approov-Token", token[:-4] + "AAAA"))]}
with open_with(("Approov-Token", token)) as connection:
    told["greeting"] = connection.recv(LIMIT)
    told["subprotocol"] = connection.subprotocol
    told["extensions"] = [extension.name for extension in connection.protocol.extensions]
    messages = ["", "h\u00e9llo", b"\x00\xff", "a" * 70_000, bytes(range(256)) * 8192]
    told["echoed"] = 0
    for message in messages:
        connection.send(message)
        told["echoed"] += connection.recv(LIMIT) == message
    # In fragments.
    connection.send(iter(["one ", "two ", "three"]))
    told["fragments"] = connection.recv(LIMIT)
    told["pong"] = connection.ping().wait(LIMIT)
    connection.send("bye")
    try:
        connection.recv(LIMIT)
    except ConnectionClosed as closed:
        told["closed"] = [closed.rcvd.code, closed.rcvd.reason]
print(json.dumps(told))
