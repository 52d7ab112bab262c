#!/usr/bin/env python3
"""Packs a function for Lambda: the bootstrap and a folder become a zip, a layer or a file tree.

    pack.py zip   --bootstrap FILE --task DIR --handler NAME --arch ARCH --out FILE.zip
    pack.py layer --bootstrap FILE --out FILE.zip
    pack.py tree  --bootstrap FILE --task DIR --handler NAME --arch ARCH --out DIR

In: a bootstrap, a folder, the handler's name. Out: the package, and on standard output its size
and its sha256 in hex and in base64 (what Terraform calls source_code_hash). Whatever would fail
on Lambda is refused here: one sentence on standard error, exit status 1, nothing written.

The same input gives the same bytes: entries are sorted, times are fixed, modes are made from what
a file is and not from what the umask left. It never reads a clock, a user name or the network.
"""

import argparse
import base64
import contextlib
import hashlib
import os
import platform
import re
import signal
import stat
import struct
import subprocess
import sys
import tempfile
import zipfile
import zlib

# Lambda's limit for a function with its layers, unpacked.
UNPACKED_LIMIT = 262_144_000
# Above this the service takes a zip from S3 only.
DIRECT_UPLOAD_LIMIT = 52_428_800
# Lambda gives an init 10 s; a busy build machine may be slower than Lambda, but not for ever.
CHECK_SECONDS = 60
# 1980-01-01, the oldest date that a zip can hold.
EPOCH = (1980, 1, 1, 0, 0, 0)
EPOCH_SECONDS = 315_532_800

# Names of elf.h.
ET_EXEC = 2
PT_LOAD, PT_DYNAMIC, PT_INTERP = 1, 2, 3
DT_NEEDED, DT_STRTAB, DT_RPATH, DT_RUNPATH = 1, 5, 15, 29
DT_FLAGS_1, DF_1_PIE = 0x6FFFFFFB, 0x08000000
DT_VERNEED, DT_VERNEEDNUM = 0x6FFFFFFE, 0x6FFFFFFF
MACHINES = {62: "x86_64", 183: "arm64"}
LOADERS = {"x86_64": "/lib64/ld-linux-x86-64.so.2", "arm64": "/lib/ld-linux-aarch64.so.1"}

# What a program may count on in provided.al2023, which is Amazon Linux 2023's minimal image: the
# C and C++ runtimes, OpenSSL 3, zlib and curl. Short on purpose: a library that is missing there
# costs a failed function, one that is refused here is copied into lib/ or named by --library.
RUNTIME_LIBRARIES = frozenset(
    """ld-linux-x86-64.so.2 ld-linux-aarch64.so.1 libc.so.6 libm.so.6 libdl.so.2 libpthread.so.0
    librt.so.1 libresolv.so.2 libutil.so.1 libanl.so.1 libgcc_s.so.1 libstdc++.so.6 libz.so.1
    libssl.so.3 libcrypto.so.3 libcurl.so.4""".split()
)
# glibc 2.34 and the C++ runtime of gcc 11: symbols of a later version are not there.
RUNTIME_VERSIONS = {"GLIBC": (2, 34), "GLIBCXX": (3, 4, 29), "CXXABI": (1, 3, 13)}
# Interpreters that provided.al2023 has; any other needs a layer or an image.
INTERPRETERS = frozenset(["sh", "bash", "env", "awk", "gawk"])
SHELLS = frozenset(["sh", "bash", "dash", "ash", "ksh", "zsh"])

# deflate is a format, not a function: another zlib may pack the same bytes differently. This is
# what zlib 1.2.13 makes of the sample in `usual_zlib`.
USUAL_DEFLATE = "4bc458ab84729c5f38b95265a29f3bdcf8ef51db48cda1d49ec356a7b41f89d8"


class Refused(Exception):
    """One sentence: what is wrong, in which file, how to mend it."""


