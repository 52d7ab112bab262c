"""Turns what tests/lab/profile collected into tables.

    profile.py trace CONSOLE BOOTSTRAP          the kernel's trace of starts and events
    profile.py user NAME FEW MANY DIFFERENCE    two reports of callgrind, of runs with so many events more in one
"""

import re
import subprocess
import sys
from collections import Counter, defaultdict

RECORD = re.compile(r"(.*)-(\d+) +(\d+): (\w+): (.*)")
PAGE = 4096
EXECVE = "execve"


def call_names():
    """Linux's numbers of x86_64, from the C library's headers."""
    text = subprocess.run(["gcc", "-E", "-dM", "-include", "asm/unistd_64.h", "-xc", "/dev/null"],
                          capture_output=True, text=True, check=True).stdout
    return {int(number): name for name, number in re.findall(r"#define __NR_(\w+) (\d+)", text)}


def sections(path):
    """{title: [(pid, at, kind, text)]}, and a place for each that could not be read is left out."""
    found, records = {}, None
    with open(path, errors="replace") as file:
        for line in file:
            if line.startswith("=== "):
                records = found.setdefault(line[4:].strip(), [])
            elif records is not None and (match := RECORD.match(line)):
                _, pid, at, kind, text = match.groups()
                records.append((int(pid), int(at), kind, text))
    return found


class Spent:
    """What each process did and how many instructions each step took, waiting and others' turns left out."""

    def __init__(self, records, names):
        self.steps = defaultdict(list)  # pid: [[what, instructions, page faults]]
        self.faults = defaultdict(list)  # pid: [(address, ip)] since its last exec
        self.executed = []  # pids in the order of their exec
        inside = {}
        for (pid, at, kind, text), following in zip(records, records[1:] + records[-1:]):
            running = pid
            if kind == "sys_enter":
                inside[pid] = names.get(int(text.split()[1]), text)
                self.steps[pid].append([inside[pid], 0, 0])
            elif kind == "sys_exit":
                if inside.pop(pid, None) == EXECVE and text.endswith("= 0"):
                    self.executed.append(pid)
                    self.faults[pid] = []
                self.steps[pid].append(["", 0, 0])
            elif kind == "page_fault_user":
                self.faults[pid].append(tuple(int(value, 16) for value in re.findall(r"0x\w+", text)[:2]))
                if self.steps[pid]:
                    self.steps[pid][-1][2] += 1
            elif kind == "sched_switch":
                running = int(re.search(r"next_pid=(\d+)", text).group(1))
            if not self.steps[running]:
                self.steps[running].append(["", 0, 0])
            self.steps[running][-1][1] += following[1] - at

    def main(self):
        """The contestant: the first to exec is the server itself."""
        return self.executed[1]

    def by_call(self, pids):
        """{call: [count, instructions, faults]}; "" is the program's own code and its page faults."""
        sums = defaultdict(lambda: [0, 0, 0])
        for pid in pids:
            for what, instructions, faults in self.steps[pid]:
                for place, value in enumerate((1, instructions, faults)):
                    sums[what][place] += value
        return sums


def print_start(title, spent):
    steps = spent.steps[spent.main()]
    begin = next(at for at, step in enumerate(steps) if step[0] == EXECVE)
    print(f"\n== {title}: exec to the first GET\n\n{'instructions':>12} {'faults':>6}")
    totals = Counter()
    for what, instructions, faults in steps[begin:]:
        totals[what] += instructions
        totals["faults"] += faults
        print(f"{instructions:>12,} {faults or '':>6} {what or '  its own code and the faults in it'}")
        # That is the GET.
        if totals["connect"] and what in ("sendmsg", "sendto", "write", "writev"):
            break
    own = totals[""]
    print(f"\n{own + sum(totals[name] for name in totals if name not in ('', 'faults')):>12,} {totals['faults']:>6} "
          f"in all; {totals[EXECVE]:,} in execve, {own:,} in its own code and the faults in it")


