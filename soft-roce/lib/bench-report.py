#!/usr/bin/python3
"""Turns the raw lines of soft-roce/bench (standard input) into what people read.

Standard output: one JSON line per case, the median run of its repetitions with the figures of all.
Standard error: tables, and the bounds. --json FILE: all of it. --quick: only what the bounds are made
of was to be measured; the last line on standard output counts those figures.
"""

import argparse
import json
import os
import statistics
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "..", "tests", "bench"))
# pylint: disable=wrong-import-position
from report import median_run, read_lines, say  # noqa: E402

WAYS = ["verbs", "tcp", "nbd"]
ORDERS = ["random-read", "sequential-read"]
MIB = 2**20

# What is to be reached.
FAULT_AT_MOST = 1.25
SEQUENTIAL_AT_LEAST = 0.8


def perftest(lines):
    """{(program, server): median and all}, in us or MiB/s."""
    out = {}
    for line in lines:
        if "server" in line:
            out.setdefault((line["under"], line["server"]), []).append(line["value"])
    return {
        key: {"under": key[0], "server": key[1], "value": statistics.median(values), "all": values}
        for key, values in out.items()
    }


def floors(lines):
    """{name: median and all, of the median of a fault}."""
    out = {}
    for line in lines:
        if line["under"] == "floor":
            out.setdefault(line["floor"], []).append(line["access"]["p50_ns"])
    return {
        name: {"under": "floor", "floor": name, "p50_ns": statistics.median(values), "all": values}
        for name, values in out.items()
    }


def programs(lines):
    """{(order, way): median run}, and with it the median of the medians of a fault."""
    runs = {}
    for line in lines:
        if "ns_per_op" in line and line["under"] in WAYS:
            runs.setdefault((line["case"], line["under"]), []).append(line)
    out = {}
    for key, some in runs.items():
        out[key] = median_run(some)
        out[key]["all_fault_p50_ns"] = [run["slow"]["p50_ns"] for run in some]
        out[key]["fault_p50_ns"] = statistics.median(out[key]["all_fault_p50_ns"])
    return out


def lowest_floor(table):
    """Of a fault that a user's program serves; the kernel's own is none."""
    return min(
        (row["p50_ns"] for name, row in table.items() if name != "fault-kernel"), default=None
    )


def mib_per_s(run):
    return run["bytes_per_second"] / MIB


def bounds(verbs, floor, runs):
    """(text, figure, bound, whether more is better)"""
    fault = runs["random-read", "verbs"]["fault_p50_ns"]
    alone = verbs["ib_read_lat", "b"]["value"] * 1e3 + floor
    speed = mib_per_s(runs["sequential-read", "verbs"])
    width = verbs["ib_read_bw", "b"]["value"]
    return [
        ("fault over verbs to (ib_read_lat + floor)", fault / alone, FAULT_AT_MOST, False),
        ("sequential over verbs to ib_read_bw", speed / width, SEQUENTIAL_AT_LEAST, True),
    ]


def comparisons(runs):
    """The same without a bound: what is only told."""
    fault = {way: runs["random-read", way]["fault_p50_ns"] for way in WAYS}
    access = {way: runs["random-read", way]["ns_per_op"] for way in WAYS}
    speed = {way: mib_per_s(runs["sequential-read", way]) for way in WAYS}
    return [
        ("fault, verbs to tcp", fault["verbs"] / fault["tcp"], None, False),
        ("fault, verbs to swap over nbd", fault["verbs"] / fault["nbd"], None, False),
        ("random access, verbs to tcp", access["verbs"] / access["tcp"], None, False),
        ("random access, verbs to swap over nbd", access["verbs"] / access["nbd"], None, False),
        ("sequential speed, verbs to tcp", speed["verbs"] / speed["tcp"], None, True),
        ("sequential speed, verbs to swap over nbd", speed["verbs"] / speed["nbd"], None, True),
    ]


def spread(values, unit):
    return f"{min(values) / unit:9.1f} to {max(values) / unit:8.1f}"


