"""Owns the comparison of changes: a long policy gains one name while the server answers at a fixed rate. Measures how long
until the change is seen, what it costs, what is lost meanwhile, and whether answers kept from before are held to it."""

import json
import threading
import time

import load
from bed import Bed
from measure import COMMON_RATE, say
from workloads import Questions

NAMES = 1_000_000
# Seconds before the change, and after it was seen.
AROUND = 2
# A change that takes longer is given up.
PATIENCE = 60
NAME = "changed.example"


def run(given, kinds, out):
    """Prints a line for each server that can be changed while it runs, or restarted."""
    print(f"{'server':14} {'seen after s':>12} {'CPU s':>7} {'MiB before':>10} {'at most':>8} {'x':>5} {'lost':>8} {'kept answers':>13}")
    for kind in kinds:
        if not hasattr(kind, "change") or kind.name in ("interdict-off", "interdict+log", "interdict+all"):
            continue
        with Bed(given.names or NAMES, 1, given.listed, given.popular) as bed:
            server = kind(bed)
            try:
                server.start()
                seen = change(server, Questions(bed))
            finally:
                server.stop()
        out.write(json.dumps({"mode": "change", "peer": kind.name, "names": bed.names, **seen}) + "\n")
        after = "never" if seen["seen"] is None else f"{seen['seen']:.3f}"
        print(f"{kind.name:14} {after:>12} {seen['cpu']:7.2f} {seen['before'] / 2**20:10.0f} {seen['peak'] / 2**20:8.0f} "
              f"{seen['peak'] / seen['before']:5.2f} {seen['lost']:8} {seen['kept']:>13}", flush=True)


def change(server, questions):
    address = f"127.0.0.1:{server.port}"
    load.own(server.bed, address, questions.path("warm"), ["--window", "64", "--patient"])
    server.ask(NAME)
    time.sleep(AROUND)
    before, over = server.memory(), threading.Event()
    server.forget_peak()
    base = server.cpu()
    asked = {"lost": 0, "sent": 0}
    asking = threading.Thread(target=ask, args=(server, address, questions.path("cached"), over, asked))
    asking.start()
    time.sleep(AROUND)
    idle = (server.cpu() - base) / AROUND
    began, spent = time.monotonic(), server.cpu()
    try:
        server.change(NAME)
    except RuntimeError:
        over.set()
        raise
    number, seen = 0, None
    while seen is None and time.monotonic() - began < PATIENCE:
        number += 1
        if server.ask(f"n{number}.{NAME}") == server.blocked:
            seen = time.monotonic() - began
        time.sleep(0.001)
    took = time.monotonic() - began
    cost = max(0, server.cpu() - spent - idle * took) / 1e9
    time.sleep(AROUND)
    over.set()
    asking.join()
    kept = "held to it" if server.ask(NAME) == server.blocked else "go on"
    return {"seen": seen, "cpu": cost, "before": before, "peak": server.memory("VmHWM"), "kept": kept, **asked}


def ask(server, address, path, over, asked):
    """Second after second, until it is over."""
    while not over.is_set():
        try:
            seen = load.own(server.bed, address, path, ["--patient"], 1, COMMON_RATE)
        except RuntimeError as error:
            # The port is closed while a server starts anew.
            say(f"{server.name}: {error}")
            seen = {"lost": COMMON_RATE, "sent": COMMON_RATE}
        for field in asked:
            asked[field] += seen[field]
