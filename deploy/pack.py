#!/usr/bin/env python3
"""Packs a function for Lambda: the bootstrap and a folder become a zip, a layer or a file tree.

    pack.py zip   --bootstrap FILE --task DIR --handler NAME --arch ARCH --out FILE.zip
    pack.py check --bootstrap FILE --task DIR --handler NAME --arch ARCH
    pack.py layer --bootstrap FILE --arch ARCH --out FILE.zip
    pack.py tree  --bootstrap FILE --task DIR --handler NAME --arch ARCH --out DIR

In: a bootstrap, a folder, the handler's name; without a handler the bootstrap is the function
itself. Out: the package, and on standard output its architecture, its size and its sha256 in hex
and in base64 (what Terraform calls source_code_hash). Whatever would fail on Lambda is refused
here: one sentence on standard error, exit status 1, nothing written; 2 is wrong usage. Messages
name the command `zerostrap`, by which this is called. Lines that begin with "note: " list what is
left out of the package, and what can only be guessed.

The same input gives the same bytes: entries are sorted, times are fixed, modes are made from what
a file is and not from what the umask left. It never reads a clock, a user name or the network.
"""

import argparse
import base64
import contextlib
import fnmatch
import functools
import hashlib
import os
import platform
import re
import shutil
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
# Lambda's limit for an init.
CHECK_SECONDS = 10
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
MACHINE = {"aarch64": "arm64"}.get(platform.machine(), platform.machine())
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
# The bootstrap runs a script's function by the shell that the #! line names, if it is one of these.
FUNCTION_SHELLS = frozenset(["sh", "bash", "dash", "ash", "ksh", "mksh"])
SHELLS = FUNCTION_SHELLS.union(["zsh"])

# The commands of provided.al2023; the file names its source.
COMMANDS = os.path.join(os.path.dirname(os.path.realpath(__file__)), "provided.al2023.commands")
# Commands that functions call and Lambda lacks. Others are listed only if this machine has them.
MISSED = frozenset(
    """aws bc bzip2 column diff dig docker file find gcc git gunzip gzip host hostname ip java jq kill
    killall less make mysql nc node nslookup openssl perl pgrep php pip pip3 ping ps psql python
    python3 rsync ruby scp sftp sqlite3 ssh ssh-keygen sudo tar tput unzip uuidgen watch wget which
    xargs xxd xz yq yum zcat zip zstd""".split()
)

# What lies in a function's folder and is not part of it: secrets, events to try it with, what
# version control and editors leave. A pattern matches a name in any folder.
# Terraform's state and variables are among the secrets, as they hold passwords in plain text, and
# so are histories of shells, as passwords are typed into them.
# A secret is one in upper case, too: its name is made lower before it is compared.
SECRETS = (
    ".env .env.* .envrc .aws .azure .docker .dockercfg .kube .ssh .gnupg .netrc _netrc .npmrc "
    ".pgpass .my.cnf .pypirc .git-credentials .htpasswd .vault-token .history .*_history *.pem "
    "*.key *.p8 *.p12 *.pfx *.ppk *.jks *.keystore *.kdbx id_rsa* id_dsa* id_ecdsa* id_ed25519* "
    "*.tfstate *.tfstate.* *.tfvars *.tfvars.json"
).split()
NO_PART = (
    ".git .gitignore .gitattributes .gitmodules .github .hg .svn .terraform .venv __pycache__ "
    "event*.json *~ *.swp *.swo *.bak *.orig #*# .#* .idea .vscode .DS_Store Thumbs.db"
).split()

# So many names are in a note, and more only of secrets.
SHOWN_NAMES = 10

# deflate is a format, not a function: another zlib may pack the same bytes differently. This is
# what zlib 1.2.13 makes of the sample in `usual_zlib`.
USUAL_DEFLATE = "4bc458ab84729c5f38b95265a29f3bdcf8ef51db48cda1d49ec356a7b41f89d8"


class Refused(Exception):
    """One sentence: what is wrong, in which file, how to mend it."""

    status = 1


class Misused(Refused):
    """An option's value leads nowhere."""

    status = 2


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


def matching(name, patterns):
    """Those of the patterns that a path matches, or its last part. A * reaches over slashes."""
    leaf = os.path.basename(name)
    return [
        pattern
        for pattern in patterns
        if fnmatch.fnmatchcase(name, pattern) or fnmatch.fnmatchcase(leaf, pattern)
    ]


