"""A gRPC server without a schema: messages are bytes, methods are found by name."""

import json
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import grpc

LIMIT = 20
released = threading.Event()


def say(what):
    print(json.dumps(what), flush=True)


def unary(request, context):
    context.send_initial_metadata([("x-began", "unary")])
    context.set_trailing_metadata([("x-ended", "unary"), ("x-bytes-bin", b"\x00\xff")])
    return request


def count(request, context):
    """The first number at once, the others when somebody says so."""
    context.set_trailing_metadata([("x-ended", "count")])
    yield b"1"
    released.wait(LIMIT)
    for number in range(2, int(request) + 1):
        yield str(number).encode()


def release(_request, _context):
    released.set()
    return b""


def chat(requests, context):
    context.set_trailing_metadata([("x-ended", "chat")])
    for request in requests:
        yield request.upper()


def fail(_request, context):
    context.set_trailing_metadata([("x-ended", "fail")])
    context.abort(grpc.StatusCode.FAILED_PRECONDITION, "not before ten o'clock, s\u00ed?")


def hang(_request, context):
    ended = threading.Event()
    context.add_callback(ended.set)
    yield b"begun"
    say({"cancelled": ended.wait(LIMIT)})


METHODS = {
    "/test.Echo/Unary": grpc.unary_unary_rpc_method_handler(unary),
    "/test.Echo/Count": grpc.unary_stream_rpc_method_handler(count),
    "/test.Echo/Release": grpc.unary_unary_rpc_method_handler(release),
    "/test.Echo/Chat": grpc.stream_stream_rpc_method_handler(chat),
    "/test.Echo/Fail": grpc.unary_unary_rpc_method_handler(fail),
    "/test.Echo/Hang": grpc.unary_stream_rpc_method_handler(hang),
}


class Echo(grpc.GenericRpcHandler):
    def service(self, details):
        say({"method": details.method, "fields": sorted({name for name, _ in details.invocation_metadata})})
        return METHODS.get(details.method)


server = grpc.server(ThreadPoolExecutor(max_workers=8))
server.add_generic_rpc_handlers([Echo()])
port = server.add_insecure_port("127.0.0.1:0")
server.start()
say({"port": port})
server.wait_for_termination()
