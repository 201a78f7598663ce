"""Owns the two load generators: how they are called and what they print. Never judges a reply."""

import json
import os
import re
import subprocess

from bed import program


def own(bed, address, path, options=(), seconds=None, rate=None):
    """Runs the project's own generator; returns what it printed."""
    command = [program("load"), address, path, *options]
    command += ["--seconds", str(seconds)] if seconds else ["--once"]
    command += ["--rate", str(rate)] if rate else []
    return json.loads(run(bed, command))


def dnsperf(bed, port, path, seconds, kind):
    """Runs dnsperf over questions of one kind; returns the same fields, as far as dnsperf knows them."""
    out = run(bed, [
        "dnsperf", "-s", "127.0.0.1", "-p", str(port), "-d", path, "-l", str(seconds), "-c", "8", "-q", "400", "-t", "1"])
    number = lambda label: int(re.search(label + r":\s+(\d+)", out)[1])
    codes = {code: int(count) for code, count in re.findall(r"([A-Z]+) (\d+) \(", out)}
    seconds = float(re.search(r"Run time \(s\):\s+([\d.]+)", out)[1])
    return {"seconds": seconds, "answered": number("Queries completed"), "lost": number("Queries lost"),
            "codes": {"blocked" if kind == "blocked" else "found": codes}}


def run(bed, command):
    pin = lambda: os.sched_setaffinity(0, bed.load_cores)
    done = subprocess.run(command, capture_output=True, text=True, preexec_fn=pin)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr}")
    return done.stdout
