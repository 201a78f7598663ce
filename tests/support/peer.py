"""The far ends of a test in namespaces: a server, a client, and a scripted upstream. Standard library only.

peer.py serve                      TCP and UDP on ports 443 and 853 of every address; says back what it hears
peer.py try PROTOCOL ADDRESS PORT FROM  connects or sends once: prints answered, reset, prohibited or silent, and the milliseconds
peer.py hold ADDRESS PORT FROM     keeps a connection and says something each 0.1 s: prints ok once, then how it ended
peer.py upstream FILE              DNS on 127.0.0.1:5300: lines NAME VALUE [TTL], read anew for each question; a value is an address, alias:NAME, or
                                   https: and hints, ech among them; nNUMBER.fresh.example has addresses of its own; all else is NXDOMAIN
peer.py ask ADDRESS NAME TYPE [FROM]  asks over UDP: prints the response code, and with FROM the addresses in the reply
peer.py race ADDRESS PROTOCOL FIRST LAST FROM  asks for fresh names and connects to each at once: prints how many, how many failed, and why
"""

import socket
import struct
import sys
import threading
import time

ERRORS = {104: "reset", 111: "reset", 13: "prohibited", 113: "prohibited", 101: "prohibited"}


def family(address):
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def serve():
    def echo(connection):
        try:
            while heard := connection.recv(4096):
                connection.sendall(heard)
        except OSError:
            pass

    def accept(listener):
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=echo, args=(connection,), daemon=True).start()

    def datagrams(here):
        # Said back from the address that heard it.
        v6 = here.family == socket.AF_INET6
        level, option = (socket.IPPROTO_IPV6, 49) if v6 else (socket.IPPROTO_IP, 8)
        here.setsockopt(level, option, 1)
        while True:
            heard, extra, _, peer = here.recvmsg(4096, 256)
            told = []
            for kind, number, value in extra:
                if (kind, number) == (socket.IPPROTO_IP, 8):
                    told.append((kind, number, struct.pack("=I", 0) + value[8:12] + bytes(4)))
                elif kind == socket.IPPROTO_IPV6:
                    told.append((kind, 50, value[:16] + struct.pack("=I", 0)))
            here.sendmsg([heard], told, 0, peer)

    for kind, any_address in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
        for port in (443, 853):
            for style, work in ((socket.SOCK_STREAM, accept), (socket.SOCK_DGRAM, datagrams)):
                here = socket.socket(kind, style)
                here.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if kind == socket.AF_INET6:
                    here.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                here.bind((any_address, port))
                if style == socket.SOCK_STREAM:
                    here.listen(64)
                threading.Thread(target=work, args=(here,), daemon=True).start()
    print("ready", flush=True)
    threading.Event().wait()


def attempt(protocol, address, port, source):
    style = socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM
    begun = time.monotonic()
    end = socket.socket(family(address), style)
    end.settimeout(1.5)
    end.bind((source, 0))
    try:
        end.connect((address, int(port)))
        end.sendall(b"hello")
        found = "answered" if end.recv(16) == b"hello" else "reset"
    except TimeoutError:
        found = "silent"
    except OSError as error:
        found = ERRORS.get(error.errno, str(error))
    print(found, int(1000 * (time.monotonic() - begun)))


def hold(address, port, source):
    end = socket.socket(family(address), socket.SOCK_STREAM)
    end.settimeout(1.5)
    end.bind((source, 0))
    end.connect((address, int(port)))
    said = False
    try:
        for _ in range(300):
            end.sendall(b"x")
            if not end.recv(16):
                break
            if not said:
                print("ok", flush=True)
                said = True
            time.sleep(0.1)
        print("lived")
    except TimeoutError:
        print("silent")
    except OSError as error:
        print(ERRORS.get(error.errno, str(error)))


def wire(name):
    return b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0"


def rdata(value, kind):
    """What a line of the upstream's file says, as a type and RDATA; None for another type than was asked for."""
    if value.startswith("alias:"):
        return 5, wire(value[6:])
    if value.startswith("https:"):
        hints = [socket.inet_pton(family(one), one) for one in value[6:].split(",") if one != "ech"]
        out = b"\0\1\0" + b"\0\1\0\3\2h2"
        for key, size in ((4, 4), (5, 0), (6, 16)):
            found = b"".join(one for one in hints if len(one) == size)
            if key == 5 and "ech" in value:
                found = b"\0\x04not!"
            if found:
                out += struct.pack("!HH", key, len(found)) + found
        return (65, out) if kind == 65 else None
    if (28 if ":" in value else 1) == kind:
        return kind, socket.inet_pton(family(value), value)