class Elf:
    """What the loader would look at in a 64-bit little-endian ELF file."""

    def __init__(self, data):
        self.data = data
        self.is64 = data[4:6] == b"\x02\x01"
        self.type, self.machine = struct.unpack_from("<HH", data, 16)
        self.interpreter, self.loads, dynamic = None, [], []
        if self.is64:
            (start,) = struct.unpack_from("<Q", data, 32)
            size, count = struct.unpack_from("<HH", data, 54)
            for at in range(start, start + size * count, size):
                kind, _, offset, address, _, length = struct.unpack_from("<IIQQQQ", data, at)
                if kind == PT_LOAD:
                    self.loads.append((address, offset, length))
                elif kind == PT_DYNAMIC:
                    dynamic = list(struct.iter_unpack("<QQ", data[offset : offset + length]))
                elif kind == PT_INTERP:
                    self.interpreter = data[offset : offset + length].rstrip(b"\0").decode()
        values = dict(dynamic)
        self.strings = self.offset(values[DT_STRTAB]) if DT_STRTAB in values else 0
        self.needed = [self.string(value) for tag, value in dynamic if tag == DT_NEEDED]
        paths = [self.string(value) for tag, value in dynamic if tag in (DT_RPATH, DT_RUNPATH)]
        self.search = [part for path in paths for part in path.split(":") if part]
        self.pie = bool(values.get(DT_FLAGS_1, 0) & DF_1_PIE)
        self.versions = []
        if DT_VERNEED in values:
            self.read_versions(self.offset(values[DT_VERNEED]), values.get(DT_VERNEEDNUM, 0))

    def offset(self, address):
        for start, offset, length in self.loads:
            if start <= address < start + length:
                return address - start + offset
        raise ValueError("an address outside of every segment")

    def string(self, index):
        start = self.strings + index
        return self.data[start : self.data.index(b"\0", start)].decode()

    def read_versions(self, at, count):
        for _ in range(count):
            _, names, library, first, following = struct.unpack_from("<HHIII", self.data, at)
            name_at = at + first
            for _ in range(names):
                name, step = struct.unpack_from("<II", self.data, name_at + 8)
                self.versions.append((self.string(library), self.string(name)))
                name_at += step
            if following == 0:
                break
            at += following

    def is_program(self):
        """A shared library has none of these three."""
        return self.type == ET_EXEC or self.interpreter is not None or self.pie

    def architecture(self):
        return MACHINES.get(self.machine, f"machine {self.machine}") if self.is64 else "32-bit"


class File:
    """One entry of the package: where it lies, what it is, what its mode will be."""

    def __init__(self, name, source):
        self.name, self.source = name, source
        status = os.lstat(source)
        self.is_link = stat.S_ISLNK(status.st_mode)
        self.is_folder = stat.S_ISDIR(status.st_mode)
        if not (self.is_link or self.is_folder or stat.S_ISREG(status.st_mode)):
            raise Refused(f"{source} is neither a file, a folder nor a link: take it out.")
        self.size = 0 if self.is_folder else status.st_size
        self.any_x = bool(status.st_mode & 0o111)

    def content(self):
        """A link's content is its target, as zip archives store it."""
        if self.is_folder:
            return b""
        if self.is_link:
            return os.fsencode(os.readlink(self.source))
        try:
            with open(self.source, "rb") as file:
                return file.read()
        except OSError as error:
            raise Refused(
                f"{self.source} cannot be read ({error.strerror}): make it readable or take it out."
            )

    def mode(self, content):
        if self.is_link:
            return stat.S_IFLNK | 0o777
        if self.is_folder:
            return stat.S_IFDIR | 0o755
        # The x bit gets lost on its way through Windows, artefact stores and some checkouts; what
        # begins like a program is one.
        program = self.any_x or content.startswith((b"#!", b"\x7fELF"))
        return stat.S_IFREG | (0o755 if program else 0o644)


def elf_of(source, content):
    """The ELF header of a file, or None when it is something else."""
    if not content.startswith(b"\x7fELF"):
        return None
    try:
        return Elf(content)
    except (struct.error, ValueError, KeyError):
        raise Refused(f"{source} is a damaged ELF file: build or copy it again.")


