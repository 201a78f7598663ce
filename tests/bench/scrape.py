"""Owns the cost of a scrape: processor time that a server with everything configured takes for one reading of its metrics. Never compares servers."""

import json
import statistics
import time
import urllib.request

import load
from bed import Bed
from peers.interdict import InterdictAll
from workloads import Questions

# Scrapes of a round; one takes a millisecond or a few.
SCRAPES = 50
# What an answer may cost, in milliseconds.
WANTED = 20


class Everything(InterdictAll):
    """All that has series: encrypted listeners, groups, exceptions, a zone, proxies, limits, lists."""

    name = "interdict+everything"

    def rules(self):
        groups = "".join(f"""
[[policy.group]]
name = "group{number}"
clients = ["10.{number}.0.0/16"]
enforce = ["ca-tbs-2023-10-30-wechat-kaspersky", "ca-tbs-2023-02-28-tiktok", "bench"]
[[policy.exception]]
id = "exception{number}"
group = "group{number}"
apps = ["kaspersky"]
until = "2999-12-31"
approved_by = "ticket {number}"
reason = "bench"
""" for number in range(50))
        zone, page = self.bed.free_port(), self.bed.free_port()
        return super().rules() + groups + f"""
[[policy.group]]
name = "default"
enforce = ["ca-tbs-2023-10-30-wechat-kaspersky", "ca-tbs-2023-02-28-tiktok", "bench"]
[zone]
name = "rpz.bench"
listen = ["127.0.0.1:{zone}"]
allow = ["127.0.0.1"]
[limits]
queries = 1000000
[[proxy]]
mode = "page"
address = "127.0.0.1:{page}"
"""


def run(given, out):
    with Bed(given.names or 100_000, 1, given.listed, given.popular) as bed:
        bed.certify()
        server, questions = Everything(bed), Questions(bed)
        try:
            server.start()
            address = f"127.0.0.1:{server.port}"
            load.own(bed, address, questions.path("mixed"), ["--patient"], 2)
            time.sleep(2)
            costs = [cost(server) for _ in range(given.rounds)]
            page = urllib.request.urlopen(f"http://{server.admin}/metrics", timeout=5).read()
        finally:
            server.stop()
    series = sum(1 for line in page.splitlines() if not line.startswith(b"#"))
    seen = {"mode": "scrape", "cpu_ms": statistics.median(costs), "series": series, "bytes": len(page)}
    out.write(json.dumps(seen) + "\n")
    met = "met" if seen["cpu_ms"] <= WANTED else "MISSED"
    print(f"a scrape: {seen['cpu_ms']:.2f} ms of CPU (at most {WANTED}: {met}), {series} series, {len(page)} bytes; rounds {[round(c, 2) for c in costs]}")


def cost(server):
    """Milliseconds of one scrape, less what the server does anyway in that time."""
    began, idle = time.monotonic(), server.cpu()
    time.sleep(0.5)
    idle = (server.cpu() - idle) / (time.monotonic() - began)
    began, before = time.monotonic(), server.cpu()
    for _ in range(SCRAPES):
        urllib.request.urlopen(f"http://{server.admin}/metrics", timeout=5).read()
    spent = server.cpu() - before - idle * (time.monotonic() - began)
    return max(0, spent) / SCRAPES / 1e6
