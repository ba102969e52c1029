"""Calls a gRPC server behind a gateway, and tells what it met: port, token, authority or "", name,
and "once" for a single call."""

import json
import sys

import grpc

port, token, authority, name, how_often = sys.argv[1:6]
LIMIT = 20
GENUINE = [("approov-token", token)]
FORGED = [("approov-token", token[:-4] + "AAAA")]

options = [("grpc.enable_http_proxy", 0)]
if authority:
    with open(authority, "rb") as file:
        credentials = grpc.ssl_channel_credentials(file.read())
    options.append(("grpc.ssl_target_name_override", name))
    channel = grpc.secure_channel(f"127.0.0.1:{port}", credentials, options)
else:
    channel = grpc.insecure_channel(f"127.0.0.1:{port}", options)


def trailers(call):
    """Those that the server has set itself."""
    return {key: str(value) for key, value in call.trailing_metadata() or () if key.startswith("x-")}


def failure(error):
    return [error.code().name, error.details()]


def unary(method, message, metadata):
    try:
        answer, call = channel.unary_unary(method).with_call(message, LIMIT, metadata)
        began = {key: value for key, value in call.initial_metadata() or ()}
        return {"answer": answer.decode("latin-1"), "began": began, "ended": trailers(call)}
    except grpc.RpcError as error:
        return {"failure": failure(error), "ended": trailers(error)}


def stream(call):
    answers = []
    try:
        for answer in call:
            answers.append(answer.decode())
        return {"answers": answers, "ended": trailers(call)}
    except grpc.RpcError as error:
        return {"answers": answers, "failure": failure(error)}


if how_often == "once":
    print(json.dumps(unary("/test.Echo/Unary", b"hello", GENUINE)))
    sys.exit()
told = {
    "unary": unary("/test.Echo/Unary", b"hello", GENUINE),
    "empty": unary("/test.Echo/Unary", b"", GENUINE),
    "large": len(unary("/test.Echo/Unary", b"a" * 3_000_000, GENUINE).get("answer", "")),
    "failed": unary("/test.Echo/Fail", b"", GENUINE),
    "unknown": unary("/test.Echo/Nothing", b"", GENUINE).get("failure"),
    "unrouted": unary("/elsewhere/Unary", b"", GENUINE).get("failure"),
    "without_token": unary("/test.Echo/Unary", b"hello", []).get("failure"),
    "forged": unary("/test.Echo/Unary", b"hello", FORGED).get("failure"),
    "without_token_large": unary("/test.Echo/Unary", b"a" * 3_000_000, []).get("failure"),
    "stream_without_token": stream(channel.unary_stream("/test.Echo/Count")(b"5", LIMIT)),
    "chat_without_token": stream(channel.stream_stream("/test.Echo/Chat")(iter([b"a", b"b"]), LIMIT)),
}
counting = channel.unary_stream("/test.Echo/Count")(b"5", LIMIT, GENUINE)
first = next(counting).decode()
# It has come though the origin waits for this before it goes on.
unary("/test.Echo/Release", b"", GENUINE)
told["count"] = {"first": first, **stream(counting)}
told["chat"] = stream(channel.stream_stream("/test.Echo/Chat")(iter([b"a", b"b", b"c"]), LIMIT, GENUINE))
hanging = channel.unary_stream("/test.Echo/Hang")(b"", LIMIT, GENUINE)
told["hang"] = next(hanging).decode()
hanging.cancel()
channel.close()
print(json.dumps(told))