class Choice:
    """Which entries of the folder are packed."""

    def __init__(self, arguments):
        self.include, self.exclude = arguments.include, arguments.exclude
        self.out = os.path.realpath(arguments.out) if arguments.out else None
        self.secrets, self.others = [], []
        # The caller's patterns that matched a name.
        self.used = set()
        # What is left out, each with the way to have it packed.
        self.ways = {}

    def is_among(self, name, patterns):
        found = matching(name, patterns)
        self.used.update(found)
        return bool(found)

    def takes(self, name, source):
        leaf = os.path.basename(name)
        is_secret = bool(matching(leaf.lower(), SECRETS))
        is_left_out = is_secret or bool(matching(leaf, NO_PART))
        # A link that is left out says nothing of what it leads to.
        path = in_real_folder(source)
        if os.path.realpath(source) == self.out:
            # The package of yesterday, which is written into the folder itself.
            self.ways[path] = "name another file by --out"
        elif self.is_among(name, self.exclude):
            self.ways[path] = "take it out of --exclude"
        elif self.is_among(name, self.include) or not is_left_out:
            return True
        else:
            self.ways[path] = "pack it by --include"
            (self.secrets if is_secret else self.others).append(name)
        return False

    def tell(self):
        """Every secret is named: it may be one that the function needs."""
        rest = max(0, SHOWN_NAMES - len(self.secrets))
        shown = sorted(self.secrets) + sorted(self.others)[:rest]
        if shown:
            names = ", ".join(shown)
            more = len(self.secrets) + len(self.others) - len(shown)
            names += f" and {more} more" if more > 0 else ""
            note(f"left out: {names} (--include takes a pattern of what to pack all the same).")
        for option, patterns in (("--include", self.include), ("--exclude", self.exclude)):
            for pattern in patterns:
                if pattern not in self.used:
                    note(f"{option} {pattern} matches no file.")

    def way_to_pack(self, path):
        """How a file that is left out would be packed, or None if it is packed already."""
        paths = (in_real_folder(path), os.path.realpath(path))
        for left, way in self.ways.items():
            if any(path == left or path.startswith(left + os.sep) for path in paths):
                return way
        return None


def walk(task, choice):
    """Every entry of the folder that is packed, sorted by the bytes of its name."""
    found = []

    def failed(error):
        raise Refused(f"{error.filename} cannot be read ({error.strerror}): mend its mode.")

    for folder, folders, files in os.walk(task, onerror=failed):
        for leaf in sorted(folders + files):
            source = os.path.join(folder, leaf)
            name = os.path.relpath(source, task)
            if not choice.takes(name, source):
                if leaf in folders:
                    folders.remove(leaf)
                continue
            try:
                name.encode()
            except UnicodeEncodeError:
                raise Refused(f"{source!r} has a name that is not UTF-8: rename it.")
            found.append(File(name, source))
    choice.tell()
    return sorted(found, key=lambda file: file.name.encode())


def in_real_folder(path):
    """The path with all links followed but the one that it is itself."""
    folder, name = os.path.split(path)
    return os.path.join(os.path.realpath(folder), name)


def in_folder(path, task):
    """A path without links, as one of the folder that was named."""
    return os.path.normpath(os.path.join(task, os.path.relpath(path, os.path.realpath(task))))


def within(path, folder):
    """Whether a path leads into the folder once every link is followed."""
    root = os.path.realpath(folder)
    return os.path.commonpath([root, os.path.realpath(path)]) == root


def check_link(file, task, choice):
    target = os.readlink(file.source)
    # It may lead there by way of another link.
    first = os.path.join(os.path.dirname(file.source), target)
    way = choice.way_to_pack(first) or choice.way_to_pack(file.source)
    if way is not None:
        raise Refused(
            f"{file.source} is a link to {target}, which is left out of the package: {way}, or "
            "remove the link."
        )
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


def interpreters(content):
    """What the #! line of a file names, read as the bootstrap reads it: the program that the kernel
    starts, and the one that runs the file in the end, which is another one behind env. Both are
    empty if there is no such line."""
    if not content.startswith(b"#!"):
        return "", ""
    line = content.split(b"\n", 1)[0][2:].decode("utf-8", "replace").strip()
    first, _, argument = line.replace("\t", " ").partition(" ")
    if os.path.basename(first) != "env":
        return first, first
    command = argument.strip()
    if command.startswith("-S"):
        # -S splits the argument; assignments may come before the command.
        words = [word for word in command[2:].split() if "=" not in word]
        command = words[0] if words else ""
    # Other options are left to env.
    return first, (first if command == "" or command.startswith("-") else command)


def shell_of(content):
    """The name of the shell that the #! line names, if it is one."""
    name = os.path.basename(interpreters(content)[1])
    return name if name in SHELLS else None


def lambda_lacks(program, names, arguments):
    """Whether an interpreter will not be there: neither as a part of provided.al2023, where /bin is
    a link to usr/bin, nor of the package, whose names these are. One of a layer is, in /opt."""
    if " " in program:
        # Behind env without -S several words are one name.
        return True
    name = os.path.basename(program)
    is_brought = name in arguments.command_name
    if "/" not in program:
        return not (name in known_commands() or f"bin/{name}" in names or is_brought)
    path = os.path.normpath(program)
    if path.startswith("/var/task/"):
        return os.path.relpath(path, "/var/task") not in names
    if path.startswith("/opt/") or not os.path.isabs(path):
        return False
    # An image may have it anywhere.
    if arguments.command == "tree" and is_brought:
        return False
    return os.path.dirname(path) not in ("/bin", "/usr/bin") or name not in known_commands()


