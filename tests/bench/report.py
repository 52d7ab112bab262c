"""Reads the samples that run.sh took; prints the table of budgets and the table of peers; writes bench.json and bench.svg.

Usage: report.py DIST BOOTSTRAP. The samples are in DIST/bench. Exit status 1 when a budget is missed.
"""

import json
import os
import re
import statistics
import subprocess
import sys
import zipfile

US = 1000
MS = 1000 * US
KIB = 1024


def samples(folder):
    """The median, and the quartiles, of every figure, as {(file, kind, contestant): {...}}."""
    columns = {}
    for name in ("start", "events", "paused-one", "paused-all", "large"):
        with open(f"{folder}/{name}.tsv") as file:
            for line in file:
                kind, contestant, *fields = line.rstrip("\n").split("\t")
                if kind == "memory":
                    columns[name, f"{fields[0]} KiB", contestant] = [int(fields[1])]
                    columns[name, f"{fields[0]} faults", contestant] = [int(fields[2])]
                    continue
                titles = ("first GET", "first response") if kind == "start" else ("response", "cycle")
                for title, field in zip(titles, fields):
                    columns.setdefault((name, title, contestant), []).append(int(field))
    figures = {}
    for key, values in columns.items():
        low, middle, high = statistics.quantiles(values, n=4) if len(values) > 1 else values * 3
        figures[key] = {"median": middle, "quartile1": low, "quartile3": high, "samples": len(values)}
    return figures


def system_calls(folder, contestant):
    """What the main process called: from exec to its first GET /next, and for the costliest event after the first."""
    try:
        with open(f"{folder}/{contestant}.strace") as file:
            calls = [line for line in file if re.match(r"\w+\(", line)]
    except FileNotFoundError:
        return None, None
    asks = [at for at, call in enumerate(calls) if '"GET /2018-06-01/runtime/invocation/next' in call]
    if len(asks) < 3:
        return None, None
    return asks[0] + 1, max(later - earlier for earlier, later in zip(asks[1:], asks[2:]))


def size(path):
    return os.path.getsize(path) if os.path.exists(path) else None