def walk(task):
    """Every entry of the folder, sorted by the bytes of its name."""
    found = []

    def failed(error):
        raise Refused(f"{error.filename} cannot be read ({error.strerror}): mend its mode.")

    for folder, folders, files in os.walk(task, onerror=failed):
        for leaf in folders + files:
            source = os.path.join(folder, leaf)
            name = os.path.relpath(source, task)
            try:
                name.encode()
            except UnicodeEncodeError:
                raise Refused(f"{source!r} has a name that is not UTF-8: rename it.")
            found.append(File(name, source))
    return sorted(found, key=lambda file: file.name.encode())


def within(path, folder):
    """Whether a path leads into the folder once every link is followed."""
    root = os.path.realpath(folder)
    return os.path.commonpath([root, os.path.realpath(path)]) == root


def check_link(file, task):
    target = os.readlink(file.source)
    # By its words as well: out of the folder and back in by its name here does not lead back there.
    words = os.path.normpath(os.path.join(os.path.dirname(file.name), target))
    if words.split("/")[0] in ("..", "") or not within(file.source, task):
        raise Refused(
            f"{file.source} is a link to {target}, out of the folder, which will not be on Lambda: "
            "copy the file in its place."
        )
    if not os.path.exists(file.source):
        raise Refused(
            f"{file.source} is a link to {target}, which is not there: mend or remove it."
        )


def interpreter_of(content):
    """The words of the #! line, or none."""
    if not content.startswith(b"#!"):
        return []
    return content.split(b"\n", 1)[0][2:].decode("utf-8", "replace").split()


def check_line_ends(file, content):
    words = [os.path.basename(word) for word in interpreter_of(content)[:2]]
    shell = file.name.endswith(".sh") or bool(SHELLS.intersection(words))
    first = content.split(b"\n", 1)[0]
    if words and first.endswith(b"\r"):
        line = 1
    elif shell and b"\r\n" in content:
        line = content[: content.index(b"\r\n")].count(b"\n") + 1
    else:
        return
    raise Refused(
        f"{file.source} has a Windows line end (CRLF) in line {line}, which Linux takes for a part "
        f"of the text: sed -i 's/\\r$//' {file.source}"
    )


def check_program(file, elf, arch, task, allowed):
    """Refuses a program that provided.al2023 could not load."""
    if elf.architecture() != arch:
        raise Refused(
            f"{file.source} is a program for {elf.architecture()} and the function is for {arch}: "
            f"build it for {arch} or pack with --arch."
        )
    if elf.interpreter is not None and elf.interpreter != LOADERS[arch]:
        raise Refused(
            f"{file.source} is started by {elf.interpreter}, which provided.al2023 lacks: link it "
            "statically, or against glibc."
        )
    waiting, seen = [(file.source, file.name, elf)], set()
    while waiting:
        source, name, elf = waiting.pop()
        check_versions(source, elf)
        for library in elf.needed:
            if library in seen or library in RUNTIME_LIBRARIES or library in allowed:
                continue
            seen.add(library)
            found = find_library(library, name, elf, arch, task)
            if found is None:
                raise Refused(
                    f"{source} needs {library}, which provided.al2023 lacks: link it statically, "
                    f"put the library into lib/ of the folder, or say --library {library} when a "
                    "layer brings it."
                )
            waiting.append(found)


def check_versions(source, elf):
    for library, symbol in elf.versions:
        family, _, version = symbol.partition("_")
        has = RUNTIME_VERSIONS.get(family)
        if has is None or not re.fullmatch(r"[0-9.]+", version):
            continue
        if tuple(int(part) for part in version.split(".")) > has:
            newest = ".".join(str(part) for part in has)
            raise Refused(
                f"{source} needs {symbol} of {library} and provided.al2023 ends at {family}_"
                f"{newest}: build it on Amazon Linux 2023 or older, or link it statically."
            )


def find_library(library, name, elf, arch, task):
    """The folders of a package that the loader searches: RUNPATH, then LD_LIBRARY_PATH."""
    origin = os.path.join("/var/task", os.path.dirname(name))
    search = [re.sub(r"\$\{?ORIGIN\}?", lambda _: origin, part) for part in elf.search]
    for folder in search + ["/var/task", "/var/task/lib"]:
        inside = os.path.relpath(os.path.normpath(folder), "/var/task")
        if inside.startswith(".."):
            continue
        source = os.path.normpath(os.path.join(task, inside, library))
        if os.path.isfile(source):
            with open(source, "rb") as file:
                found = elf_of(source, file.read())
            if found is not None and found.architecture() == arch:
                return source, os.path.relpath(source, task), found
    return None