def lacking(source, program):
    """The sentence for an interpreter that is not there, and what to do."""
    if " " in program:
        return f"{source} has several words behind env: begin it with #!/usr/bin/env -S {program}"
    name, folder = os.path.basename(program), os.path.dirname(program)
    if program.startswith("/var/task/"):
        return f"{source} is run by {program}, which is not in the package: put it into the folder."
    what = f"{source} is run by {program}, which provided.al2023 lacks"
    if not folder:
        return f"{what}: {HOW_TO_BRING.format(name)}."
    if name in known_commands():
        return f"{what}: begin it with #!/usr/bin/{name}"
    how = "#!/bin/sh, or with " if name in SHELLS else ""
    return (
        f"{what}, and no layer can put it into {folder}: begin it with {how}#!/usr/bin/env {name}, "
        f"and bring {name} in a layer (say --command {name} then) or in bin/ of the folder, with "
        "that on PATH."
    )


def needed_interpreters(content, is_program):
    """The interpreters without which a handler does not start. A function's shell is started by the
    bootstrap, without env; if its script names no shell, the bootstrap takes bash."""
    started, runs = interpreters(content)
    if not is_program:
        return [runs] if os.path.basename(runs) in FUNCTION_SHELLS else []
    return [program for program in dict.fromkeys([started, runs]) if program]


def check_interpreters(entry, content, is_program, names, arguments):
    """The handler's own."""
    for program in needed_interpreters(content, is_program):
        if program.startswith("/opt/"):
            note(f"{entry.source} is run by {program}, which a layer has to bring.")
        if not lambda_lacks(program, names, arguments):
            continue
        sentence = lacking(entry.source, program)
        if "/" in program or not arguments.no_check:
            raise Refused(sentence)
        note(sentence)


def tell_interpreters(package, handler, arguments):
    """Lists the other commands of a package that would not run. They are not refused: a function
    may never call them, or call their interpreter itself."""
    names = {entry.name for entry, _ in package}
    for entry, content in package:
        is_command = entry.name.startswith("bin/") and not entry.is_link
        if not is_command or os.path.realpath(entry.source) == handler:
            continue
        for program in needed_interpreters(content, is_program=True):
            if lambda_lacks(program, names, arguments):
                note(lacking(entry.source, program))


def check_line_ends(file, content):
    shell = file.name.endswith(".sh") or shell_of(content)
    first = content.split(b"\n", 1)[0]
    if first.startswith(b"#!") and first.endswith(b"\r"):
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
    """The folders of a package that the loader searches: RUNPATH, then LD_LIBRARY_PATH. A layer
    lies in /opt, where only lib is searched; its own paths then begin so."""
    root = "/var/task"
    origin = os.path.join(root, os.path.dirname(name))
    search = [re.sub(r"\$\{?ORIGIN\}?", lambda _: origin, part) for part in elf.search]
    search = [re.sub("^/opt(/|$)", root + r"\1", part) for part in search]
    for folder in search + [root, f"{root}/lib"]:
        inside = os.path.relpath(os.path.normpath(folder), root)
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
    """A file of exactly that name, else the function of a script. Returns the file and whether it
    is run as a program."""
    if re.search(r"\s", handler) or not 0 < len(handler) <= 128:
        raise Refused(f"handler {handler!r}: Lambda takes 1 to 128 characters without a space.")
    if os.path.normpath(handler) == "bootstrap":
        raise Refused("handler bootstrap: that is the runtime itself: name a file or a function.")
    base, _, function = handler.rpartition(".")
    scripts = [f"{base}.sh"] + [base] * base.endswith(".sh")
    for name in (handler, *scripts):
        source = os.path.normpath(os.path.join(task, name))
        inside = not os.path.relpath(source, task).startswith("..") and not os.path.isabs(name)
        if not inside or not os.path.isfile(source):
            continue
        if name == handler:
            return os.path.realpath(source), True
        if base and re.fullmatch(r"[A-Za-z_:][A-Za-z0-9_:-]*", function):
            return os.path.realpath(source), False
    raise Refused(
        f"handler {handler} is neither a file of that name in {task} nor a function of a script "
        f"{base or handler}.sh there: name the file, or SCRIPT.FUNCTION without the .sh."
    )


def collect(arguments):
    """Everything that goes into a function's package, as (entry, content), each one checked."""
    task, arch = arguments.task, arguments.arch
    if task is None and arguments.handler is None:
        # A function that is one program.
        bootstrap = bootstrap_entry(arguments.bootstrap, arch, own=True)
        return [(bootstrap, bootstrap.content())]
    check_folder(task, arguments.out)
    choice = Choice(arguments)
    entries = walk(task, choice)
    handler, is_program = None, False
    if arguments.handler is not None:
        handler, is_program = find_handler(task, arguments.handler)
        way = choice.way_to_pack(handler)
        if way is not None:
            raise Refused(f"{in_folder(handler, task)} is the handler and is left out: {way}.")
    bootstrap = bootstrap_entry(arguments.bootstrap, arch, own=arguments.handler is None)
    entries = [entry for entry in entries if not same_bootstrap(entry, bootstrap)]
    if not arguments.without_bootstrap:
        entries.insert(0, bootstrap)
    check_size(task, entries)
    package = []
    for entry in entries:
        content = entry.content()
        check_entry(entry, content, arguments, choice)
        package.append((entry, content))
        if entry.is_link or os.path.realpath(entry.source) != handler:
            continue
        if is_program:
            check_handler_program(entry, content)
        check_interpreters(entry, content, is_program, {entry.name for entry in entries}, arguments)
    tell_interpreters(package, handler, arguments)
    return package