def zipped_size(folder, path):
    """The zip of the bootstrap alone, as any zip program makes it."""
    with zipfile.ZipFile(f"{folder}/bootstrap.zip", "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        archive.write(path, "bootstrap")
    return size(f"{folder}/bootstrap.zip")


class Table:
    """One row a budget: ours, what it is held against, the ratio, the budget (at most), the verdict.

    A row without a budget is a control: the same program twice, which shows how even the judge is.
    """

    def __init__(self):
        self.rows = []

    def row(self, title, unit, ours, floor=None, at_most=None, limit=None):
        """`at_most` bounds ours / floor; `limit` bounds ours itself, in the figure's own unit."""
        ratio = ours / floor if ours is not None and floor else None
        judged, bound = (ours, limit) if limit is not None else (ratio, at_most)
        verdict = ("control" if bound is None else "not measured" if judged is None
                   else "met" if judged <= bound else "MISSED")
        self.rows.append({"figure": title, "unit": unit, "ours": ours, "floor": floor, "ratio": ratio,
                          "budget": bound, "of": "figure" if limit is not None else "ratio", "verdict": verdict})

    def print(self):
        print(f"\n{'figure':<58} {'ours':>12} {'floor':>12} {'ratio':>7} {'budget':>12}  verdict")
        for row in self.rows:
            budget = ("-" if row["budget"] is None else shown(row["budget"], row["unit"]) if row["of"] == "figure"
                      else f"{row['budget']:.3g} x")
            print(f"{row['figure']:<58} {shown(row['ours'], row['unit']):>12} {shown(row['floor'], row['unit']):>12} "
                  f"{'-' if row['ratio'] is None else format(row['ratio'], '.3f'):>7} {budget:>12}  {row['verdict']}")


def shown(value, unit):
    if value is None:
        return "-"
    if unit == "time":
        return f"{value / MS:.3f} ms" if value < 10 * MS else f"{value / MS:.1f} ms"
    return f"{value:,.0f} {unit}".rstrip()


def budgets(figures, calls, sizes):
    def median(*key):
        return figures.get(key, {}).get("median")

    def bytes_of(*key):
        return None if median(*key) is None else int(median(*key)) * KIB

    def compare(title, key, ours, floor, at_most=None):
        table.row(title, "time", median(*key, ours), median(*key, floor), at_most=at_most)

    table = Table()
    compare("exec -> first byte of GET /next, C loop / itself", ("start", "first GET"), "floor-loop-again", "floor-loop")
    compare("event, C loop / itself", ("events", "cycle"), "floor-loop-again", "floor-loop")
    compare("exec -> first byte of GET /next, executable / C loop", ("start", "first GET"), "ours-program",
            "floor-loop", 1.10)
    compare("exec -> first response, shell / bash + curl", ("start", "first response"), "ours-shell", "tutorial", 0.1)
    compare("event, library in process / C loop", ("events", "cycle"), "ours-library", "floor-loop", 1.05)
    compare("event, executable / C loop + posix_spawn", ("events", "cycle"), "ours-program", "floor-spawn", 1.10)
    compare("event, shell function / warm bash fork", ("events", "cycle"), "ours-shell", "floor-fork", 1.15)
    compare("the same, 5 ms between events, one processor", ("paused-one", "response"), "ours-shell", "floor-fork", 1)
    compare("the same, 5 ms between events, all processors", ("paused-all", "response"), "ours-shell", "floor-fork", 1)
    compare("event, shell function / bash + curl", ("events", "cycle"), "ours-shell", "tutorial", 1 / 25)
    compare("6 MB in and out, executable / C loop + posix_spawn", ("large", "cycle"), "ours-program", "floor-spawn", 1)
    table.row("system calls, exec -> first GET, executable", "", calls["ours-program"][0], calls["floor-loop"][0],
              limit=15)
    table.row("system calls an event, library in process", "", calls["ours-library"][1], calls["floor-loop"][1],
              limit=4)
    table.row("peak resident, idle", "B", bytes_of("events", "first KiB", "ours-program"),
              bytes_of("events", "first KiB", "floor-spawn"), limit=256 * KIB)
    table.row("peak resident, after small events", "B", bytes_of("events", "last KiB", "ours-program"),
              bytes_of("events", "last KiB", "floor-spawn"), limit=512 * KIB)
    table.row("peak resident, 6 MB events and responses", "B", bytes_of("large", "last KiB", "ours-program"),
              bytes_of("large", "last KiB", "floor-spawn"), limit=7 * KIB * KIB)
    for title, name, limit in (("dist/x86_64/bootstrap", "x86_64", 163840), ("dist/arm64/bootstrap", "arm64", 163840),
                               ("zip with the bootstrap alone", "zip", 90112),
                               ("the same program on the prebuilt std", "prebuilt", 540672)):
        table.row(title, "B", sizes[name], limit=limit)
    return table


CONTESTANTS = (("floor-loop", "C: the loop alone"), ("floor-spawn", "C: loop + posix_spawn"),
               ("floor-fork", "C: loop + warm bash fork"), ("ours-library", "zerostrap: library, in process"),
               ("ours-program", "zerostrap: executable"), ("ours-shell", "zerostrap: shell function"),
               ("lambda_runtime", "lambda_runtime crate, in process"), ("tutorial", "bash + curl loop"))


def print_contestants(figures, calls):
    print(f"\n{'medians':<34} {'first GET':>10} {'response':>10} {'an event':>10} {'6 MB':>10} {'idle KiB':>9} "
          f"{'after':>6} {'6 MB':>7} {'faults':>7} {'calls':>6} {'/event':>6}")
    for name, title in CONTESTANTS:
        def cell(width, *key):
            value = figures.get((*key, name), {}).get("median")
            return ("-" if value is None else f"{value / MS:.3f}" if width == 10 else f"{value:.0f}").rjust(width)

        start, event = ("-" if count is None else count for count in calls[name])
        print(f"{title:<34} {cell(10, 'start', 'first GET')} {cell(10, 'start', 'first response')} "
              f"{cell(10, 'events', 'cycle')} {cell(10, 'large', 'cycle')} {cell(9, 'events', 'first KiB')} "
              f"{cell(6, 'events', 'last KiB')} {cell(7, 'large', 'last KiB')} {cell(7, 'events', 'first faults')} "
              f"{start:>6} {event:>6}")
    print("times in ms: exec -> first byte of GET /next, exec -> first response, event sent -> next GET /next; "
          "main process only\n")


# The chart: horizontal bars, a panel a question, each panel with a scale of its own that starts at nothing. It has what
# users compare; the table above has the rest.
SCRIPTS = (("tutorial", "bash + curl loop"), ("ours-shell", "zerostrap, bash function"),
           ("floor-fork", "C, forks bash"), ("ours-program", "zerostrap, executable"), ("floor-spawn", "C, spawns it"))
RUST = (("lambda_runtime", "lambda_runtime"), ("ours-library", "zerostrap"), ("floor-loop", "C"))
PANELS = (
    ("Script or program: start to the first response", "start", "first response", SCRIPTS),
    ("Script or program: each event", "events", "cycle", SCRIPTS),
    ("Rust function: start to the first response", "start", "first response", RUST),
    ("Rust function: each event", "events", "cycle", RUST),
)

STYLE = """
  text { font: 15px system-ui, 'DejaVu Sans', sans-serif; fill: #1f2328; }
  .title { font-weight: 600; }
  .note { fill: #59636e; font-size: 12px; }
  .paper { fill: #ffffff; }
  .floor { fill: #8c959f; }
  .ours { fill: #0969da; }
  .peer { fill: #bc4c00; }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3; }
    .note { fill: #9198a1; }
    .paper { fill: #0d1117; }
    .floor { fill: #6e7681; }
    .ours { fill: #4493f8; }
    .peer { fill: #db6d28; }
  }
"""


def chart(figures, note):
    # As narrow as it can be: a phone shows it at two thirds of its size, and it has to be read there, too.
    width, left, right, line = 560, 206, 84, 22
    parts, y = [], 54
    for title, file, kind, names in PANELS:
        bars = [(name, label, figures[file, kind, name]["median"]) for name, label in names
                if (file, kind, name) in figures]
        if not bars:
            continue
        longest = max(value for _, _, value in bars)
        y += 20
        parts.append(f'<text class="title" x="16" y="{y}">{title}</text>')
        y += 8
        for name, label, value in bars:
            colour = "floor" if name.startswith("floor") else "ours" if name.startswith("ours") else "peer"
            length = max(2, (width - left - right) * value / longest)
            parts.append(f'<text x="{left - 10}" y="{y + 15}" text-anchor="end">{label}</text>')
            parts.append(f'<rect class="{colour}" x="{left}" y="{y + 3}" width="{length:.1f}" height="{line - 6}"/>')
            parts.append(f'<text x="{left + length + 8:.1f}" y="{y + 15}">{shown(value, "time")}</text>')
            y += line
        y += 14
    head = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {y + 4}" width="{width}" '
            f'height="{y + 4}" role="img">',
            "<title>zerostrap beside hand-written C and its peers: medians, shorter is better</title>",
            f"<style>{STYLE}</style>", f'<rect class="paper" width="{width}" height="{y + 4}" rx="6"/>',
            '<text class="title" x="16" y="26">Shorter is better</text>',
            f'<text class="note" x="16" y="46">{note}</text>']
    return "\n".join([*head, *parts, "</svg>", ""])


