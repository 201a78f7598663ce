"""Owns the full-size trials of robustness: overload, floods, bursts, many generations. Prints what was seen beside what is
wanted, which is a property, never a speed."""

import json
import os
import signal
import statistics
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import load
from bed import Bed, program
from peers.interdict import Interdict
from workloads import Questions

NAMES = 100_000
# Of the trial `changes`.
LONG = 1_000_000


class Trial:
    """A running interdict and its questions."""

    def __init__(self, bed):
        self.bed = bed
        self.questions = Questions(bed)
        self.server = Interdict(bed)
        # Earlier generations that are kept ready fill a bound of their own, behind which growth would hide.
        self.server.log = '[history]\nmemory = "16MiB"\n'
        self.address = f"127.0.0.1:{self.server.port}"
        self.results = []
        # The list as it was, once generations were made of it.
        self.listed = None
        self.running = ThreadPoolExecutor()

    def load(self, kind, options=(), **more):
        return load.own(self.bed, self.address, self.questions.path(kind), options, **more)

    def unique(self, count=50_000_000):
        """Options for names that were never asked."""
        first = self.questions.asked
        self.questions.asked += count
        return ["--patient", "--unique-from", str(first)]

    def beside(self, *arguments, **more):
        """Runs a load while the caller does something else; a function that waits for its result."""
        return self.running.submit(self.load, *arguments, **more).result

    def say(self, what, seen, wanted, met):
        print(f"{what:66} {seen:>24}  {wanted:24} {'met' if met else 'MISSED'}", flush=True)
        self.results.append({"mode": "robust", "what": what, "seen": seen, "wanted": wanted, "met": met})


def overload(trial, seconds):
    """At twice the saturating rate the answered rate stays. A query costs its asker as much as the server, so the server is
    given a quarter of its core: three others are busy on it. Replies are counted where they are made; an asker that is
    late with taking them loses some."""
    trial.load("warm", ["--window", "64", "--patient"])
    pin = lambda: os.sched_setaffinity(0, trial.bed.server_cores)
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"], preexec_fn=pin) for _ in range(3)]
    try:
        peak = statistics.median(rate(trial.load("cached", seconds=3 * seconds)) for _ in range(3))
        made = trial.server.replies()
        seen = trial.load("cached", seconds=3 * seconds, rate=2 * peak)
        made = trial.server.replies() - made
    finally:
        for process in busy:
            process.kill()
            process.wait()
    offered, answered = seen["sent"] / seen["seconds"], made / seen["seconds"]
    trial.say(f"cached, {offered / peak:.2f} x the saturating {peak:.0f}/s", f"{answered / peak:.3f} of the peak",
              ">= 0.95 of the peak", answered >= 0.95 * peak)


def starvation(trial, seconds):
    """A flood of misses leaves hits and blocks alone."""
    misses = rate(trial.load("misses", trial.unique(), seconds=seconds))
    alone = trial.load("cached", ["--patient"], seconds=seconds, rate=20_000)
    flood = trial.beside("misses", trial.unique(), seconds=seconds + 2, rate=2 * misses)
    time.sleep(1)
    beside = trial.load("cached", ["--patient"], seconds=seconds, rate=20_000)
    flooded = flood()
    share = beside["answered"] / max(1, beside["sent"])
    trial.say(f"hits at 20,000/s beside {flooded['sent'] / flooded['seconds']:.0f} misses/s, twice their peak",
              f"{share:.4f} answered", ">= 0.95 answered", share >= 0.95)
    trial.say("... their p99", f"{beside['p99_us']:.0f} us, {alone['p99_us']:.0f} alone", "(no bound)", True)