def find_handler(task, handler):
    """Contract: a file of exactly that name, else the function of a script. Returns the file and
    whether it is run as a program."""
    if re.search(r"\s", handler) or not 0 < len(handler) <= 128:
        raise Refused(f"handler {handler!r}: Lambda takes 1 to 128 characters without a space.")
    base, _, function = handler.rpartition(".")
    for name in (handler, f"{base}.sh"):
        source = os.path.normpath(os.path.join(task, name))
        inside = not os.path.relpath(source, task).startswith("..") and not os.path.isabs(name)
        if not inside or not os.path.isfile(source):
            continue
        if name == handler:
            return os.path.realpath(source), True
        if base and re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", function):
            return os.path.realpath(source), False
    raise Refused(
        f"handler {handler} is neither a file of that name in {task} nor a function of a script "
        f"{base or handler}.sh there: name the file, or SCRIPT.FUNCTION without the .sh."
    )


def collect(arguments):
    """Everything that goes into a function's package, as (entry, content), each one checked."""
    task, arch = arguments.task, arguments.arch
    if not os.path.isdir(task):
        raise Refused(f"{task} is not a folder: --task takes the function's folder.")
    if within(arguments.out, task):
        raise Refused(
            f"{arguments.out} lies in {task} and would be packed itself: write elsewhere."
        )
    entries = walk(task)
    handler, is_program = find_handler(task, arguments.handler)
    bootstrap = bootstrap_entry(arguments.bootstrap, arch)
    entries = [entry for entry in entries if not same_bootstrap(entry, bootstrap)]
    if not arguments.without_bootstrap:
        entries.insert(0, bootstrap)
    total = sum(entry.size for entry in entries)
    if total > UNPACKED_LIMIT:
        largest = max(entries, key=lambda entry: entry.size)
        raise Refused(
            f"{task} unpacks to {total} bytes and Lambda takes {UNPACKED_LIMIT}: take out what the "
            f"function does not need, beginning with {largest.source} ({largest.size} bytes), or "
            "deploy an image."
        )
    package = []
    for entry in entries:
        content = entry.content()
        if entry.is_link:
            check_link(entry, task)
        else:
            check_line_ends(entry, content)
            elf = elf_of(entry.source, content)
            if elf is not None and elf.is_program():
                check_program(entry, elf, arch, task, arguments.library)
            if is_program and os.path.realpath(entry.source) == handler:
                check_handler_program(entry, content)
        package.append((entry, content))
    return package


def check_handler_program(entry, content):
    if not content.startswith((b"#!", b"\x7fELF")):
        raise Refused(
            f"{entry.source} is the handler and neither an ELF program nor a script that begins "
            "with #!: give it a first line such as #!/bin/sh."
        )
    words = [os.path.basename(word) for word in interpreter_of(content)[:2]]
    name = words[-1] if words[:1] == ["env"] else "".join(words[:1])
    if name and name not in INTERPRETERS:
        note(f"{entry.source} is run by {name}, which provided.al2023 lacks: bring it in a layer.")


def bootstrap_entry(path, arch=None):
    """The bootstrap itself: a static program, which needs nothing of the image it lands in."""
    if not os.path.isfile(path):
        raise Refused(f"{path} is not there: make ARCH={arch or 'arm64'} builds the bootstrap.")
    entry = File("bootstrap", os.path.realpath(path))
    elf = elf_of(path, entry.content())
    if elf is None or not elf.is_program() or elf.interpreter is not None or elf.needed:
        raise Refused(f"{path} is not a static program: --bootstrap takes what make builds.")
    if elf.architecture() not in (arch, *([] if arch else LOADERS)):
        raise Refused(
            f"{path} is a bootstrap for {elf.architecture()} and the function is for {arch}: "
            f"make ARCH={arch}"
        )
    return entry


