"""Writes small ELF files, so that every refusal can be triggered without a compiler."""

import struct

MACHINES = {"x86_64": 62, "arm64": 183, "i386": 3, "riscv64": 243}
LOADERS = {"x86_64": "/lib64/ld-linux-x86-64.so.2", "arm64": "/lib/ld-linux-aarch64.so.1"}


def elf(arch, loader=None, needed=(), versions=(), runpath=None, kind=2):
    """An ELF file with a header and, if asked for, what the loader reads; it cannot run.

    `versions` are pairs of a library and a symbol version. `kind` 2 is a program, 3 a library or
    a position-independent program.
    """
    strings = bytearray(b"\0")

    def string(text):
        strings.extend(text.encode() + b"\0")
        return len(strings) - len(text) - 1

    dynamic = [(1, string(name)) for name in needed]
    if runpath is not None:
        dynamic.append((29, string(runpath)))
    verneed = b""
    for index, (library, symbol) in enumerate(versions):
        more = 32 if index + 1 < len(versions) else 0
        verneed += struct.pack("<HHIII", 1, 1, string(library), 16, more)
        verneed += struct.pack("<IHHII", 0, 0, 2, string(symbol), 0)

    headers = 1 + (loader is not None) + bool(dynamic or versions)
    at = 64 + 56 * headers
    loader_bytes = loader.encode() + b"\0" if loader else b""
    loader_at, at = at, at + len(loader_bytes)
    strings_at, at = at, at + len(strings)
    verneed_at, at = at, at + len(verneed)
    dynamic += [(5, strings_at), (10, len(strings))]
    if versions:
        dynamic += [(0x6FFFFFFE, verneed_at), (0x6FFFFFFF, len(versions))]
    table = b"".join(struct.pack("<QQ", *entry) for entry in [*dynamic, (0, 0)])
    total = at + len(table)

    def header(kind_of, offset, size):
        return struct.pack("<IIQQQQQQ", kind_of, 5, offset, offset, offset, size, size, 1)

    # Addresses equal offsets: one segment holds the whole file.
    programs = header(1, 0, total)
    if loader:
        programs += header(3, loader_at, len(loader_bytes))
    if len(dynamic) > 2:
        programs += header(2, at, len(table))
    ident = b"\x7fELF" + bytes([2, 1, 1]) + bytes(9)
    head = ident + struct.pack(
        "<HHIQQQIHHHHHH", kind, MACHINES[arch], 1, 0, 64, 0, 0, 64, 56, headers, 0, 0, 0
    )
    return head + programs + loader_bytes + bytes(strings) + verneed + table


def elf32():
    return b"\x7fELF" + bytes([1, 1, 1]) + bytes(9) + struct.pack("<HHI", 2, 3, 1) + bytes(32)
