"""Owns the profiles of the hot paths: where interdict's time goes for a block, a hit and a miss, by perf, as a flame graph's
widest frames. Never compares."""

import collections
import os
import re
import subprocess
import threading

import load
from bed import Bed
from measure import say
from peers.interdict import Interdict
from workloads import Questions

NAMES = 100_000
LINES = 10
# What a path is called, the questions that take it, and how they are asked.
PATHS = (("block", "blocked", []), ("hit", "cached", []), ("miss", "misses", ["--patient", "--unique-from", "1"]))


def run(given):
    """Prints the widest frames of each path: those in which most samples end, kernel and user."""
    with Bed(NAMES, 1, given.listed, given.popular) as bed:
        questions, server = Questions(bed), Interdict(bed)
        server.start()
        try:
            address = f"127.0.0.1:{server.port}"
            load.own(bed, address, questions.path("warm"), ["--window", "64", "--patient"])
            for title, kind, options in PATHS:
                asking = threading.Thread(
                    target=load.own, args=(bed, address, questions.path(kind), options, given.seconds + 2))
                asking.start()
                data = os.path.join(bed.folder, "perf.data")
                record(server.processes[0].pid, data, given.seconds)
                asking.join()
                show(title, data)
        finally:
            server.stop()


def record(pid, data, seconds):
    command = ["perf", "record", "-q", "-e", "cpu-clock", "-F", "4999", "-p", str(pid), "-o", data]
    subprocess.run([*command, "--", "sleep", str(seconds)], check=True, stderr=subprocess.DEVNULL)


def show(title, data):
    script = subprocess.run(
        ["perf", "script", "-i", data, "-F", "comm,ip,sym,dso"], capture_output=True, text=True, check=True).stdout
    frames, kernel, total = collections.Counter(), 0, 0
    for line in script.splitlines():
        found = re.match(r"\s*\S+\s+([0-9a-f]+)\s+(.*) \((.*)\)$", line)
        if not found:
            continue
        _, symbol, where = found.groups()
        in_kernel = "kernel" in where or where.startswith("[")
        kernel += in_kernel
        total += 1
        frames[f"{'kernel' if in_kernel else 'interdict'} {plain(symbol)}"] += 1
    if not total:
        return say(f"{title}: perf saw nothing")
    print(f"{title}: {total} samples, {100 * kernel / total:.1f} % in the kernel")
    for frame, count in frames.most_common(LINES):
        print(f"  {100 * count / total:5.1f} %  {frame}")


def plain(symbol):
    """A symbol without its hash and offset."""
    return re.sub(r"(::h[0-9a-f]{16})?(\+0x[0-9a-f]+)?$", "", symbol)
