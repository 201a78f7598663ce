"""Owns the printed table: medians over the rounds, ratios to the floor, and the project's targets. Never measures."""

import json
import statistics
from collections import defaultdict


def load(path):
    with open(path) as file:
        return [json.loads(line) for line in file if line.strip()]


# Cores that other programs may use during a measurement, and how many rounds without them are enough to drop those with them.
OTHERS = 0.1
ENOUGH = 3


class Figures:
    """Measured figures by row, server and mode."""

    def __init__(self, lines):
        self.all = defaultdict(list)
        self.starts = defaultdict(list)
        self.versions = {}
        for line in lines:
            if line["mode"] == "start":
                self.starts[line["peer"], line["names"], line["workers"]].append(line)
                self.versions[line["peer"]] = line["version"]
            elif line["mode"] != "robust":
                self.all[line["row"], line["peer"], line["mode"]].append(line)

    def rounds(self, row, peer, mode="saturation"):
        """The rounds that count: those in which other programs kept away, as long as there are enough of them."""
        lines = self.all.get((row, peer, mode), [])
        quiet = [line for line in lines if line["others"] <= OTHERS]
        return quiet if len(quiet) >= ENOUGH else lines

    def median(self, row, peer, field, mode="saturation"):
        """The median over the rounds, or None."""
        values = [line[field] for line in self.rounds(row, peer, mode) if field in line]
        return statistics.median(values) if values else None

    def ratio(self, row, peer, field="cpu_us", mode="saturation", over="floor"):
        """A figure over another server's."""
        ours, theirs = (self.median(row, name, field, mode) for name in (peer, over))
        return ours / theirs if ours and theirs else None

    def keys(self, mode):
        """Rows and their servers in the order of measurement."""
        rows = {}
        for row, peer, found in self.all:
            if found == mode:
                rows.setdefault(row, []).append(peer)
        return rows

    def start(self, peer, names, field, workers=1):
        values = [line[field] for line in self.starts.get((peer, names, workers), []) if line[field] is not None]
        return statistics.median(values) if values else None


def show(lines):
    figures = Figures(lines)
    print("servers:", "; ".join(f"{peer} ({version})" for peer, version in figures.versions.items() if version))
    saturation(figures)
    latency(figures)
    dnsperf(figures)
    starts(figures)
    targets(figures)
    disturbed = [line for lines in figures.all.values() for line in lines if line["others"] > OTHERS]
    if disturbed:
        total = sum(map(len, figures.all.values()))
        print(f"in {len(disturbed)} of {total} measurements other programs used more than {OTHERS:.0%} of a core")


def saturation(figures):
    print(f"\n{'row':14} {'server':14} {'CPU us':>7} {'x floor':>8} {'queries/s':>10} {'lost':>7} {'wrong':>6} {'rounds':>6}")
    for row, peers in figures.keys("saturation").items():
        for peer in peers:
            lines = figures.rounds(row, peer)
            print(f"{row:14} {peer:14} {figures.median(row, peer, 'cpu_us'):7.2f} {number(figures.ratio(row, peer)):>8} "
                  f"{figures.median(row, peer, 'qps'):10.0f} {sum(line['lost'] for line in lines):7} "
                  f"{sum(line['wrong'] for line in lines):6} {len(lines):6}")


def latency(figures):
    for mode, title in (("half", "at half of its own saturating rate"), ("common", "at one common rate")):
        rows = figures.keys(mode)
        if rows:
            print(f"\n{'latency ' + title:42} {'queries/s':>10} {'p50 us':>8} {'p99 us':>8} {'p99.9 us':>9} {'lost':>6}")
        for row, peers in rows.items():
            for peer in peers:
                value = lambda field: figures.median(row, peer, field, mode)
                lost = sum(line["lost"] for line in figures.all[row, peer, mode])
                print(f"{row:14} {peer:27} {value('qps'):10.0f} {value('p50_us'):8.0f} {value('p99_us'):8.0f} "
                      f"{value('p999_us'):9.0f} {lost:6}")


def dnsperf(figures):
    rows = figures.keys("dnsperf")
    if rows:
        print(f"\n{'under dnsperf':14} {'server':14} {'CPU us':>7} {'x floor':>8} {'queries/s':>10}")
    for row, peers in rows.items():
        for peer in peers:
            value = lambda field: figures.median(row, peer, field, "dnsperf")
            print(f"{row:14} {peer:14} {value('cpu_us'):7.2f} {number(figures.ratio(row, peer, mode='dnsperf')):>8} "
                  f"{value('qps'):10.0f}")