def upstream(path):
    here = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    here.bind(("127.0.0.1", 5300))
    print("ready", flush=True)
    while True:
        query, peer = here.recvfrom(4096)
        at, labels = 12, []
        while query[at]:
            labels.append(query[at + 1 : at + 1 + query[at]].decode("latin-1").lower())
            at += 1 + query[at]
        kind = struct.unpack("!H", query[at + 1 : at + 3])[0]
        records, known, asked = [], False, ".".join(labels)
        lines = [line.split() for line in open(path)]
        if asked.endswith(".fresh.example"):
            number = int(labels[0][1:])
            v4, v6 = f"198.18.{number >> 8}.{number & 255}", f"2001:db8:aaaa::{number:x}"
            lines = [(asked, v4), (asked, v6), (asked, f"https:{v4},{v6}")]
        for _ in range(4):
            alias = None
            for name, value, *ttl in lines:
                if name == asked:
                    known = True
                    if found := rdata(value, kind):
                        owner = b"\xc0\x0c" if not records or asked == ".".join(labels) else wire(asked)
                        head = struct.pack("!HHIH", found[0], 1, int(ttl[0]) if ttl else 60, len(found[1]))
                        records.append(owner + head + found[1])
                        alias = value[6:] if found[0] == 5 else alias
            if not alias:
                break
            asked = alias
        flags = 0x8180 if known else 0x8183
        head = query[:2] + struct.pack("!HHHHH", flags, 1, len(records), 0, 0)
        here.sendto(head + query[12 : at + 5] + b"".join(records), peer)


def resolve(end, name, kind):
    """Asks over a connected socket: the response code, and the addresses of the answer, hints among them."""
    number = {"A": 1, "AAAA": 28, "HTTPS": 65}[kind]
    end.send(struct.pack("!HHHHHH", 7, 0x100, 1, 0, 0, 1) + wire(name) + struct.pack("!HH", number, 1) + b"\0\0\x29\4\xd0" + bytes(6))
    reply = end.recv(4096)
    at, found = 12 + len(wire(name)) + 4, []
    for _ in range(struct.unpack("!H", reply[6:8])[0]):
        while 0 < reply[at] < 192:
            at += 1 + reply[at]
        at += 2 if reply[at] else 1
        kind, _, _, length = struct.unpack("!HHIH", reply[at : at + 10])
        data = reply[at + 10 : at + 10 + length]
        at += 10 + length
        if kind == 1:
            found.append(socket.inet_ntop(socket.AF_INET, data))
        elif kind == 28:
            found.append(socket.inet_ntop(socket.AF_INET6, data))
        elif kind == 65:
            rest = data[2 + data[2:].index(0) + 1 :]
            while rest:
                key, size = struct.unpack("!HH", rest[:4])
                value, rest = rest[4 : 4 + size], rest[4 + size :]
                step = {4: 4, 6: 16}.get(key)
                if step:
                    kind = socket.AF_INET if step == 4 else socket.AF_INET6
                    found += [socket.inet_ntop(kind, value[i : i + step]) for i in range(0, size, step)]
                elif key == 5:
                    found.append("ech")
    return reply[3] & 15, found


def ask(address, name, kind, source=None):
    end = socket.socket(family(address), socket.SOCK_DGRAM)
    end.settimeout(3)
    if source:
        end.bind((source, 0))
    end.connect((address, 53))
    try:
        code, found = resolve(end, name, kind)
    except OSError as error:
        print("none", error)
        return
    word = {0: "NOERROR", 2: "SERVFAIL", 3: "NXDOMAIN", 5: "REFUSED"}.get(code, "another")
    print(" ".join([word, *found] if source else [word]))


def race(address, protocol, first, last, source):
    """Connects to each address at the moment its name is resolved. A second attempt of TCP would hide a first one that is cut."""
    asker = socket.socket(family(address), socket.SOCK_DGRAM)
    asker.settimeout(3)
    asker.bind((source, 0))
    asker.connect((address, 53))
    kind = "AAAA" if ":" in source else "A"
    style = socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM
    count, failed, why = 0, 0, ""
    for number in range(int(first), int(last)):
        count += 1
        end = socket.socket(family(source), style)
        end.settimeout(0.9)
        end.bind((source, 0))
        try:
            code, found = resolve(asker, f"n{number}.fresh.example", kind)
            end.connect((found[0], 443))
            end.send(b"x")
            if end.recv(1) != b"x":
                raise OSError("nothing came")
        except (OSError, IndexError) as error:
            failed += 1
            why = why or f"n{number}: {error!r}"
        end.close()
    print(count, failed, why)


if __name__ == "__main__":
    verb, *words = sys.argv[1:]
    {"serve": serve, "try": attempt, "hold": hold, "upstream": upstream, "ask": ask, "race": race}[verb](*words)
