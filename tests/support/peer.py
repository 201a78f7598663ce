"""The far ends of a test in namespaces: a server, a client, and a scripted upstream. Standard library only.

peer.py serve                      TCP and UDP on ports 443 and 853 of every address; says back what it hears
peer.py try PROTOCOL ADDRESS PORT FROM  connects or sends once: prints answered, reset, prohibited or silent, and the milliseconds
peer.py hold ADDRESS PORT FROM     keeps a connection and says something each 0.1 s: prints ok once, then how it ended
peer.py upstream FILE              DNS on 127.0.0.1:5300: lines NAME ADDRESS, read anew for each question; all else is NXDOMAIN
peer.py ask ADDRESS NAME TYPE      asks over UDP: prints the response code, and addresses
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
        records, known = [], False
        for line in open(path):
            name, address = line.split()
            if name == ".".join(labels):
                known = True
                if (family(address) == socket.AF_INET6) == (kind == 28) and kind in (1, 28):
                    packed = socket.inet_pton(family(address), address)
                    records.append(b"\xc0\x0c" + struct.pack("!HHIH", kind, 1, 60, len(packed)) + packed)
        flags = 0x8180 if known else 0x8183
        head = query[:2] + struct.pack("!HHHHH", flags, 1, len(records), 0, 0)
        here.sendto(head + query[12 : at + 5] + b"".join(records), peer)


def ask(address, name, kind):
    end = socket.socket(family(address), socket.SOCK_DGRAM)
    end.settimeout(1)
    question = b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0"
    number = {"A": 1, "AAAA": 28}[kind]
    end.sendto(struct.pack("!HHHHHH", 7, 0x100, 1, 0, 0, 0) + question + struct.pack("!HH", number, 1), (address, 53))
    try:
        reply = end.recv(4096)
    except OSError as error:
        print("none", error)
        return
    print({0: "NOERROR", 2: "SERVFAIL", 3: "NXDOMAIN", 5: "REFUSED"}.get(reply[3] & 15, "another"))


if __name__ == "__main__":
    verb, *words = sys.argv[1:]
    {"serve": serve, "try": attempt, "hold": hold, "upstream": upstream, "ask": ask}[verb](*words)