def check_folder(task, out):
    if not os.path.isdir(task):
        raise Misused(f"{task} is not a folder: --task takes the function's folder.")
    # At the top an old package is easy to distinguish from the function's files; deeper it would
    # bring a folder along.
    inside = out and within(out, task)
    if inside and os.path.dirname(os.path.realpath(out)) != os.path.realpath(task):
        raise Refused(f"{out} lies in {task} and would be packed itself: write elsewhere.")


def check_out(out, name):
    """The file that zip and layer write. It would take the place of a device, too."""
    if os.path.isdir(out):
        example = os.path.join(out, name)
        raise Misused(f"{out} is a folder: --out takes the name of a file, such as {example}.")
    if os.path.exists(out) and not os.path.isfile(out):
        raise Misused(f"{out} is not a plain file: --out takes the name of a file.")
    parent = os.path.dirname(out)
    if os.path.exists(parent) and not os.path.isdir(parent):
        raise Misused(f"{parent} is not a folder: --out takes the name of a file in a folder.")


def check_size(task, entries):
    total = sum(entry.size for entry in entries)
    if total > UNPACKED_LIMIT:
        largest = max(entries, key=lambda entry: entry.size)
        raise Refused(
            f"{task} unpacks to {total} bytes and Lambda takes {UNPACKED_LIMIT}: take out what the "
            f"function does not need, beginning with {largest.source} ({largest.size} bytes), or "
            "deploy an image."
        )


def check_entry(entry, content, arguments, choice):
    """What holds for every file of a package."""
    if entry.is_link:
        check_link(entry, arguments.task, choice)
        return
    check_line_ends(entry, content)
    elf = elf_of(entry.source, content)
    if elf is not None and elf.is_program() and entry.name != "bootstrap":
        check_program(entry, elf, arguments.arch, arguments.task, arguments.library)


def check_handler_program(entry, content):
    functions = []
    if entry.name.endswith(".sh") and not entry.any_x:
        functions = functions_alone(content.decode("utf-8", "replace"))
    if functions and content.startswith(b"#!"):
        raise Refused(
            f"{entry.source} has no execute bit and does nothing but define functions: say "
            f"--handler {entry.name[:-3]}.{functions[0]} for that one, or chmod +x {entry.source} "
            "if it is to be run for each event."
        )
    if not content.startswith((b"#!", b"\x7fELF")):
        how = "give it a first line such as #!/bin/sh"
        if functions:
            how = f"for its function say --handler {entry.name[:-3]}.{functions[0]}"
        raise Refused(
            f"{entry.source} is the handler and neither an ELF program nor a script that begins "
            f"with #!: {how}."
        )


def bootstrap_entry(path, arch=None, own=False):
    """The bootstrap itself: a static program, which needs nothing of the image it lands in. `own`:
    it is the function as well."""
    if os.path.isdir(path):
        raise Misused(f"{path} is a folder: --bootstrap takes the program's file.")
    if not os.path.isfile(path):
        how = "build the function" if own else f"make ARCH={arch or 'arm64'} builds the bootstrap"
        raise Misused(f"{path} is not there: {how}.")
    entry = File("bootstrap", os.path.realpath(path))
    elf = elf_of(path, entry.content())
    target = {"x86_64": "x86_64", "arm64": "aarch64"}.get(arch, "MACHINE") + "-unknown-linux-musl"
    if elf is None or not elf.is_program():
        how = "--bootstrap takes the program" if own else "--bootstrap takes what make builds"
        raise Refused(f"{path} is not a static program: {how}.")
    if elf.architecture() not in (arch, *([] if arch else LOADERS)):
        how = f"cargo build --target {target}, or pack with --arch" if own else f"make ARCH={arch}"
        raise Refused(
            f"{path} is a bootstrap for {elf.architecture()} and the function is for {arch}: {how}"
        )
    if elf.interpreter is not None or elf.needed:
        why = f"it needs {', '.join(elf.needed) or elf.interpreter}"
        how = (
            f"cargo build --release --target {target}"
            if own
            else "--bootstrap takes what make builds"
        )
        raise Refused(f"{path} is not a static program, {why}: {how}.")
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
    """Runs `bootstrap --check` on the package laid out as on Lambda, with the code of init and the
    commands that provided.al2023 has."""
    if arguments.no_check or arguments.handler is None:
        return
    scan_commands(package, arguments)
    foreign = arguments.arch != MACHINE
    handler, is_program = find_handler(arguments.task, arguments.handler)
    with open(handler, "rb") as file:
        # Nothing is sourced, and all there is to know of such a file is in its ELF head.
        if foreign and is_program and file.read(4) == b"\x7fELF":
            return
    with staged(arguments.out) as folder:
        task, path = os.path.join(folder, "task"), os.path.join(folder, "path")
        os.mkdir(task)
        lay_out(package, task)
        commands(path, arguments.command_name)
        for entry, content in package:
            if not entry.is_link and not entry.is_folder:
                as_on_lambda(task, entry.name, content, arguments.arch, path)
        copy = os.path.join(task, os.path.relpath(handler, os.path.realpath(arguments.task)))
        absent = absent_interpreter(copy, is_program, f"{path}:{task}/bin")
        if absent:
            script = in_folder(handler, arguments.task)
            note(f"{absent}, which runs {script} on Lambda, is not here: init was not checked.")
            return
        own = arguments.bootstrap if arguments.without_bootstrap else f"{task}/bootstrap"
        program = arguments.check_with or (beside(arguments.bootstrap) if foreign else own)
        libraries = None if foreign else f"{task}:{task}/lib"
        status, words = run_check(
            os.path.abspath(program), task, arguments.handler, f"{path}:{task}/bin", libraries
        )
        # The last line is the bootstrap's own; what the script wrote comes before it.
        said = words.decode("utf-8", "replace")
        for inner in (folder, os.path.realpath(folder)):
            said = said.replace(f"{inner}/task", arguments.task).replace(f"{inner}/path/", "")
        lines = said.splitlines()
    if status is None:
        raise Refused(
            f"handler {arguments.handler} of {arguments.task} was not ready after {CHECK_SECONDS} "
            "s, and Lambda gives an init no more: do less when the script is loaded, and leave the "
            "loop over events to the bootstrap (--no-check leaves this out)."
        )
    if status != 0:
        why = lines[-1] if lines else f"bootstrap --check gave {status} and no word."
        missing = re.search(
            r"([A-Za-z0-9_.+-]+): (?:command not found|not found)$", "\n".join(lines), re.M
        )
        if missing and missing[1] in known_commands():
            note(f"{missing[1]}, which provided.al2023 has, is not here: init was not checked.")
            return
        if missing:
            name = missing[1]
            why += f" ({name}: provided.al2023 has no such command; {HOW_TO_BRING.format(name)})"
        raise Refused(
            f"handler {arguments.handler} of {arguments.task} would not start on Lambda: {why}"
        )