def print_alone(verbs, table):
    say(f"{'by itself':42} {'median':>10}   {'of all repetitions':>21}")
    for (program, server), row in sorted(verbs.items()):
        where = "b, the other guest" if server == "b" else "a, the guest itself"
        unit = "us" if program == "ib_read_lat" else "MiB/s"
        say(f"    {program + ', server in ' + where:38} {row['value']:10.1f}  "
            f"{spread(row['all'], 1)} {unit}")
    for name, row in table.items():
        say(f"    {name:38} {row['p50_ns'] / 1e3:10.1f}  {spread(row['all'], 1e3)} us")


def print_programs(runs):
    for order in ORDERS:
        say(f"{order + ', half of it local':30} {'us a fault':>11} {'us an access':>13}"
            f" {'MiB/s':>8}   {'a fault, of all repetitions':>21}")
        for way in (each for each in WAYS if (order, each) in runs):
            run = runs[order, way]
            say(f"    {way:26} {run['fault_p50_ns'] / 1e3:11.0f} {run['ns_per_op'] / 1e3:13.0f}"
                f" {mib_per_s(run):8.1f}  {spread(run['all_fault_p50_ns'], 1e3)} us")


def print_statistics(lines):
    lines = [line for line in lines if "stat" in line]
    if not lines:
        return
    say("the engine's own statistics of random reads: from reading a fault to having placed the page")
    for line in lines:
        major = line["stat"]["latency"]["major"]
        say(f"    {line['under']:26} {major['p50_ns'] / 1e3:11.0f} us median,"
            f" {major['p90_ns'] / 1e3:.0f} for 9 of 10, of {major['count']}")


def print_bounds(rows):
    say(f"{'to be reached':52} {'bound':>8} {'is':>8}")
    for text, figure, bound, more in rows:
        verdict = ""
        if bound is not None:
            verdict = "ok" if (figure >= bound if more else figure <= bound) else "MISSED"
        say(f"    {text:48} {bound if bound is not None else '-':>8} {figure:8.2f}  {verdict}")


def count_figures(verbs, floor, runs):
    """Of those that the bounds are made of: how many are there, and can be what they say they are."""
    def value(table, key, name):
        return table[key][name] if key in table else 0

    fault = value(runs, ("random-read", "verbs"), "fault_p50_ns")
    figures = {
        "ib_read_lat": value(verbs, ("ib_read_lat", "b"), "value"),
        "ib_read_bw": value(verbs, ("ib_read_bw", "b"), "value"),
        "the floor": floor or 0,
        "a fault over verbs, which fetches, above the floor, which does not": fault - (floor or 0),
        "sequential over verbs": value(runs, ("sequential-read", "verbs"), "ns_per_op"),
    }
    wrong = [text for text, figure in figures.items() if not 0 < figure < float("inf")]
    for text in wrong:
        say(f"FAILED: {text}: {figures[text]}")
    return len(figures) - len(wrong), len(wrong)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--what", required=True)
    parser.add_argument("--bytes", type=int, required=True)
    parser.add_argument("--json", required=True)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    lines = read_lines()
    verbs, table, runs = perftest(lines), floors(lines), programs(lines)
    passed, failed = count_figures(verbs, lowest_floor(table), runs)
    rows = [] if failed else bounds(verbs, lowest_floor(table), runs)
    try:
        rows += [] if options.quick else comparisons(runs)
    except KeyError as missing:
        sys.exit(f"bench-rxe: no table, not measured: {missing}")
    summary = {"what": options.what, "bytes": options.bytes,
               "bounds": [dict(zip(("text", "is", "bound", "more_is_better"), row)) for row in rows]}
    cases = [*verbs.values(), *table.values(), *runs.values(),
             *(line for line in lines if "stat" in line)]
    for line in cases + [summary]:
        print(json.dumps(line))
    say(options.what)
    print_alone(verbs, table)
    print_programs(runs)
    print_statistics(lines)
    print_bounds(rows)
    try:
        with open(options.json, "w", encoding="ascii") as file:
            json.dump(dict(summary, cases=cases), file, indent=1)
            file.write("\n")
    except OSError as error:
        sys.exit(f"bench-rxe: {error}")
    if options.quick:
        print(f"bench: {passed} passed, {failed} failed, 0 skipped")
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
