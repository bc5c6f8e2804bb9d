#!/usr/bin/python3
"""Turns the raw lines of tests/bench/run (standard input) into what people read.

Standard output: one JSON line per case, the median run of its repetitions with the figures of all.
Standard error: tables, with ratios to the kernel's swap to zram in the same run.
--json FILE: all of it.
"""

import argparse
import json
import os
import statistics
import sys

ORDERS = ["random-read", "random-write", "sequential-read"]
WAYS = ["plain", "shm", "tcp", "zram", "file"]

# What is to be reached, as time per access relative to zram: (way, order prefix, at most).
TARGETS = [
    ("shm", "random-read", 1.0),
    ("tcp", "random-read", 2.0),
    ("shm", "sequential-read", 0.5),
    ("tcp", "sequential-read", 0.5),
]
BUDGET_TARGET = 1.01
METADATA_TARGET = 32
PAGE_BYTES = 4096


def median_run(runs):
    """The run in the middle: its percentiles belong together, unlike medians of each."""
    runs = sorted(runs, key=lambda run: run["ns_per_op"])
    middle = dict(runs[(len(runs) - 1) // 2])
    middle["all_ns_per_op"] = [run["ns_per_op"] for run in runs]
    return middle


def group(lines):
    """{(order, threads): {way: median run}}"""
    runs = {}
    for line in lines:
        if "ns_per_op" in line and line["under"] in WAYS:
            key = (line["case"], line["threads"])
            runs.setdefault(key, {}).setdefault(line["under"], []).append(line)
    return {
        key: {way: median_run(some) for way, some in ways.items()} for key, ways in runs.items()
    }


def host():
    def read(path):
        try:
            with open(path, encoding="ascii") as file:
                return file.read().strip()
        except OSError:
            return ""

    return {
        "kernel": os.uname().release,
        "cpus": os.cpu_count(),
        "thp": read("/sys/kernel/mm/transparent_hugepage/enabled"),
        "page_cluster": read("/proc/sys/vm/page-cluster"),
    }


def say(text=""):
    print(text, file=sys.stderr)


def ratios_to_zram(cases):
    return [
        {
            "case": order,
            "threads": threads,
            "under": way,
            "to_zram": round(run["ns_per_op"] / ways["zram"]["ns_per_op"], 3),
        }
        for (order, threads), ways in sorted(cases.items())
        if "zram" in ways
        for way, run in ways.items()
    ]


def floor_ratios(floors, cases):
    """What a pager of a hundred lines reaches over shm, held against zram and against libpager."""
    out = []
    for floor in floors:
        ways = cases.get((floor["case"], floor["threads"]), {})
        if not floor["floor"].startswith("pager-shm") or not ways:
            continue
        ns = floor["ns_per_op"]
        out.append({
            "floor": floor["floor"],
            "case": floor["case"],
            "threads": floor["threads"],
            "ns_per_op": ns,
            "to_zram": round(ns / ways["zram"]["ns_per_op"], 3) if "zram" in ways else None,
            "shm_to_it": round(ways["shm"]["ns_per_op"] / ns, 3) if "shm" in ways else None,
        })
    return out


def print_floor_ratios(rows):
    def ratio(value):
        return "-" if value is None else f"{value:.2f}"

    if rows:
        say(f"{'the floor over shm':58} {'us an access':>14} {'to zram':>8} {'shm to it':>9}")
    for row in sorted(rows, key=lambda row: (row["case"], row["threads"])):
        name = f"{row['case']}, threads: {row['threads']}, {row['floor']}"
        say(f"    {name:54} {row['ns_per_op'] / 1e3:14.2f} {ratio(row['to_zram']):>8}"
            f" {ratio(row['shm_to_it']):>9}")


def print_cases(cases):
    say(f"{'half of the data local':24} {'us an access':>14} {'to zram':>8}"
        f" {'slow p50':>9} {'p90':>8} {'p99':>8} {'p99.9':>8}  us {'MiB here':>9}")
    for order in ORDERS:
        for threads in (1, 2):
            ways = cases.get((order, threads), {})
            zram = ways.get("zram")
            if ways:
                say(f"{order}, threads: {threads}")
            for way in [way for way in WAYS if way in ways]:
                run = ways[way]
                slow = run["slow"]
                ratio = f"{run['ns_per_op'] / zram['ns_per_op']:.2f}" if zram else "-"
                tail = " ".join(
                    f"{slow[name] / 1e3:8.1f}" for name in ("p50_ns", "p90_ns", "p99_ns", "p999_ns")
                )
                here = run["resident_bytes"] / 2**20
                say(f"    {way:20} {run['ns_per_op'] / 1e3:14.2f} {ratio:>8}  {tail} {here:12.0f}")


def print_floors(floors):
    if floors:
        say("floor of this machine: us, mean")
    for floor in floors:
        times = floor.get("slow", floor["access"])
        name = f"{floor['floor']} {floor['case']}, threads: {floor['threads']}"
        say(f"    {name:56} {floor['ns_per_op'] / 1e3:8.2f} an access"
            f" {times['mean_ns'] / 1e3:8.2f} a fault or fetch")


def print_transports(transports):
    if transports:
        say("a transport by itself: us")
    for line in transports:
        name = f"{line['transport']} {line['case']}"
        say(f"    {name:40} {line['ns_per_op'] / 1e3:8.2f} a request"
            f" {line['latency']['p50_ns'] / 1e3:8.2f} median {line['mib_per_s']:8.0f} MiB/s")


def budget_figures(lines):
    """Whole runs with all data within the budget: the median of the ratios of the pairs."""
    out = {}
    for name in ("far", "near", "tight"):
        plain, paged = (
            [line["microseconds"] for line in lines if line.get("budget") == f"{name}-{way}"]
            for way in ("plain", "libpager")
        )
        if plain and len(plain) == len(paged):
            out[name] = {
                "plain_median_us": statistics.median(plain),
                "libpager_median_us": statistics.median(paged),
                "ratio": round(statistics.median(p / q for p, q in zip(paged, plain)), 4),
            }
    return out


def find(value, name):
    """The first number of that name, however deep."""
    if isinstance(value, dict):
        if isinstance(value.get(name), (int, float)):
            return value[name]
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            found = find(item, name)
            if found is not None:
                return found
    return None


def metadata_per_page(lines):
    for line in lines:
        if "stat" in line:
            books = find(line["stat"], "metadata_bytes")
            adopted = find(line["stat"], "adopted_bytes")
            if books is not None and adopted:
                return round(books / (adopted / PAGE_BYTES), 2)
    return None


def verdicts(cases, budget, metadata):
    """What was to be reached, what was: (text, figure, target)."""
    out = []
    for way, order, target in TARGETS:
        for threads in (1, 2):
            ways = cases.get((order, threads), {})
            if way in ways and "zram" in ways:
                ratio = ways[way]["ns_per_op"] / ways["zram"]["ns_per_op"]
                out.append((f"{order}, threads: {threads}, {way} to zram", ratio, target))
    for name, figure in budget.items():
        out.append((f"all within the budget ({name}), to plain", figure["ratio"], BUDGET_TARGET))
    if metadata is not None:
        out.append(("metadata bytes per adopted page", metadata, METADATA_TARGET))
    return out


def print_verdicts(rows):
    if rows:
        say(f"{'to be reached':52} {'at most':>8} {'is':>8}")
    for text, figure, target in rows:
        say(f"    {text:48} {target:8.2f} {figure:8.3f}  {'ok' if figure <= target else 'MISSED'}")


def read_lines():
    return [json.loads(line) for line in sys.stdin if line.strip()]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--bytes", type=int, required=True)
    parser.add_argument("--other", type=int, required=True)
    parser.add_argument("--json", required=True)
    options = parser.parse_args()
    lines = read_lines()
    cases = group(lines)
    floors = [line for line in lines if line.get("under") == "floor"]
    transports = [line for line in lines if line.get("under") == "transport"]
    rest = [line for line in lines if "skipped" in line or "failed" in line]
    budget = budget_figures(lines)
    metadata = metadata_per_page(lines)
    rows = verdicts(cases, budget, metadata)

    runs = [run for _, ways in sorted(cases.items()) for run in ways.values()]
    summary = {"budget": budget, "metadata_bytes_per_page": metadata, "host": host(),
               "bytes": options.bytes, "limit_bytes": options.bytes // 2 + options.other}
    for line in floors + transports + runs + rest + [summary]:
        print(json.dumps(line))
    print_floors(floors)
    print_transports(transports)
    print_cases(cases)
    print_floor_ratios(floor_ratios(floors, cases))
    print_verdicts(rows)
    whole = dict(summary, floors=floors, transports=transports, cases=runs, rest=rest,
                 ratios=ratios_to_zram(cases), floor_ratios=floor_ratios(floors, cases))
    try:
        with open(options.json, "w", encoding="ascii") as file:
            json.dump(whole, file, indent=1)
            file.write("\n")
    except OSError as error:
        sys.exit(f"bench: {error}")


if __name__ == "__main__":
    main()
