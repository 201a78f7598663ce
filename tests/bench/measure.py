"""Owns one measurement after the other: interleaved rounds over the servers, each figure written down at once as a line of
JSON. Never computes a ratio."""

import json
import sys
import threading
import urllib.request

import load
from bed import Bed
from workloads import Questions

# Queries a second that every server can bear, for the latency at one common rate.
COMMON_RATE = 20_000
# Wrong replies put up with, as a share: a query may time out inside a server under full load.
WRONG = 0.001


class Measurement:
    """Rows measured into a file."""

    def __init__(self, arguments, out):
        self.arguments = arguments
        self.out = out

    def note(self, **fields):
        self.out.write(json.dumps(fields) + "\n")
        self.out.flush()

    def policy(self, rows, peers):
        """Measures rows that share a policy and a number of workers."""
        first = rows[0]
        with Bed(first.names, first.workers, self.arguments.listed, self.arguments.popular) as bed:
            questions, servers = Questions(bed), []
            try:
                for number, kind in enumerate(peers):
                    if any(takes(row, kind, self.arguments.peers) for row in rows):
                        servers.append(self.start(kind, bed, 5400 + number, first))
                for number in range(self.arguments.rounds):
                    for row in rows:
                        for server in servers:
                            if takes(row, type(server), self.arguments.peers):
                                self.one(row, server, questions, number)
            finally:
                for server in servers:
                    server.stop()

    def start(self, kind, bed, port, row):
        say(f"starting {kind.name} with {bed.names} names, {bed.workers} workers")
        server = kind(bed, port)
        server.start(bed.server_cores)
        self.note(mode="start", peer=server.name, names=row.names, workers=row.workers, version=kind.version(),
                  seconds=round(server.started_in, 3), rss=server.memory_at_start)
        return server

    def one(self, row, server, questions, number):
        """One server, one row, one round."""
        bed, kind = questions.bed, row.questions or row.workload
        floor = server.name == "floor"
        path = questions.path(kind)
        host = "[::1]" if row.workload == "ipv6" else "127.0.0.1"
        address = f"{host}:{server.port}"
        if not floor:
            self.warm(row, kind, bed, address, questions)
        note = lambda mode, seen, cpu, **more: self.note(
            row=row.name, peer=server.name, mode=mode, round=number, names=row.names, workers=row.workers,
            cpu_us=round(cpu / 1e3 / max(1, seen["answered"]), 4), qps=round(seen["answered"] / seen["seconds"]),
            wrong=0 if floor else row.wrong(seen["codes"], server), **seen, **more)

        def ask(mode, rate=None):
            options = [*row.options]
            if row.unique:
                options += ["--unique-from", str(questions.asked)]
            before = server.cpu()
            with Scrape(server):
                seen = load.own(bed, address, path, options, self.arguments.seconds, rate)
            used = server.cpu() - before
            questions.asked += seen["sent"] + 1
            note(mode, seen, used)
            self.check(row, server, seen, floor)
            return seen

        seen = ask("saturation")
        say(f"{row.name} {server.name}: {seen['answered'] / seen['seconds']:.0f}/s, lost {seen['lost']}")
        if row.latency:
            ask("half", seen["answered"] / seen["seconds"] / 2)
            ask("common", COMMON_RATE)
        if row.dnsperf and self.arguments.dnsperf:
            before = server.cpu()
            seen = load.dnsperf(bed, server.port, questions.dnsperf_path(kind), self.arguments.seconds)
            used = server.cpu() - before
            codes = seen.pop("codes")
            right = {"NXDOMAIN"} if floor else {server.blocked} if kind == "blocked" else {"NOERROR"}
            if set(codes) != right:
                raise RuntimeError(f"{row.name} {server.name}: {codes} under dnsperf")
            note("dnsperf", {**seen, "codes": {}}, used)

    def warm(self, row, kind, bed, address, questions):
        """Lets the server keep what it can of the answers; other rows may have pushed some out."""
        warming = {"cached": ["warm"], "mixed": ["warm", "blocked"], "blocked": ["blocked"]}
        options = [option for option in row.options if option in ("--dnssec-ok", "--cookie")]
        for questions_first in warming.get(kind, []):
            load.own(bed, address, questions.path(questions_first), ["--window", "64", "--patient", *options])

    def check(self, row, server, seen, floor):
        """A fast wrong answer is an error."""
        wrong = seen["mismatched"] + (0 if floor else row.wrong(seen["codes"], server))
        if wrong > seen["answered"] * WRONG or seen["answered"] == 0:
            raise RuntimeError(f"{row.name} {server.name}: {wrong} wrong replies: {seen}")


class Scrape:
    """Reads a server's metrics every second, if it is the one whose cost is in question."""

    def __init__(self, server):
        self.url = f"http://{server.admin()}/metrics" if server.name == "interdict+log" else None
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
    if kind.name == "interdict+log" or row.workers > kind.most_workers:
        return False
    return row.names <= kind.most_names or kind.name in asked_for


def say(text):
    print(text, file=sys.stderr, flush=True)
