"""A stand-in for the Terraform provider of AWS, so that `terraform init`, `validate` and `test` run
where the real one cannot be fetched. It has the real one's schema (aws_schema.py) and does nothing:
with mocked providers Terraform asks a provider for its schema and makes up the rest itself.

    standin_provider.py BINDINGS

It speaks gRPC, protocol 5, and prints one line: the value of TF_REATTACH_PROVIDERS with which
Terraform talks to a provider that is already running. The few messages are written by hand: each is
a list of numbered fields. It ends when its standard input does.
"""

import json
import os
import sys
from concurrent import futures

import grpc

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
from aws_schema import DATA, RESOURCES, Bindings  # noqa: E402


def number(value):
    """A protobuf varint."""
    parts = bytearray()
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    parts.append(value)
    return bytes(parts)


def field(index, value):
    """One field of a message: a number, or a length and bytes."""
    if isinstance(value, int):
        return number(index << 3) + number(value)
    if isinstance(value, str):
        value = value.encode()
    return number(index << 3 | 2) + number(len(value)) + value


def attribute(name, kind, how):
    message = field(1, name) + field(2, json.dumps(kind))
    if how == "required":
        return message + field(4, 1)
    if how in ("optional", "both"):
        message += field(5, 1)
    return message + (field(6, 1) if how in ("computed", "both") else b"")


def block(schema):
    message = b"".join(
        field(2, attribute(name, *rest)) for name, rest in sorted(schema["attributes"].items())
    )
    for name, (inner, most) in sorted(schema["blocks"].items()):
        # Timeouts are one object, everything else is a list with at most one or any number.
        nesting = 1 if name == "timeouts" else 2
        nested = field(1, name) + field(2, block(inner)) + field(3, nesting)
        message += field(3, nested + (field(5, most) if nesting == 2 and most else b""))
    return message


def schema_reply(bindings):
    reply = field(1, field(2, block(bindings.block("provider"))))
    for index, names, data in ((2, RESOURCES, False), (3, DATA, True)):
        for name in names:
            schema = field(2, block(bindings.block(name, data)))
            reply += field(index, field(1, f"aws_{name}") + field(2, schema))
    return reply


class Provider(grpc.GenericRpcHandler):
    def __init__(self, reply):
        self.reply = reply

    def service(self, call):
        name = call.method.rsplit("/", 1)[-1]

        def answer(request, _context):
            if name == "GetSchema":
                return self.reply
            # The configuration comes back as it was; every other reply is "no objection".
            return request if name == "PrepareProviderConfig" else b""

        if call.method.startswith("/tfplugin5.Provider/"):
            return grpc.unary_unary_rpc_method_handler(answer)
        return None


def main():
    server = grpc.server(futures.ThreadPoolExecutor(4))
    server.add_generic_rpc_handlers([Provider(schema_reply(Bindings(sys.argv[1])))])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    address = {"Network": "tcp", "String": f"127.0.0.1:{port}"}
    reattach = {
        "Protocol": "grpc",
        "ProtocolVersion": 5,
        "Pid": os.getpid(),
        "Test": True,
        "Addr": address,
    }
    print(json.dumps({"hashicorp/aws": reattach}), flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
