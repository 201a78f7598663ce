"""Owns one measurement after the other: interleaved rounds over the servers, each figure written down at once as a line of
JSON. Never computes a ratio."""

import json
import sys
import threading
import time
import urllib.request

import load
from bed import Bed
from peers import VARIANTS
from peers.peer import DoesNotStart
from workloads import Questions

# Queries a second that every server can bear, for the latency at one common rate.
COMMON_RATE = 20_000
# Seconds after which memory that only loading took is given back, by those who do that.
SETTLE = 15
# Wrong replies put up with, as a share: a query may time out inside a server under full load.
WRONG = 0.001


class WrongReplies(Exception):
    """A server said something else than it must."""


class Measurement:
    """Rows measured into a file."""

    def __init__(self, arguments, out):
        self.arguments = arguments
        self.out = out
        # A fast wrong answer and a server that does not start: the run goes on, and fails at its end.
        self.errors = []

    def note(self, **fields):
        self.out.write(json.dumps(fields) + "\n")
        self.out.flush()

    def policy(self, rows, peers):
        """Measures rows that share a policy and a number of workers."""
        first = rows[0]
        with Bed(first.names, first.workers, self.arguments.listed, self.arguments.popular) as bed:
            questions, servers = Questions(bed), []
            try:
                for kind in peers:
                    if any(takes(row, kind, self.arguments.peers) for row in rows):
                        servers.append(kind(bed))
                        self.start(servers, first)
                self.settle(servers, first)
                for number in range(self.arguments.rounds):
                    for row in rows:
                        for server in servers:
                            if takes(row, type(server), self.arguments.peers):
                                try:
                                    self.one(row, server, questions, number)
                                except WrongReplies as error:
                                    say(f"ERROR: {error}")
                                    self.errors.append(error)
            finally:
                for server in servers:
                    server.stop()

    def start(self, servers, row):
        """Starts the last of the servers; one that does not start is an error, and the others go on without it."""
        server = servers[-1]
        say(f"starting {server.name} with {row.names} names, {row.workers} workers")
        try:
            server.start()
        except DoesNotStart as error:
            servers.pop()
            say(f"ERROR: {error}")
            self.errors.append(error)

    def settle(self, servers, row):
        """Writes down what the servers hold before anybody asked them, once they gave back what only loading took."""
        if not self.arguments.quick:
            time.sleep(SETTLE)
        for server in servers:
            self.note(mode="start", peer=server.name, names=row.names, workers=row.workers, version=server.version(),
                      seconds=round(server.started_in, 3), rss=server.memory("VmRSS"), peak=server.memory("VmHWM"))

    def one(self, row, server, questions, number):
        """One server, one row, one round."""
        bed, kind = questions.bed, row.questions or row.workload
        path = questions.path(kind)
        host = "[::1]" if row.workload == "ipv6" else "127.0.0.1"
        address = f"{host}:{server.port}"
        if server.name != "floor":
            self.warm(row, kind, server, address, questions)

        def measure(mode, run):
            busy, ours, before = bed.used(), bed.used_by_load(), server.cpu()
            with Scrape(server):
                seen = run()
            cpu = server.cpu() - before
            ours = bed.used_by_load() - ours + cpu / 1e9
            self.check(row, server, seen)
            self.note(
                row=row.name, peer=server.name, mode=mode, round=number, names=row.names, workers=row.workers,
                cpu_us=round(cpu / 1e3 / seen["answered"], 4), qps=round(seen["answered"] / seen["seconds"]),
                wrong=row.wrong(seen["codes"], server),
                others=round(max(0, bed.used() - busy - ours) / seen["seconds"], 3), **seen)
            return seen

        def ask(rate=None):
            options = [*row.options]
            if row.unique:
                options += ["--unique-from", str(questions.asked)]
            seen = load.own(bed, address, path, options, self.arguments.seconds, rate)
            questions.asked += seen["sent"] + 1
            return seen

        seen = measure("saturation", ask)
        say(f"{row.name} {server.name}: {seen['answered'] / seen['seconds']:.0f}/s, lost {seen['lost']}")
        if row.latency:
            measure("half", lambda: ask(seen["answered"] / seen["seconds"] / 2))
            measure("common", lambda: ask(COMMON_RATE))
        if row.dnsperf and self.arguments.dnsperf:
            asked = questions.dnsperf_path(kind)
            measure("dnsperf", lambda: load.dnsperf(bed, server.port, asked, self.arguments.seconds, kind))

    def warm(self, row, kind, server, address, questions):
        """Lets the server keep what it can of the answers; other rows may have pushed some out."""
        options = [option for option in row.options if option in ("--dnssec-ok", "--cookie")]
        if kind in ("cached", "mixed"):
            load.own(server.bed, address, questions.path("warm"), ["--window", "64", "--patient", *options])
        if kind in ("blocked", "mixed") and not server.knows_blocked:
            load.own(server.bed, address, questions.path("blocked"), ["--window", "64", "--patient"])
            server.knows_blocked = True

    def check(self, row, server, seen):
        """A fast wrong answer is an error."""
        wrong = seen.get("mismatched", 0) + row.wrong(seen["codes"], server)
        if wrong > seen["answered"] * WRONG or seen["answered"] == 0:
            raise WrongReplies(f"{row.name} {server.name}: {wrong} wrong replies: {seen}")


class Scrape:
    """Reads a server's metrics every second, if it is one whose cost is in question."""

    def __init__(self, server):
        self.url = f"http://{server.admin}/metrics" if getattr(server, "is_scraped", False) else None
        self.over = threading.Event()

    def __enter__(self):
        if self.url:
            self.thread = threading.Thread(target=self.read)
            self.thread.start()

    def __exit__(self, *_):
        if self.url:
            self.over.set()
            self.thread.join()

    def read(self):
        while True:
            urllib.request.urlopen(self.url, timeout=5).read()
            if self.over.wait(1):
                return


def takes(row, kind, asked_for):
    """Whether a server is measured in a row."""
    if row.peers is not None:
        return kind.name in row.peers
    if kind.name in VARIANTS or row.workers > kind.most_workers:
        return False
    return row.names <= kind.most_names or kind.name in asked_for


def say(text):
    print(text, file=sys.stderr, flush=True)
