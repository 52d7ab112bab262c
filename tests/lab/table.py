"""Prints the laboratory's table and holds it against tests/lab/bounds.

A budget is what a figure shall be; a bound is what it was, and one per cent. Missing a budget is told, passing a bound
fails. Exit status 1 when a figure is worse than its bound.
"""

import argparse
import io
import math
import os
import sys
import zipfile

# Name in the file of bounds, title, unit, ours, floor, budget. Where there is a floor, budget and bound are of the ratio.
FIGURES = (
    ("start-executable", "exec -> first GET /next, executable / C loop", "",
     ("ours-program", "first-get"), ("floor-loop", "first-get"), 1.08),
    ("event-library", "event in process, library / C loop", "", ("ours-library", "event"), ("floor-loop", "event"), 1.03),
    ("event-executable", "event, static executable / C loop + posix_spawn", "",
     ("ours-program", "event"), ("floor-spawn", "event"), 1.06),
    ("event-shell", "event, shell function / warm bash fork", "", ("ours-shell", "event"), ("floor-fork", "event"), 1.15),
    ("start-shell", "exec -> first response, shell / warm bash fork", "",
     ("ours-shell", "first-response"), ("floor-fork", "first-response"), 1.15),
    ("large-executable", "6 MB, executable / C loop + posix_spawn", "",
     ("ours-program", "large"), ("floor-spawn", "large"), 1.00),
    ("rss-idle", "resident, idle", "KiB", ("ours-program", "rss-first"), None, 152),
    ("rss-after", "resident, after small events", "KiB", ("ours-program", "rss-last"), None, 184),
    ("rss-large", "resident, 6 MB events, at most", "KiB", ("ours-program", "rss-large"), None, 6348),
    ("size", "the bootstrap", "B", ("size", "bootstrap"), None, 163840),
    ("size-zip", "its zip", "B", ("size", "zip"), None, 90112),
    ("size-prebuilt", "the same on the prebuilt std", "B", ("size", "prebuilt"), None, 540672),
    ("file-pages", "pages of its file touched before the first GET", "", ("ours-program", "file-pages"), None, None),
    ("anonymous-pages", "anonymous pages by then", "", ("ours-program", "anonymous-pages"), None, None),
    ("faults", "minor faults by then", "", ("ours-program", "faults"), None, None),
    ("major-faults", "major faults by then", "", ("ours-program", "major"), None, None),
)
# What is shown beside these, without being judged.
BESIDE = {"file-pages": ("floor-loop", "file-pages"), "anonymous-pages": ("floor-loop", "anonymous-pages"),
          "faults": ("floor-loop", "faults"), "major-faults": ("floor-loop", "major"),
          "rss-idle": ("floor-spawn", "rss-first"), "rss-after": ("floor-spawn", "rss-last"),
          "rss-large": ("floor-spawn", "rss-large")}


def read_samples(path):
    """{(contestant, figure): median}"""
    with open(path) as file:
        fields = [line.split() for line in file]
    return {(contestant, figure): int(median) for contestant, figure, median, *_ in fields}


def read_bounds(path):
    """What the bounds were taken with, and {name: bound}."""
    taken, bounds = None, {}
    if os.path.exists(path):
        with open(path) as file:
            for line in file:
                if line.startswith("# taken with: "):
                    taken = line.removeprefix("# taken with: ").rstrip("\n")
                elif line.strip() and not line.startswith("#"):
                    name, bound = line.split()
                    bounds[name] = float(bound)
    return taken, bounds


def bound_of(value, is_ratio):
    """One per cent above what was reached; a count that is too small for that stays as it is."""
    return math.ceil(value * 1.01 * 1000) / 1000 if is_ratio else math.floor(value * 1.01)


def write_bounds(path, taken, reached):
    with open(path, "w") as file:
        file.write("# What the laboratory's figures may be: what was reached, and one per cent. Ratios to the floor, or\n"
                   "# KiB, bytes, counts. Written by tests/lab/run.sh --update; a change of it belongs to the commit that\n"
                   f"# changes a figure, with the reason.\n# taken with: {taken}\n")
        for name, (value, is_ratio) in reached.items():
            bound = bound_of(value, is_ratio)
            file.write(f"{name:<18}{bound:.3f}\n" if is_ratio else f"{name:<18}{bound}\n")


def size(path):
    return os.path.getsize(path) if os.path.exists(path) else None


def zipped_size(path):
    """The zip of the bootstrap alone, as any zip program makes it."""
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        archive.write(path, "bootstrap")
    return len(memory.getvalue())


def cell(value, width):
    return ("-" if value is None else f"{value:.3f}" if isinstance(value, float) else f"{value:,}").rjust(width)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--update", action="store_true")
    for name in ("samples", "bounds", "taken", "bootstrap", "prebuilt"):
        parser.add_argument(f"--{name}", required=True)
    options = parser.parse_args()

    figures = read_samples(options.samples)
    figures["size", "bootstrap"] = size(options.bootstrap)
    figures["size", "zip"] = zipped_size(options.bootstrap)
    figures["size", "prebuilt"] = size(options.prebuilt)
    taken, bounds = read_bounds(options.bounds)
    same = taken == options.taken

    passed, failed, missing, missed, reached = 0, [], [], [], {}
    print(f"{'instructions, or the unit':<58}{'ours':>13}{'floor':>13}{'ratio':>8}{'budget':>9}{'bound':>9}  verdict")
    for name, title, unit, ours_key, floor_key, budget in FIGURES:
        ours, floor = figures.get(ours_key), figures.get(floor_key or BESIDE.get(name))
        value = ours
        if floor_key:
            value = ours / floor if ours is not None and floor else None
        verdict, bound = "not measured", bounds.get(name) if same else None
        if bound is not None and not floor_key:
            bound = int(bound)
        if value is None:
            missing.append(title)
        else:
            reached[name] = value, bool(floor_key)
            verdict = "" if budget is None else "met" if value <= budget else "missed"
            if verdict == "missed":
                missed.append(title)
            if bound is not None and value > bound:
                verdict = "WORSE THAN ITS BOUND"
                failed.append(title)
            elif bound is not None:
                passed += 1
                if bound_of(value * 1.01, bool(floor_key)) < bound:
                    verdict += ", better than its bound"
        shown = float(budget) if floor_key else budget
        print(f"{title + (f', {unit}' if unit else ''):<58}{cell(ours, 13)}{cell(floor, 13)}"
              f"{cell(value if floor_key else None, 8)}{cell(shown, 9)}{cell(bound, 9)}  {verdict}")
    print(f"{len(missed)} budgets missed" + "".join(f"\n  {title}" for title in missed))
    if options.update:
        write_bounds(options.bounds, options.taken, reached)
        print(f"{options.bounds} is written")
        return 0
    skipped = [f"not measured: {title}" for title in missing]
    if not same:
        skipped = [f"the bounds were taken with other tools ({taken}; here: {options.taken})"]
    for why in skipped:
        print(f"skipped: the laboratory: {why}")
    print(f"lab: {passed} passed, {len(failed)} failed, {len(skipped)} skipped")
    return bool(failed)


sys.exit(main())