def starts(figures):
    small = 1_000
    found = [(peer, names) for peer, names, workers in figures.starts if names > small and workers == 1]
    found = [key for key in found if key[0] not in ("floor", "interdict-off", "interdict+log", "interdict+all")]
    if found:
        print(f"\n{'server':14} {'names':>9} {'start s':>8} {'MiB':>7} {'at most':>7} {'bytes a name':>13}")
    for peer, names in found:
        base, rss = figures.start(peer, small, "rss"), figures.start(peer, names, "rss")
        each = f"{(rss - base) / (names - small):.0f}" if base and rss else "-"
        print(f"{peer:14} {names:9} {figures.start(peer, names, 'seconds'):8.2f} {rss / 2**20:7.0f} "
              f"{figures.start(peer, names, 'peak') / 2**20:7.0f} {each:>13}")


def targets(figures):
    """The targets of the project, as far as the rows they need were measured."""
    def sizes(workload):
        # Over the floor's of the same minutes: the rounds of two sizes are far apart, and absolute figures drift.
        ours = [figures.ratio(f"{workload}-{size}", "interdict") for size in ("10m", "1k")]
        return ours[0] / ours[1] if all(ours) else None

    def workers(workload):
        # Over the floor's: with few cores the load takes part of them, from both alike.
        one = figures.ratio(f"{workload}-100k", "interdict")
        two = figures.ratio(f"{workload}-2w-100k", "interdict")
        return 2 * one / two if one and two else None

    known = [
        ("blocked, 100 k names: CPU / floor", figures.ratio("blocked-100k", "interdict"), 1.20, True),
        ("cached: CPU / floor", figures.ratio("cached-100k", "interdict"), 1.25, True),
        ("5 % blocked, 1 M names: CPU / floor", figures.ratio("mixed-1m", "interdict"), 1.30, True),
        ("blocked, 10 M names / 1 k names: CPU / floor", sizes("blocked"), 1.15, True),
        ("cached, 10 M names / 1 k names: CPU / floor", sizes("cached"), 1.15, True),
        ("5 % blocked, 10 M names / 1 k names: CPU / floor", sizes("mixed"), 1.15, True),
        ("forwarded miss: CPU / Unbound", figures.ratio("misses-100k", "interdict", over="unbound"), 0.80, True),
        ("metrics read, reports, last day, blocked queries logged / off",
         figures.ratio("logged-100k", "interdict+log", over="interdict-off"), 1.10, True),
        ("the same with every query logged to a file / off",
         figures.ratio("logged-100k", "interdict+all", over="interdict-off"), 1.25, True),
        ("two workers / one, cached: 2 x (CPU / floor) at 1 / at 2", workers("cached"), 1.90, False),
        ("two workers / one, blocked: 2 x (CPU / floor) at 1 / at 2", workers("blocked"), 1.90, False),
        best_latency(figures),
    ]
    print(f"\n{'target':58} {'wanted':>9} {'measured':>9}")
    for title, measured, wanted, below in known:
        if measured is not None:
            met = measured <= wanted if below else measured >= wanted
            print(f"{title:58} {'<=' if below else '>='} {wanted:6.2f} {measured:9.2f}  {'met' if met else 'MISSED'}")
    behind(figures)


def best_latency(figures):
    def late(peer):
        """What was lost came later than anything: with one in a thousand lost there is no such latency."""
        lines = figures.all["cached-100k", peer, "half"]
        if sum(line["lost"] for line in lines) > 0.001 * sum(line["sent"] for line in lines):
            return float("inf")
        return figures.median("cached-100k", peer, "p999_us", "half")

    peers = figures.keys("half").get("cached-100k", [])
    theirs = [late(peer) for peer in peers if peer not in ("floor", "interdict")]
    ours = late("interdict") if "interdict" in peers else None
    return "p99.9 at half load / the best peer's", ours / min(theirs) if ours and theirs else None, 1.0, True


def behind(figures):
    """Rows in which another server needs less than interdict."""
    for row, peers in figures.keys("saturation").items():
        ours = figures.median(row, "interdict", "cpu_us")
        ahead = [
            f"{peer} ({figures.median(row, peer, 'cpu_us'):.2f} us)" for peer in peers
            if ours and not peer.startswith(("floor", "interdict")) and figures.median(row, peer, "cpu_us") <= ours
        ]
        if ahead:
            print(f"behind in {row} ({ours:.2f} us): {', '.join(ahead)}")


def number(value):
    return "-" if value is None else f"{value:.2f}"