def first_line(*command):
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[0]
    except (OSError, subprocess.CalledProcessError, IndexError):
        return "unknown"


def processor():
    with open("/proc/cpuinfo") as file:
        models = [line.split(":", 1)[1].strip() for line in file if line.startswith("model name")]
    return f"{models[0] if models else os.uname().machine}, {os.cpu_count()} cores"


def main():
    dist, bootstrap = sys.argv[1:]
    folder = f"{dist}/bench"
    figures = samples(folder)
    calls = {name: system_calls(folder, name) for name, _ in CONTESTANTS}
    sizes = {"x86_64": size(f"{dist}/x86_64/bootstrap"), "arm64": size(f"{dist}/arm64/bootstrap"),
             "zip": zipped_size(folder, bootstrap), "prebuilt": size(f"{folder}/prebuilt"),
             "lambda_runtime": size(f"{folder}/lambda_runtime"), "under test": size(bootstrap)}
    table = budgets(figures, calls, sizes)
    about = {"commit": first_line("git", "describe", "--always", "--dirty"), "processor": processor(),
             "kernel": os.uname().release, "bash": first_line("bash", "--version"),
             "rustc": first_line("rustc", "--version"), "load before": os.getloadavg()[2]}
    table.print()
    print_contestants(figures, calls)
    with open(f"{dist}/bench.json", "w") as file:
        json.dump({"about": about, "budgets": table.rows, "sizes": sizes,
                   "system calls": {name: {"to first GET": a, "an event": b} for name, (a, b) in calls.items()},
                   "figures": [{"run": run, "figure": title, "contestant": name, **values}
                               for (run, title, name), values in figures.items()]}, file, indent=1)
        file.write("\n")
    rounds = figures["start", "first GET", "floor-loop"]["samples"], figures["events", "cycle", "floor-loop"]["samples"]
    with open(f"{dist}/bench.svg", "w") as file:
        file.write(chart(figures, f"medians of {rounds[0]} starts and {rounds[1]:,} events of each; "
                                  f"{about['processor']}"))
    missed = [row["figure"] for row in table.rows if row["verdict"] == "MISSED"]
    print(f"{len(missed)} budgets missed" + "".join(f"\n  {title}" for title in missed))
    sys.exit(bool(missed))


main()