def print_event(title, few, many):
    """The difference of a run with ten events and one with twenty, a tenth of it."""
    print(f"\n== {title}: one event\n\n{'instructions':>12} {'count':>6} {'faults':>6}")
    total = 0

    def of(spent, is_main):
        main, server = spent.main(), spent.executed[0]
        # Who ran before the server's exec is the machine's own.
        return spent.by_call([pid for pid in spent.steps if (pid == main) == is_main and pid > server])

    for who, is_main in (("main", True), ("others", False)):
        before, after = of(few, is_main), of(many, is_main)
        rows = []
        for what, values in after.items():
            rows.append(([(value - old) / 10 for value, old in zip(values, before.get(what, (0, 0, 0)))], what))
        for (count, instructions, faults), what in sorted(rows, key=lambda row: -row[0][1]):
            if instructions < 50:
                continue
            total += instructions
            print(f"{instructions:>12,.0f} {count:>6.1f} {faults:>6.1f} {who}: {what or 'its own code and the faults in it'}")
    print(f"{total:>12,.0f}               in all, the server's own left out")


def output(*command):
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


def print_faults(spent, path):
    faults = spent.faults[spent.main()]
    entry = int(re.search(r"Entry point address: +(0x\w+)", output("readelf", "-hW", path)).group(1), 16)
    base = faults[0][1] - entry
    regions = [(int(address, 16), int(size, 16), name) for name, address, size in re.findall(
        r"\] (\.\S+) +\w+ +(\w{16}) \w+ (\w+)", output("readelf", "-SW", path)) if int(address, 16)]
    print("\n== page faults of our start, in order; the kernel maps up to 16 pages of a file at once\n")
    for address, ip in faults:
        place = address - base
        names = [name for start, size, name in regions if start <= place < start + size]
        kind = names[0] if names else "its own pages" if 0 <= place < 1 << 24 else "stack" if address >> 40 == 0x7f and \
            address > base + (1 << 28) or address >= 0x7ffffff00000 else "heap or other"
        where = f"{place:#x}" if names else f"{address:#x}"
        print(f"{kind:<16} {where:<16} by code at {ip - base:#x}" if 0 <= ip - base < 1 << 24
              else f"{kind:<16} {where:<16} by the kernel or another file")


def trace(console, bootstrap):
    names = call_names()
    spent = {title: Spent(records, names) for title, records in sections(console).items()}
    if not spent:
        sys.exit("profile: the machine traced nothing; its console was:\n" + open(console).read()[-2000:])
    for title, one in spent.items():
        if title.startswith("start "):
            print_start(title.removeprefix("start "), one)
    print_faults(spent["start ours-program"], bootstrap)
    for title, one in spent.items():
        if title.startswith("events-10 "):
            name = title.removeprefix("events-10 ")
            print_event(name, one, spent[f"events-20 {name}"])


def functions(path):
    """{function: instructions} of callgrind_annotate's report."""
    found = Counter()
    with open(path) as file:
        for line in file:
            if match := re.match(r" *([\d,]+) *(?:\([ \d.%]+\))? +\S*?:(.*?)(?: \[.*)?$", line.rstrip()):
                found[match.group(2)] += int(match.group(1).replace(",", ""))
    return found


def user(name, few, many, difference):
    few, many = functions(few), functions(many)
    event = Counter({function: (many[function] - few[function]) / int(difference) for function in many})
    start = Counter({function: few[function] - event[function] for function in few})
    for title, counts in (("start and end", start), ("one event", event)):
        print(f"\n== {name}, {title}: {sum(counts.values()):,.0f} instructions of its own\n")
        for function, count in counts.most_common(25):
            if count >= 10:
                print(f"{count:>10,.0f} {function}")


if sys.argv[1] == "trace":
    trace(*sys.argv[2:])
else:
    user(*sys.argv[2:])
