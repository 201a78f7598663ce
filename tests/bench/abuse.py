"""Owns the trial `abuse`: attacks run for real, and what an innocent client sees meanwhile. The attacks are in `attacks`. They ask from
where the innocent client asks, at the lowest priority, so that what it sees is the server's doing."""

import json
import os
import socket
import ssl
import statistics
import subprocess
import sys
import time

import attacks
from bed import Bed, program
from peers.interdict import Interdict
from workloads import Questions

NAMES = 100_000
# A second, of the innocent client.
HITS = 2_000
# What a client may ask for in a second where that is limited, and how often an answer is sent to who is over it.
LIMITS = "[limits]\nqueries = 4000\n"
# The kinds of attack, each with the listener it is for.
TARGETS = {"spoofed": "udp", "connections": "dot", "half_open": "dot", "handshakes": "dot", "slow_loris": "dot",
           "rapid_reset": "doh", "huge_heads": "doh", "initials": "doq"}
# Where an attack shows in the server's own numbers.
SHOWN = ("interdict_dropped_total", "interdict_connections_closed_total", "interdict_limited", "interdict_replies_total{rcode=\"servfail\"}")


class Abused(Interdict):
    """With every listener, and a limit where one is asked for."""

    def __init__(self, bed, log=""):
        super().__init__(bed)
        self.doq_port, self.log = bed.free_port(), log

    def encrypted(self):
        return super().encrypted() + f'[[listener]]\nprotocol = "doq"\naddress = "127.0.0.1:{self.doq_port}"\n'

    def listeners(self):
        return {"udp": self.port, "dot": self.dot_port, "doh": self.doh_port, "doq": self.doq_port}

    def shown(self):
        import urllib.request

        page = urllib.request.urlopen(f"http://{self.admin}/metrics", timeout=5).read().decode()
        lines = (line.rsplit(" ", 1) for line in page.splitlines() if line.startswith(SHOWN))
        return {name: float(value) for name, value in lines}


class Encrypted:
    """The innocent client over DoT: a question every 10 ms on a connection that it keeps, and a new connection every 200 ms."""

    def __init__(self, server, name):
        self.server, self.name = server, attacks.query(name)
        self.context = ssl.create_default_context(cafile=server.bed.certificate)
        self.tls = self.connect()

    def connect(self):
        tcp = socket.create_connection(("127.0.0.1", self.server.dot_port), 2, ("127.0.0.2", 0))
        tcp.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return self.context.wrap_socket(tcp, server_hostname="dns.example")

    def asked(self, tls):
        tls.sendall(len(self.name).to_bytes(2, "big") + self.name)
        whole = b""
        while len(whole) < 2 or len(whole) < 2 + int.from_bytes(whole[:2], "big"):
            part = tls.recv(4096)
            if not part:
                raise OSError("closed")
            whole += part

    def ask(self, seconds):
        """Milliseconds of questions and of new connections, and how many of either came to nothing."""
        kept, new, lost, refused = [], [], 0, 0
        end, next_new = time.monotonic() + seconds, 0
        while time.monotonic() < end:
            began = time.monotonic()
            try:
                self.asked(self.tls)
                kept.append(1e3 * (time.monotonic() - began))
            except OSError:
                lost += 1
                try:
                    self.tls = self.connect()
                except OSError:
                    pass
            if began >= next_new:
                next_new = began + 0.2
                began = time.monotonic()
                try:
                    with self.connect() as tls:
                        self.asked(tls)
                    new.append(1e3 * (time.monotonic() - began))
                except OSError:
                    refused += 1
            time.sleep(0.01)
        return kept, new, lost, refused


def centile(values, share):
    return sorted(values)[min(len(values) - 1, int(len(values) * share))] if values else float("nan")