HOW_TO_BRING = "put it into bin/ of the folder, or say --command {0} when a layer brings it"


def beside(bootstrap):
    """The bootstrap of this machine that lies beside one of another, as make and the installed
    command have them."""
    path = os.path.join(os.path.dirname(os.path.abspath(bootstrap)), "..", MACHINE, "bootstrap")
    if not os.path.isfile(path):
        raise Refused(
            f"there is no bootstrap of this machine beside {bootstrap} to check the function with: "
            f"make ARCH={MACHINE} builds it, --check-with names one, --no-check leaves it out."
        )
    return path


@functools.lru_cache()
def known_commands():
    with open(COMMANDS, encoding="utf-8") as file:
        lines = [line for line in file if not line.startswith("#")]
    return "".join(lines).split()


def commands(folder, more):
    """A folder with those commands of this machine that provided.al2023 has as well."""
    os.mkdir(folder)
    for name in [*known_commands(), *more]:
        # /bin/sh is bash there, which then keeps to POSIX.
        found = shutil.which("bash") if name == "sh" else None
        found = found or shutil.which("gawk" if name == "awk" else name) or shutil.which(name)
        found = found or (shutil.which("awk") if name == "gawk" else None)
        if found:
            os.symlink(os.path.realpath(found), os.path.join(folder, name))


def as_on_lambda(task, name, content, arch, commands_folder):
    """Changes a file of the copy that is checked so that it runs here as it will there."""
    path = os.path.join(task, name)
    if content.startswith(b"#!"):
        first, rest = content.split(b"\n", 1) if b"\n" in content else (content, b"")
        words = first[2:].decode("utf-8", "surrogateescape").split()
        here = [word_here(word, task, commands_folder) for word in words]
        if here != words:
            replace(path, b"#!" + os.fsencode(" ".join(here)) + b"\n" + rest)
    elif arch != MACHINE and content.startswith(b"\x7fELF") and name != "bootstrap":
        # A program that cannot run here: this machine's of that name, if there is one.
        twin = shutil.which(os.path.basename(path))
        if twin:
            os.remove(path)
            os.symlink(twin, path)


def word_here(word, task, commands_folder):
    """Where a path of Lambda lies while the function is checked."""
    path = os.path.normpath(word)
    if path.startswith("/var/task/"):
        return task + path[len("/var/task") :]
    folder, name = os.path.split(path)
    is_there = folder in ("/bin", "/usr/bin") and name in known_commands()
    # sh is another shell here, and what is not here may be there by another path.
    if is_there and (name == "sh" or not os.path.exists(word)):
        return os.path.join(commands_folder, name)
    return word


def absent_interpreter(path, is_program, search):
    """An interpreter of a file that is not on this machine, or None. Lambda has it, or a layer: any
    other was refused before. A relative one is looked for by the bootstrap."""
    with open(path, "rb") as file:
        programs = needed_interpreters(file.read(), is_program)
    for program in programs:
        is_name = re.fullmatch(r"[^/\s]+", program)
        if (is_name or os.path.isabs(program)) and not shutil.which(program, path=search):
            return program
    return None


def replace(path, content):
    mode = os.stat(path).st_mode
    os.remove(path)
    with open(path, "xb") as file:
        file.write(content)
    os.chmod(path, stat.S_IMODE(mode))


