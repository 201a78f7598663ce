"""Owns what is asked: the rows of the table, the files of questions they need, and what every reply must be."""

import itertools
import os
import random
from dataclasses import dataclass, field

from bed import UNLISTED, made_up

LINES = 50_000
# Enough that the listed names asked for fill no cache of the processor.
LINES_HUGE = 200_000
# Popularity falls as the rank to this power, as it does in resolvers' logs.
ZIPF = 0.95
BLOCKED_SHARE = 0.05


@dataclass
class Row:
    """One row of the table: a policy, a workload, how it is asked."""

    workload: str
    names: int
    workers: int = 1
    questions: str = ""
    options: list = field(default_factory=list)
    # The servers of this row by name; None for all.
    peers: tuple = None
    # What is measured besides saturation.
    latency: bool = False
    dnsperf: bool = False
    # The server gets a name nobody asked before with every query.
    unique: bool = False

    @property
    def name(self):
        size = {1_000: "1k", 100_000: "100k", 1_000_000: "1m", 10_000_000: "10m"}.get(self.names, str(self.names))
        return f"{self.workload}-{size}"

    def wrong(self, codes, peer):
        """How many of the replies, counted by what was expected and what came, are not what they must be."""
        if peer.name == "floor":
            return sum(count for found in codes.values() for code, count in found.items() if code != "NXDOMAIN")
        right = {
            "blocked": {peer.blocked}, "found": {"NOERROR"}, "empty": {"EMPTY"}, "gone": {"NXDOMAIN"},
            "any": peer.without_recursion,
        }
        return sum(count for kind, found in codes.items() for code, count in found.items() if code not in right[kind])


def rows():
    """The table. Rows of one policy stand together: its servers are started once."""
    small, usual, large, huge = 1_000, 100_000, 1_000_000, 10_000_000
    own, logged = ("floor", "interdict"), ("floor", "interdict", "interdict-off", "interdict+log", "interdict+all")
    return [
        Row("blocked", small),
        Row("cached", small, peers=own),
        Row("mixed", small, peers=own),
        Row("blocked", usual, dnsperf=True),
        Row("cached", usual, dnsperf=True, latency=True),
        Row("misses", usual, unique=True, options=["--patient"]),
        Row("junk", usual, options=["--no-recursion", "--patient"]),
        Row("edns", usual, questions="cached", options=["--dnssec-ok", "--cookie", "--patient"]),
        Row("ipv6", usual, questions="cached"),
        Row("logged", usual, questions="mixed", peers=logged),
        Row("blocked", large),
        Row("cached", large, peers=own),
        Row("mixed", large),
        Row("blocked", huge),
        Row("cached", huge),
        Row("mixed", huge),
        Row("blocked-2w", usual, workers=2, questions="blocked"),
        Row("cached-2w", usual, workers=2, questions="cached"),
    ]


class Questions:
    """The files of questions over one bed; made when first asked for, the same every time."""

    def __init__(self, bed):
        self.bed = bed
        self.made = {}
        # So that no two runs ask the same new name.
        self.asked = 0

    def path(self, kind):
        if kind not in self.made:
            chance = random.Random(f"interdict {kind} {self.bed.names}")
            path = os.path.join(self.bed.folder, f"{kind}.questions")
            with open(path, "w") as out:
                out.writelines(f"{line}\n" for line in getattr(self, kind)(chance))
            self.made[kind] = path
        return self.made[kind]

    def dnsperf_path(self, kind):
        """The same questions in dnsperf's form."""
        path = self.path(kind)
        if not os.path.exists(f"{path}.dnsperf"):
            with open(path) as lines, open(f"{path}.dnsperf", "w") as out:
                out.writelines(line.rsplit(" ", 1)[0] + "\n" for line in lines)
        return f"{path}.dnsperf"

    def blocked(self, chance):
        """Listed names and names below them, every type, each as often as any other: the hardest case for a policy."""
        for name in self._listed(chance, LINES_HUGE if self.bed.names > 1_000_000 else LINES):
            below = chance.random()
            if below < 0.3:
                name = f"www.{name}"
            elif below < 0.5:
                name = f"{chance.choice('abcdefgh')}{chance.randrange(100)}.{name}"
            yield f"{name} {record_type(chance)} blocked"

    def cached(self, chance):
        """Popular names, the first far more than the last."""
        for name in self._popular(chance, LINES):
            yield found(name)

    def warm(self, _):
        """Every question of `cached` once."""
        return dict.fromkeys(self.cached(random.Random(f"interdict cached {self.bed.names}")))

    def mixed(self, chance):
        """Popular names, and one in twenty a listed one."""
        allowed = self._popular(chance, LINES)
        blocked = itertools.cycle(self.blocked(chance))
        for name in allowed:
            yield next(blocked) if chance.random() < BLOCKED_SHARE else found(name)

    def misses(self, chance):
        """Names below many domains; the load generator numbers them so that none comes twice."""
        for name in made_up(UNLISTED + 1_000_000, LINES):
            yield f"00000000.{name} A found"

    def junk(self, chance):
        """Names that nobody asked for, to be asked without RD."""
        for name in made_up(UNLISTED + 2_000_000, LINES_HUGE):
            yield f"{name} {record_type(chance)} any"

    def _listed(self, chance, count):
        wanted = sorted(chance.randrange(self.bed.names) for _ in range(min(count, 4 * self.bed.names)))
        picked, names, line = [], iter(enumerate(open(self.bed.listed))), (-1, "")
        for number in wanted:
            while line[0] < number:
                line = next(names, (1 << 62, line[1]))
            picked.append(line[1].strip())
        picked = (picked * (1 + count // max(1, len(picked))))[:count]
        chance.shuffle(picked)
        return picked

    def _popular(self, chance, count):
        weights = list(itertools.accumulate((rank + 1) ** -ZIPF for rank in range(len(self.bed.popular))))
        return chance.choices(self.bed.popular, cum_weights=weights, k=count)


def record_type(chance):
    return chance.choices(("A", "AAAA", "HTTPS"), (60, 25, 15))[0]


def found(name):
    """A question for a popular name: what is asked depends on the name, so that it is kept once."""
    return f"{name} {'AAAA' if sum(name.encode()) % 4 == 0 else 'A'} found"