def memory(trial, seconds):
    """A flood of misses keeps memory within the cache's bound."""
    before = trial.server.memory()
    flood = trial.beside("misses", [*trial.unique(), "--window", "2000"], seconds=10 * seconds)
    most = 0
    for _ in range(int(10 * seconds * 10)):
        time.sleep(0.1)
        most = max(most, trial.server.memory())
    seen = flood()
    # What the allocator adds, the waiting queries, the workers' own tables.
    bound = before + (trial.bed.cache_mib * 5 // 4 + 32 << 20)
    trial.say(f"memory after {seen['answered']} new names, {trial.bed.cache_mib} MiB of cache",
              f"{most >> 20} MiB", f"<= {bound >> 20} MiB", most <= bound)


def burst(trial, count=100_000):
    """Datagrams that come all at once: the process is stopped while they come."""
    path = os.path.join(trial.bed.folder, "burst.questions")
    with open(trial.questions.path("blocked")) as lines, open(path, "w") as out:
        lines = lines.readlines()
        out.writelines((lines * (count // len(lines) + 1))[:count])
    dropped = kernel_drops(trial.server.port)
    os.kill(trial.server.pids()[0], signal.SIGSTOP)
    command = [program("load"), trial.address, path, "--once", "--window", str(count), "--timeout", "3"]
    asking = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    time.sleep(1)
    os.kill(trial.server.pids()[0], signal.SIGCONT)
    seen = json.loads(asking.communicate(timeout=60)[0])
    dropped = kernel_drops(trial.server.port) - dropped
    trial.say(f"a burst of {count}: answered at once", f"{count - seen['lost']}", "(what the socket holds)", True)
    unexplained = seen["lost"] - dropped
    trial.say("... lost that the kernel did not drop for want of room", f"{unexplained}", "0", unexplained == 0)
    trial.say("... answered when asked again", f"{seen['answered']}", f"{count}", seen["answered"] == count)


def kernel_drops(port):
    with open("/proc/net/udp") as table:
        rows = [line.split() for line in table.readlines()[1:]]
    return sum(int(row[-1]) for row in rows if int(row[1].split(":")[1], 16) == port)


def reload(trial, number):
    """Publishes a generation that differs in one name; returns how long that took."""
    path = trial.bed.domains()
    if trial.listed is None:
        with open(path, "rb") as old:
            trial.listed = old.read()
    with open(f"{path}.next", "wb") as out:
        out.write(trial.listed + f"n{number}.round.example\n".encode())
    os.rename(f"{path}.next", path)
    began = time.monotonic()
    outcome = trial.server.reload()
    # A change of the file may have been noticed before it was asked for.
    if outcome not in ("published", "unchanged") or trial.server.ask(f"n{number}.round.example") != "NXDOMAIN":
        raise RuntimeError(f"generation {number}: {outcome}")
    return time.monotonic() - began


def generations(trial, seconds):
    """A hundred generations a minute under hits, blocks and misses in flight."""
    trial.load("warm", ["--window", "64", "--patient"])
    number, lasting = 0, max(20 * seconds, 10)
    mixed = trial.beside("mixed", ["--patient", "--timeout", "2"], seconds=lasting, rate=30_000)
    misses = trial.beside("misses", [*trial.unique(), "--timeout", "2"], seconds=lasting, rate=2_000)
    began = time.monotonic()
    while time.monotonic() - began < lasting:
        number += 1
        reload(trial, number)
        time.sleep(max(0, began + 0.6 * number - time.monotonic()))
    seen, missed = mixed(), misses()
    wrong = sum(count for kind, codes in {**seen["codes"], "miss": missed["codes"]["found"]}.items()
                for code, count in codes.items() if code != {"blocked": "NXDOMAIN"}.get(kind, "NOERROR"))
    lost = seen["lost"] + missed["lost"] + seen["mismatched"] + missed["mismatched"]
    asked = seen["sent"] + missed["sent"]
    trial.say(f"{60 * number / lasting:.0f} generations a minute of {NAMES} names, {asked} queries: lost",
              f"{lost}", "0", lost == 0)
    trial.say("... wrong", f"{wrong}", "0", wrong == 0)
    trial.say("... p99.9", f"{seen['p999_us']:.0f} us", "(no bound)", True)


# Changes a second, and for how long, of the trial `changes`.
CHANGES, CHANGING = 100, 60


def changes(trial, lasting=CHANGING):
    """A long list gains a name a hundred times a second for a minute: queries are as fast as without, and memory has a bound."""
    trial.load("warm", ["--window", "64", "--patient"])

    def asked(seconds):
        """One load of cached and blocked names at a fixed rate, and what a query of it cost the listening thread."""
        cpu = trial.server.cpu_of("udp-")
        seen = trial.load("mixed", ["--patient", "--timeout", "2"], seconds=seconds, rate=20_000)
        return seen, (trial.server.cpu_of("udp-") - cpu) / 1e3 / seen["answered"]

    asked(5)
    before, first = asked(lasting / 2)
    memory, cpu, queries = trial.server.memory(), trial.server.cpu(), trial.server.cpu_of("udp-")
    generation = trial.server.metric("interdict_policy_generation")
    beside = trial.running.submit(asked, lasting)
    began, number, most = time.monotonic(), 0, memory
    with open(trial.bed.domains(), "a") as out:
        while time.monotonic() - began < lasting:
            number += 1
            out.write(f"n{number}.changed.example\n")
            out.flush()
            if number % CHANGES == 0:
                most = max(most, trial.server.memory())
            time.sleep(max(0, began + number / CHANGES - time.monotonic()))
    written = time.monotonic()
    while trial.server.ask(f"n{number}.changed.example") != "NXDOMAIN" and time.monotonic() - written < 30:
        time.sleep(0.01)
    behind = time.monotonic() - written
    seen, changing = beside.result()
    control = (trial.server.cpu() - cpu - (trial.server.cpu_of("udp-") - queries)) / 1e9
    made = trial.server.metric("interdict_policy_generation") - generation
    # Ten seconds without a change are enough for the background to put things in order.
    time.sleep(10)
    end = trial.server.memory()
    # Before and after: what the machine drifts by in these minutes is in both.
    alone = statistics.mean((first, asked(lasting / 2)[1]))
    what = f"{number / lasting:.0f} names a second more among {trial.bed.names}"
    trial.say(f"{what}: CPU us a query", f"{changing:.3f}, {alone:.3f} alone", "<= 1.05 of alone", changing <= 1.05 * alone)
    trial.say("... p50, p99", f"{seen['p50_us']:.0f}, {seen['p99_us']:.0f} us", f"({before['p50_us']:.0f}, {before['p99_us']:.0f} us alone)", True)
    lost = seen["lost"] + seen["mismatched"]
    trial.say(f"... of {seen['sent']} queries lost", f"{lost}", "0", lost == 0)
    trial.say("... seconds until the last name is blocked", f"{behind:.2f}", "<= 2", behind <= 2)
    trial.say(f"... {made:.0f} generations: CPU ms a change, a generation", f"{1e3 * control / number:.2f}, {1e3 * control / made:.1f}",
              "<= 50 a change", control / number <= 0.05)
    # Earlier generations are kept within a bound of their own.
    trial.say(f"... MiB before {memory >> 20}, at most {most >> 20}, at the end", f"{end >> 20}", "at most <= 2.1 x before", most <= 2.1 * memory)


def day(trial, count):
    """As many generations as in a day, one after the other."""
    # By then whatever has a bound has reached it.
    most = count // 3
    for number in range(most):
        reload(trial, number + 1_000)
    memory, descriptors = trial.server.memory(), trial.server.descriptors()
    took = [reload(trial, number + 1_000) for number in range(most, count)]
    grown = trial.server.memory() - memory
    bound = 4 << 20
    trial.say(f"{count} generations, {statistics.median(took):.2f} s each: {memory >> 20} MiB; over the last two thirds",
              f"{grown >> 10:+} KiB", f"<= {bound >> 10} KiB", grown <= bound)
    more = trial.server.descriptors() - descriptors
    trial.say("... descriptors", f"{more:+}", "0", more <= 0)


def rate(seen):
    return seen["answered"] / seen["seconds"]


def run(given, out):
    trials = {
        "overload": lambda trial: overload(trial, given.seconds),
        "starvation": lambda trial: starvation(trial, given.seconds),
        "memory": lambda trial: memory(trial, given.seconds),
        "burst": burst,
        "changes": changes,
        "generations": lambda trial: generations(trial, given.seconds),
        "day": lambda trial: day(trial, given.generations),
    }
    wanted = trials if given.workloads == ["*"] else given.workloads
    for name in wanted:
        with Bed(LONG if name == "changes" else NAMES, 1) as bed:
            trial = Trial(bed)
            trial.server.start()
            try:
                trials[name](trial)
            finally:
                trial.server.stop()
            out.writelines(json.dumps({**result, "trial": name}) + "\n" for result in trial.results)