def scan_commands(package, arguments):
    """Lists commands that a script may call and that neither Lambda nor the package has. It reads
    words and knows no grammar, so it refuses nothing: `--check` does, for what runs at init."""
    scripts = {}
    for entry, content in package:
        named = entry.name.endswith((".sh", ".bash")) and not content.startswith(b"#!")
        if not entry.is_link and (named or shell_of(content)):
            scripts[entry] = content.decode("utf-8", "replace")
    names, own = {entry.name for entry, _ in package}, set(SHELL_WORDS)
    for text in scripts.values():
        own.update(re.findall(r"(?m)^[ \t]*(?:function[ \t]+)?([\w:.-]+)[ \t]*\(\)", text))
        own.update(re.findall(r"(?m)^[ \t]*function[ \t]+([\w:.-]+)", text))
        own.update(re.findall(r"\balias ([\w.-]+)=", text))
    told = set()
    for entry, text in scripts.items():
        for line, command in command_words(text):
            name = os.path.basename(command)
            is_command = command not in own and (name in MISSED or shutil.which(name))
            if name in told or not is_command or not lambda_lacks(command, names, arguments):
                continue
            told.add(name)
            how = "call it without its folder, and " if "/" in command else ""
            note(
                f"{entry.source}, line {line}, perhaps calls {name}, which provided.al2023 lacks: "
                f"{how}{HOW_TO_BRING.format(name)}."
            )


# Words of the shells' grammar, and commands that the shells have built in.
SHELL_WORDS = frozenset(
    """! [[ ]] { } alias bg bind break builtin caller case cd command compgen complete continue
    coproc declare dirs disown do done elif else enable esac eval exec exit export fc fg fi for
    function getopts hash help history if in jobs kill let local mapfile popd pushd read readarray
    readonly return select set shift shopt source suspend then time times trap type typeset ulimit
    umask unalias unset until wait while . :""".split()
)

# The pieces of a script: outside of a text in double quotes, and inside of one.
OUTSIDE = re.compile(
    r"""(?:^|(?<=[\s;]))\#[^\n]* | '[^']*' | \\. | \$\( | [^\s;\#'"`\\$()]+ | .""",
    re.X | re.S | re.M,
)
INSIDE = re.compile(r"""\\. | \$\( | [^"`\\$]+ | .""", re.X | re.S)
HEREDOC = re.compile(r"<<-?[ \t]*(['\"\\]?)(\w+)['\"]?([^\n]*\n)(.*?)^[ \t]*\2$", re.S | re.M)
COMMAND = re.compile(
    r"""(?:(?:^|;;|\bin[ \t])[ \t]*\(?[^\s();]+(?:[ \t]*\|[ \t\x01]*[^\s();]+)*\)  # of `case`
      |^|[;|&({])[ \t\x01]*
    (?:(?:!|then|do|else|if|elif|while|until|exec|command|time|env|nohup|timeout[ ]\S+)[ \t]+
      |[A-Za-z_]\w*=[^\s;|&()]*[ \t]+)*
    (?:(xargs)(?:[ \t]+(?:-\S+|\d+|\{\}))*[ \t]+)?
    (?:\\(?=\w\w))?  # \ls is ls, and \w a pattern's
    ((?:(?:/usr(?:/local)?)?/s?bin/)?[A-Za-z][\w.+-]*)(?=[\s;|&)<>]|$)(?![ \t]*\()""",
    re.X | re.M,
)


CASE = re.compile(r"(?:[ \t]*\|[ \t\x01]*[\w.*?+-]+)*[ \t]*\)")


def bare_text(text):
    """A script without its comments and without what its texts say, but with the commands within
    them. Each line stays where it is; a mark counts as a line end that parts no commands."""
    # A line that goes on in the next one is one.
    text = HEREDOC.sub(text_of_heredoc, text).replace("\\\n", " \1")
    # What is open: `"` a text, "`" and "(" commands, "=(" the words of an array, of a pattern or of
    # arithmetic.
    opened, bare, at = [], "", 0
    while at < len(text):
        inner = opened[-1] if opened else None
        piece = (INSIDE if inner == '"' else OUTSIDE).match(text, at)[0]
        at += len(piece)
        if piece in ('"', "`"):
            is_end = inner == piece
            opened.pop() if is_end else opened.append(piece)
            # Commands between backquotes are written in the newer way.
            piece = piece.replace("`", ")" if is_end else "$( ")
        elif piece == "$(":
            opened.append("(")
        elif piece == "(" and inner != '"':
            # A group of commands stands alone.
            is_alone = bare[-1:] in ("", *"\n\1\t ;|&<>`") and not bare.endswith("=~ ")
            opened.append("(" if is_alone and inner != "=(" else "=(")
        elif piece == ")" and inner in ("(", "=("):
            opened.pop()
        elif inner in ('"', "=(") or piece[0] == "'":
            # A word, so that what follows is not taken for a command.
            piece = "_" + line_marks(piece)
        elif piece[0] == "#":
            piece = ""
        elif piece[0] == "\\" and not piece[1:].islower():
            piece = "_"
        bare += piece
    return bare