def same_bootstrap(entry, bootstrap):
    """A bootstrap that lies in the folder already is packed once; another one is a mistake."""
    if entry.name != "bootstrap":
        return False
    if entry.is_folder or entry.is_link or entry.content() != bootstrap.content():
        raise Refused(
            f"{entry.source} is another bootstrap than {bootstrap.source}, which takes its place "
            "in the package: remove it from the folder."
        )
    return True


def note(text):
    print(f"note: {text}", file=sys.stderr)


def usual_zlib():
    sample = b"".join(b"%d:%d\n" % (i, i * i % 9973) for i in range(20_000))
    return hashlib.sha256(zlib.compress(sample, 9)).hexdigest() == USUAL_DEFLATE


def archive(package, stored):
    """The bytes of the zip go to a file object made by the caller."""
    method = zipfile.ZIP_STORED if stored else zipfile.ZIP_DEFLATED

    def write(file):
        with zipfile.ZipFile(file, "w") as packed:
            for entry, content in package:
                info = zipfile.ZipInfo(entry.name + ("/" if entry.is_folder else ""), EPOCH)
                info.create_system = 3  # Unix: the upper half of external_attr is a mode.
                info.external_attr = entry.mode(content) << 16
                empty = entry.is_folder or entry.is_link
                packed.writestr(info, content, zipfile.ZIP_STORED if empty else method, 9)

    return write


def lay_out(package, folder):
    """Writes the package as files: what Lambda would unpack."""
    os.chmod(folder, 0o755)
    for entry, content in package:
        path = os.path.join(folder, entry.name)
        if entry.is_folder:
            os.mkdir(path)
        elif entry.is_link:
            os.symlink(content, path)
        else:
            with open(path, "xb") as file:
                file.write(content)
        if not entry.is_link:
            os.chmod(path, stat.S_IMODE(entry.mode(content)))
    # Folders last, as writing into them changes their time.
    for entry, _ in reversed(package):
        path = os.path.join(folder, entry.name)
        os.utime(path, (EPOCH_SECONDS, EPOCH_SECONDS), follow_symlinks=False)
    os.utime(folder, (EPOCH_SECONDS, EPOCH_SECONDS))


def preflight(package, arguments):
    """Runs `bootstrap --check` on the package laid out as on Lambda, with the code of init."""
    here = {"aarch64": "arm64"}.get(platform.machine(), platform.machine())
    if arguments.no_check:
        return
    if arguments.arch != here:
        path, is_program = find_handler(arguments.task, arguments.handler)
        with open(path, "rb") as file:
            compiled = is_program and file.read(4) == b"\x7fELF"
        if compiled or arguments.check_with is None:
            note(
                f"bootstrap --check was not run, as the package is for {arguments.arch} and this "
                f"machine is {here}; scripts can be checked with --check-with."
            )
            return
    with staged(arguments.out) as folder:
        lay_out(package, folder)
        own = arguments.bootstrap if arguments.without_bootstrap else f"{folder}/bootstrap"
        program = arguments.check_with or own
        status, words = run_check(os.path.abspath(program), folder, arguments.handler)
        # The last line is the bootstrap's own; what the script wrote comes before it.
        lines = words.decode("utf-8", "replace").replace(folder, arguments.task).splitlines()
    if status is None:
        raise Refused(
            f"handler {arguments.handler} of {arguments.task} was not ready after {CHECK_SECONDS} "
            "s: Lambda gives an init 10 s, so do less when the script is loaded."
        )
    if status != 0:
        raise Refused(
            f"handler {arguments.handler} of {arguments.task} would not start on Lambda: "
            f"{lines[-1] if lines else f'bootstrap --check gave {status} and no word.'}"
        )


