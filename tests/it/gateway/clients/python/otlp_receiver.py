"""A receiver of OTLP over HTTP that prints its port, and then the first span of a server."""

import asyncio
import json
import socket

from google.protobuf.json_format import MessageToJson
from oteltap import OtelTapHttpProtobufReceiver, OtelTapHttpProtobufReceiverSettings


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


async def main():
    port = free_port()
    settings = OtelTapHttpProtobufReceiverSettings(http_port=port)
    async with OtelTapHttpProtobufReceiver(settings) as receiver:
        print(json.dumps({"port": port}), flush=True)
        span = await receiver.await_trace(lambda span: span.kind == span.SPAN_KIND_SERVER)
        print(json.dumps({"span": json.loads(MessageToJson(span))}), flush=True)


asyncio.run(main())