def text_of_heredoc(found):
    """It is like a text in double quotes, or in single ones if its end is quoted."""
    is_quoted, rest_of_line, body = found[1], found[3], found[4]
    body = line_marks(body) if is_quoted else '"' + body.replace('"', "_") + '"'
    return " " + rest_of_line + body


def line_marks(text):
    return "\1" * len(re.findall("[\n\1]", text))


# The head of a function, and a command that only sets something.
FUNCTION_HEAD = re.compile(
    r"""(?<![\w:.-])
    (?:function[ \t]+([\w:.-]+)[ \t]*(?:\([ \t]*\))? | ([\w:.-]+)[ \t]*\([ \t]*\))
    \s*([{(])""",
    re.X,
)
SETTING = re.compile(
    r"""[A-Za-z_]\w*=[^\s`|&<>()]*
    | (?:set|shopt|export|readonly|declare|umask)\b[^`|&<>()]*""",
    re.X,
)


def functions_alone(text):
    """The names of a script's functions, if it does nothing but define them, else none. A script
    whose braces cannot be told from text counts as one that does something."""
    text, names, rest, at = bare_text(text), [], "", 0
    for head in FUNCTION_HEAD.finditer(text):
        if head.start() < at:
            # Within the one before.
            continue
        end = end_of_group(text, head.start(3))
        if end is None:
            return []
        names.append(head[1] or head[2])
        rest += text[at : head.start()] + "\n"
        at = end
    commands = [part.strip() for part in re.split(r"[\n;]", rest + text[at:])]
    return names if all(SETTING.fullmatch(part) for part in commands if part) else []


def end_of_group(text, start):
    """Where the group of commands ends whose opening brace or parenthesis is here."""
    opening, depth = text[start], 0
    closing = {"{": "}", "(": ")"}[opening]
    for at in range(start, len(text)):
        depth += (text[at] == opening) - (text[at] == closing)
        if depth == 0:
            return at + 1
    return None


def command_words(text):
    """Returns the words in the place of a command, each with its line: a name or a path."""
    text = bare_text(text)
    for found in COMMAND.finditer(text):
        up_to_here = text[: found.end()]
        line = up_to_here[up_to_here.rfind("\n") + 1 :]
        # A pattern of `case` ends in a parenthesis that was not opened, and is not a command.
        if CASE.match(text, found.end()) and line.count("(") <= line.count(")"):
            continue
        number = len(line_marks(up_to_here)) + 1
        yield from ((number, word) for word in found.groups() if word)


