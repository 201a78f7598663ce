"""Owns the comparison over connections: CPU per query over TCP, DoT and DoH on kept connections, with a new handshake for each
query, and the memory of an idle connection. Never measures datagrams."""

import base64
import itertools
import json
import re
import socket
import ssl
import statistics
import subprocess
import time

import load
from bed import Bed, program
from measure import say
from workloads import Questions

NAMES = 100_000
# Over kept connections: with many queries under way on each, and one at a time.
MODES = ("tcp", "tcp-1", "dot", "dot-1", "doh", "handshake")
# Idle connections whose memory is measured: enough that the rest of a process does not count, and as many as one of the
# peers, which reckons with several descriptors for each, takes within 20,000.
IDLE = 3_000
CLIENTS = 8
# Queries under way on each connection.
WINDOW = 50
URIS = 5_000
# Seconds in which a server may learn the answers.
WARM = 2


def run(given, kinds, out):
    """Measures in interleaved rounds, and prints the medians."""
    cpu, memory = {}, {}
    with Bed(given.names or NAMES, 1, given.listed, given.popular) as bed:
        bed.certify()
        questions, servers = Questions(bed), []
        try:
            for kind in kinds:
                if kind.connected_modes and kind.name not in ("interdict-off", "interdict+log", "interdict+all"):
                    server = kind(bed)
                    servers.append(server)
                    server.start()
                    load.own(bed, f"127.0.0.1:{server.port}", questions.path("warm"), ["--window", "64", "--patient"])
            # Some keep what came over connections apart.
            for server in servers:
                for mode in given.modes:
                    if spoken(mode) in server.connected_modes and mode == spoken(mode):
                        one(server, questions, mode, WARM)
            for number in range(given.rounds):
                for mode in given.modes:
                    for server in servers:
                        if spoken(mode) in server.connected_modes:
                            seen = one(server, questions, mode, given.seconds)
                            cpu.setdefault((mode, server.name), []).append(seen["cpu_us"])
                            out.write(json.dumps({"mode": mode, "peer": server.name, "round": number, **seen}) + "\n")
                            say(f"{mode} {server.name}: {seen['cpu_us']:.2f} us, {seen['qps']:.0f}/s, lost {seen['lost']}")
            for server in servers:
                if given.idle and "dot" in server.connected_modes:
                    memory[server.name] = idle(server, given.idle)
                    say(f"idle {server.name}: {memory[server.name] / 1024:.1f} KiB")
        finally:
            for server in servers:
                server.stop()
    print(f"{'server':14} " + " ".join(f"{mode + ' us':>13}" for mode in given.modes) + f" {'idle DoT KiB':>13}")
    for server in servers:
        cells = [cpu.get((mode, server.name)) for mode in given.modes]
        shown = [f"{statistics.median(cell):13.2f}" if cell else f"{'-':>13}" for cell in cells]
        kept = f"{memory[server.name] / 1024:13.1f}" if server.name in memory else f"{'-':>13}"
        print(f"{server.name:14} {' '.join(shown)} {kept}", flush=True)


def one(server, questions, mode, seconds):
    """One round of one server."""
    bed = server.bed
    # What it counts itself is held against what the load saw.
    replies = getattr(server, "replies", lambda: None)
    counted, before = replies(), server.cpu()
    if mode == "doh":
        path = questions.dnsperf_path("cached")
        with open(path) as lines, open(f"{path}.uris", "w") as out:
            for line in itertools.islice(lines, URIS):
                out.write(f"https://127.0.0.1:{server.doh_port}/dns-query?dns={encoded(line.split()[0])}\n")
        text = load.run(bed, ["h2load", "-c", str(CLIENTS), "-m", str(WINDOW), "-D", str(max(1, round(seconds))), "-i", f"{path}.uris"])
        right = int(re.search(r"(\d+) 2xx", text)[1])
        lost = sum(int(re.search(rf"(\d+) {kind}", text)[1]) for kind in ("failed", "3xx", "4xx", "5xx"))
        seen = {"answered": right, "lost": lost, "seconds": max(1, round(seconds))}
    else:
        port = server.port if spoken(mode) == "tcp" else server.dot_port
        window = WINDOW if mode == spoken(mode) else 1
        seen = json.loads(load.run(bed, [
            program("connected"), mode.removesuffix("-1"), str(window), f"127.0.0.1:{port}", bed.certificate, str(seconds), questions.dnsperf_path("cached")]))
        if seen["wrong"] > seen["answered"] / 1000:
            raise RuntimeError(f"{mode} {server.name}: {seen}")
    used = server.cpu() - before
    if counted is not None:
        counted = replies() - counted
        # h2load leaves what is under way at the end of its time.
        if mode != "doh" and not seen["answered"] <= counted <= seen["answered"] + seen["lost"]:
            raise RuntimeError(f"{mode} {server.name}: {counted:.0f} replies by its own count, {seen}")
    return {**seen, "counted": counted, "cpu_us": used / 1e3 / seen["answered"], "qps": seen["answered"] / seen["seconds"]}


def spoken(mode):
    return mode.replace("handshake", "dot").removesuffix("-1")


def encoded(name):
    """The question for a name's address, as it stands in a URI (RFC 8484 section 4.1)."""
    return base64.urlsafe_b64encode(wire(name)).decode().rstrip("=")


def wire(name):
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.strip(".").split("."))
    return b"\0\0\x01\0\0\x01\0\0\0\0\0\0" + labels + b"\0\0\x01\0\x01"


def idle(server, count):
    """Resident bytes of each idle DoT connection that asked once."""
    context = ssl.create_default_context(cafile=server.bed.certificate)
    query = wire(server.bed.popular[0])
    before, kept = server.memory(), []
    try:
        for number in range(count):
            # Several addresses, as no client opens so many.
            tcp = socket.create_connection(("127.0.0.1", server.dot_port), 5, (f"127.0.1.{number % 50 + 1}", 0))
            tls = context.wrap_socket(tcp, server_hostname="dns.example")
            tls.sendall(len(query).to_bytes(2, "big") + query)
            if not tls.recv(2):
                break
            kept.append(tls)
    except OSError as error:
        say(f"idle {server.name}: only {len(kept)}: {error}")
    time.sleep(1)
    each = (server.memory() - before) / max(1, len(kept))
    for tls in kept:
        tls.close()
    time.sleep(1)
    return each