def run_check(program, folder, handler):
    """The exit status, or None when it did not end in time, and what it said."""
    # A session of its own, by which everything that it starts can be found and ended.
    child = subprocess.Popen(
        [program, "--check"],
        cwd=folder,
        env=dict(os.environ, LAMBDA_TASK_ROOT=folder, _HANDLER=handler),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        words, _ = child.communicate(timeout=CHECK_SECONDS)
        return child.returncode, words
    except subprocess.TimeoutExpired:
        return None, b""
    finally:
        end_session(child.pid)
        child.wait()


def end_session(session):
    """A script's shell has a group of its own but stays in the session. The number cannot be taken
    by another one before its first process was waited for."""
    for name in os.listdir("/proc"):
        with contextlib.suppress(ValueError, ProcessLookupError):
            if os.getsid(int(name)) == session:
                os.kill(int(name), signal.SIGKILL)


def staged(out):
    """A folder beside the result, gone at the end: the result appears whole or not at all."""
    parent = os.path.dirname(os.path.abspath(out))
    os.makedirs(parent, exist_ok=True)
    return tempfile.TemporaryDirectory(prefix=".pack-", dir=parent)


def publish(out, write):
    with staged(out) as folder:
        part = os.path.join(folder, "part")
        with open(part, "xb") as file:
            write(file)
        os.chmod(part, 0o644)
        with open(part, "rb") as file:
            digest = hashlib.sha256(file.read())
        size = os.path.getsize(part)
        os.replace(part, out)
    print(out)
    print(f"size    {size}")
    print(f"sha256  {digest.hexdigest()}")
    print(f"base64  {base64.b64encode(digest.digest()).decode()}")
    if size > DIRECT_UPLOAD_LIMIT:
        note(f"{out} is over {DIRECT_UPLOAD_LIMIT} bytes: upload it by S3.")


def pack_zip(arguments):
    package = collect(arguments)
    preflight(package, arguments)
    if not (arguments.stored or usual_zlib()):
        note(
            f"zlib {zlib.ZLIB_RUNTIME_VERSION} of this Python packs otherwise than most: the "
            "content is right, the hash is its own; --stored gives one hash everywhere."
        )
    publish(arguments.out, archive(package, arguments.stored))


def pack_layer(arguments):
    entry = bootstrap_entry(arguments.bootstrap)
    publish(arguments.out, archive([(entry, entry.content())], arguments.stored))


def pack_tree(arguments):
    package = collect(arguments)
    if os.path.exists(arguments.out) and not (
        os.path.isdir(arguments.out) and not os.listdir(arguments.out)
    ):
        raise Refused(f"{arguments.out} is not an empty folder: --out takes an empty or a new one.")
    preflight(package, arguments)
    with staged(arguments.out) as folder:
        inner = os.path.join(folder, "tree")
        os.mkdir(inner)
        lay_out(package, inner)
        os.rename(inner, arguments.out)
    print(arguments.out)


def parse(words):
    parser = argparse.ArgumentParser(
        description="Packs a function for Lambda.", allow_abbrev=False, prog="pack.py"
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for name, run in (("zip", pack_zip), ("layer", pack_layer), ("tree", pack_tree)):
        command = commands.add_parser(name, allow_abbrev=False)
        command.set_defaults(run=run)
        command.add_argument("--bootstrap", required=True, help="the static bootstrap")
        command.add_argument("--out", required=True, help="what to write")
        if name != "tree":
            command.add_argument(
                "--stored", action="store_true", help="do not compress: one hash with every zlib"
            )
        if name != "layer":
            command.add_argument("--task", required=True, help="the function's folder")
            command.add_argument("--handler", required=True, help="as Lambda's _HANDLER")
            command.add_argument("--arch", required=True, choices=sorted(LOADERS))
            command.add_argument(
                "--library", action="append", default=[], help="a library that a layer brings"
            )
            command.add_argument(
                "--without-bootstrap", action="store_true", help="a layer brings it"
            )
            command.add_argument(
                "--check-with", metavar="FILE", help="a bootstrap that runs on this machine"
            )
            command.add_argument(
                "--no-check", action="store_true", help="do not run bootstrap --check"
            )
    return parser.parse_args(words)


def main(words):
    # As Ctrl-C does: leave through the `with` blocks, which remove what is half done.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    arguments = parse(words)
    try:
        arguments.run(arguments)
    except Refused as refusal:
        print(f"pack: {refusal}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"pack: {error.filename}: {error.strerror}.", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