def run_check(program, folder, handler, path, libraries):
    """The exit status, or None when it did not end in time, and what it said."""
    env = dict(os.environ, LAMBDA_TASK_ROOT=folder, _HANDLER=handler, PATH=path)
    # Lambda sets none.
    env.pop("HOME", None)
    if libraries:
        env["LD_LIBRARY_PATH"] = libraries
    # A session of its own, by which everything that it starts can be found and ended: so its
    # number must not get lost to a signal.
    Ended.held = True
    try:
        child = subprocess.Popen(
            [program, "--check"],
            cwd=folder,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    except OSError as error:
        raise Refused(
            f"the bootstrap cannot be started for a check ({error.strerror}): --check-with names "
            "one that runs here, --no-check leaves it out."
        )
    try:
        Ended.release()
        words, _ = child.communicate(timeout=CHECK_SECONDS)
        return child.returncode, words
    except subprocess.TimeoutExpired:
        return None, b""
    finally:
        end_session(child.pid)
        child.wait()


class Ended:
    """SIGINT (Ctrl-C) and SIGTERM leave through the `with` blocks, which remove what is unfinished.
    They can be put off."""

    held, came = False, None

    @classmethod
    def handle(cls, number, _):
        cls.came = number
        if not cls.held:
            cls.leave()

    @classmethod
    def release(cls):
        cls.held = False
        if cls.came is not None:
            cls.leave()

    @classmethod
    def leave(cls):
        # A second one would cut the removal short.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        sys.exit(128 + cls.came)


def end_session(session):
    """A script's shell has a group of its own but stays in the session. The number cannot be taken
    by another one before its first process was waited for."""
    for name in os.listdir("/proc"):
        with contextlib.suppress(ValueError, ProcessLookupError):
            if os.getsid(int(name)) == session:
                os.kill(int(name), signal.SIGKILL)


@contextlib.contextmanager
def staged(out):
    """A folder beside the result, gone at the end: the result appears whole or not at all. Without
    a result it lies where such folders lie."""
    parent, prefix = tempfile.gettempdir(), "pack-"
    if out is not None:
        parent, prefix = os.path.dirname(os.path.abspath(out)), ".pack-"
    try:
        os.makedirs(parent, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=prefix, dir=parent) as folder:
            yield folder
    except OSError as error:
        what, by = (parent, "TMPDIR") if out is None else (out, "--out")
        raise Refused(f"{what} cannot be written ({error.strerror}): name another place by {by}.")


def publish(out, arch, write):
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
    print(f"arch    {arch}, for --architectures {arch}")
    if size > DIRECT_UPLOAD_LIMIT:
        note(f"{out} is over {DIRECT_UPLOAD_LIMIT} bytes: upload it by S3.")


def pack_zip(arguments):
    check_out(arguments.out, "function.zip")
    package = collect(arguments)
    preflight(package, arguments)
    if not (arguments.stored or usual_zlib()):
        note(
            f"zlib {zlib.ZLIB_RUNTIME_VERSION} of this Python packs otherwise than most: the "
            "content is right, the hash is its own; --stored gives one hash everywhere."
        )
    publish(arguments.out, arguments.arch, archive(package, arguments.stored))


def check(arguments):
    preflight(collect(arguments), arguments)
    what = arguments.handler or arguments.bootstrap
    print(f"{what} would start on Lambda, as a function for {arguments.arch}.")


def pack_layer(arguments):
    check_out(arguments.out, "layer.zip")
    if arguments.task is None:
        entry = bootstrap_entry(arguments.bootstrap, arguments.arch)
        arch = elf_of(entry.source, entry.content()).architecture()
        publish(arguments.out, arch, archive([(entry, entry.content())], arguments.stored))
        return
    # Tools: bin and lib of the folder become /opt/bin and /opt/lib.
    check_folder(arguments.task, arguments.out)
    choice = Choice(arguments)
    entries = walk(arguments.task, choice)
    check_size(arguments.task, entries)
    package = [(entry, entry.content()) for entry in entries]
    for entry, content in package:
        check_entry(entry, content, arguments, choice)
    tell_interpreters(package, None, arguments)
    if not any(entry.name.startswith(("bin/", "lib/")) for entry in entries):
        note(f"{arguments.task} has neither bin nor lib: what it holds will not be found in /opt.")
    publish(arguments.out, arguments.arch, archive(package, arguments.stored))


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


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, where argparse repeats the usage."""

    def error(self, message):
        print(f"{self.prog}: {message}; {self.prog} --help lists all.", file=sys.stderr)
        sys.exit(2)


def parse(words):
    what = "Packs a function for Lambda."
    parser = Parser(description=what, allow_abbrev=False, prog="zerostrap")
    subparsers = parser.add_subparsers(dest="command", required=True)
    for name, run, does in (
        ("zip", pack_zip, "packs a function, after a check"),
        ("check", check, "says what would fail on Lambda, and writes nothing"),
        ("layer", pack_layer, "packs the bootstrap alone, or a folder of tools"),
        ("tree", pack_tree, "writes the files of a package, for an image"),
    ):
        add_options(name, subparsers.add_parser(name, help=does, allow_abbrev=False)).set_defaults(
            run=run
        )
    arguments, unknown = parser.parse_known_args(words)
    command = subparsers.choices[arguments.command]
    if unknown:
        command.error(f"{unknown[0]} is not known")
    is_layer = arguments.command == "layer"
    if not is_layer and arguments.handler is not None and arguments.task is None:
        arguments.task = "."
    if is_layer and arguments.task is not None and arguments.arch is None:
        arguments.arch = MACHINE
    if arguments.bootstrap is None and not (is_layer and arguments.task is not None):
        command.error("--bootstrap is missing")
    return arguments


def add_options(name, command):
    command.add_argument(
        "--bootstrap",
        metavar="FILE",
        help="another one than zerostrap's own; without --handler it is the function itself",
    )
    command.add_argument(
        "--task", metavar="DIR", help="the function's folder, or that of the tools"
    )
    command.add_argument(
        "--arch", choices=sorted(LOADERS), default=None if name == "layer" else MACHINE
    )
    for option, what in (
        ("--include", "of files to be packed that are left out by default"),
        ("--exclude", "of files to be left out"),
    ):
        command.add_argument(
            option, action="append", default=[], metavar="GLOB", help=f"a pattern {what}"
        )
    command.add_argument(
        "--library",
        action="append",
        default=[],
        metavar="NAME",
        help="a library that a layer brings",
    )
    if name == "layer":
        command.set_defaults(command_name=[])
    if name == "check":
        command.set_defaults(out=None)
    else:
        kind = "DIR" if name == "tree" else "FILE"
        default = {"zip": "function.zip", "layer": "layer.zip"}.get(name)
        command.add_argument(
            "--out", metavar=kind, default=default, required=default is None, help="what to write"
        )
    if name in ("zip", "layer"):
        command.add_argument(
            "--stored", action="store_true", help="do not compress: one hash with every zlib"
        )
    if name != "layer":
        command.add_argument("--handler", metavar="NAME", help="as Lambda's _HANDLER")
        command.add_argument(
            "--command",
            action="append",
            default=[],
            metavar="NAME",
            dest="command_name",
            help="a command that a layer brings",
        )
        command.add_argument("--without-bootstrap", action="store_true", help="a layer brings it")
        command.add_argument(
            "--check-with", metavar="FILE", help="a bootstrap that runs on this machine"
        )
        command.add_argument("--no-check", action="store_true", help="do not run bootstrap --check")
    return command


def main(words):
    signal.signal(signal.SIGINT, Ended.handle)
    signal.signal(signal.SIGTERM, Ended.handle)
    arguments = parse(words)
    try:
        arguments.run(arguments)
    except Refused as refusal:
        print(f"zerostrap: {refusal}", file=sys.stderr)
        return refusal.status
    except OSError as error:
        # What has no name was printed.
        where = error.filename or "standard output"
        print(f"zerostrap: {where}: {error.strerror}.", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