def one(server, questions, encrypted, command, seconds):
    """A row: the attack's count, what the innocent client saw, what the server counted."""
    lowest = lambda: (os.sched_setaffinity(0, server.bed.load_cores), os.nice(19))
    attacker = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, preexec_fn=lowest) if command else None
    time.sleep(1)
    before, cpu, began = server.shown(), server.cpu(), time.monotonic()
    asking = subprocess.Popen(
        [program("load"), f"127.0.0.1:{server.port}", questions.path("cached"), "--from", "127.0.0.2", "--patient", "--sockets", "2",
         "--seconds", str(seconds), "--rate", str(HITS)], stdout=subprocess.PIPE, text=True)
    kept, new, lost, refused = encrypted.ask(seconds)
    udp = json.loads(asking.communicate(timeout=60)[0])
    busy = (server.cpu() - cpu) / 1e9 / (time.monotonic() - began)
    did = json.loads(attacker.communicate(timeout=60)[0]) if attacker else {}
    after = server.shown()
    grown = {name: after[name] - before.get(name, 0) for name in after if after[name] > before.get(name, 0)}
    return {
        "did": did.get("did", did.get("sent", 0)), "busy": busy, "p50": udp["p50_us"], "p99": udp["p99_us"], "sent": udp["sent"], "lost": udp["lost"],
        "kept_p50": 1e3 * centile(kept, 0.5), "kept_p99": 1e3 * centile(kept, 0.99), "kept": len(kept), "kept_lost": lost,
        "new_p50": centile(new, 0.5), "new_p99": centile(new, 0.99), "new": len(new), "refused": refused, "counted": grown,
    }


def run(given, out):
    """Prints the table."""
    seconds = max(4, given.seconds)
    script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "attacks.py")
    print(f"{'attack':34} {'did':>9} {'busy':>5} | UDP {'p50':>5} {'p99':>7} us {'lost':>6} | DoT {'p50':>6} {'p99':>7} us {'lost':>5} | "
          f"new {'p50':>6} {'p99':>7} ms {'failed':>6}")
    for named, log in (("", ""), (", limited", LIMITS)):
        with Bed(NAMES, 1) as bed:
            bed.certify()
            server, questions = Abused(bed, log), Questions(bed)
            server.start()
            try:
                load = [program("load"), f"127.0.0.1:{server.port}"]
                subprocess.run([*load, questions.path("warm"), "--once", "--window", "64", "--patient"], stdout=subprocess.DEVNULL, check=True)
                encrypted = Encrypted(server, bed.popular[0])
                flood = lambda rate: [
                    *load, questions.path("misses"), "--from", "127.0.7.1", "--patient", "--unique-from", str(rate), "--seconds", str(seconds + 2),
                    "--rate", str(rate)]
                rows = [("none", None), ("random names, 20,000/s", flood(20_000)), ("random names, 200,000/s", flood(200_000))]
                if not log:
                    rows += [(kind.replace("_", " "), [sys.executable, script, kind, "127.0.0.1", str(server.listeners()[TARGETS[kind]]), str(seconds + 2)])
                             for kind in TARGETS]
                else:
                    rows.append(("spoofed", [sys.executable, script, "spoofed", "127.0.0.1", str(server.port), str(seconds + 2)]))
                for what, command in rows:
                    seen = one(server, questions, encrypted, command, seconds)
                    out.write(json.dumps({"mode": "abuse", "attack": what + named, **seen}) + "\n")
                    print(f"{what + named:34} {seen['did']:9} {seen['busy']:5.2f} | {seen['p50']:9.0f} {seen['p99']:7.0f}    {seen['lost']:6} | "
                          f"{seen['kept_p50']:10.0f} {seen['kept_p99']:7.0f}    {seen['kept_lost']:5} | {seen['new_p50']:10.1f} {seen['new_p99']:7.1f}    "
                          f"{seen['refused']:6}  {short(seen['counted'])}", flush=True)
                    time.sleep(1)
            finally:
                server.stop()


def short(counted):
    label = lambda name: "/".join(part.split('"')[0] for part in name.split('="')[1:])
    return ", ".join(f"{label(name)} {count:.0f}" for name, count in sorted(counted.items(), key=lambda pair: -pair[1])[:4])
