"""Clients that no library is: what a connection gets is printed as `got BYTES`, `reset`, `closed` or `nothing`."""
import base64, hashlib, os, socket, ssl, struct, sys, time

def connect(host, port):
    stream = socket.create_connection((host, port), timeout=15)
    stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return stream

def answer(stream, longest=15):
    stream.settimeout(longest)
    try:
        got = stream.recv(4096)
        return "got %d" % len(got) if got else "closed"
    except ConnectionResetError:
        return "reset"
    except (TimeoutError, socket.timeout):
        return "nothing"

def hello(name):
    """The first flight of a real client."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    session = context.wrap_bio(incoming, outgoing, server_hostname=name)
    try:
        session.do_handshake()
    except ssl.SSLWantReadError:
        pass
    return session, incoming, outgoing, outgoing.read()

def with_encrypted(flight):
    """The same hello with an encrypted one inside, as far as anybody outside can tell."""
    extension = struct.pack("!HH", 0xFE0D, 64) + os.urandom(64)
    body = flight[9:]
    at = 34
    at += 1 + body[at]
    at += 2 + struct.unpack("!H", body[at:at + 2])[0]
    at += 1 + body[at]
    length = struct.unpack("!H", body[at:at + 2])[0] + len(extension)
    body = body[:at] + struct.pack("!H", length) + body[at + 2:] + extension
    message = b"\x01" + struct.pack("!I", len(body))[1:] + body
    return b"\x16\x03\x01" + struct.pack("!H", len(message)) + message

def split(host, port, name):
    """Every byte in a segment of its own, then a whole handshake and a request."""
    session, incoming, outgoing, flight = hello(name)
    stream = connect(host, port)
    for byte in flight:
        stream.send(bytes([byte]))
    stream.settimeout(15)
    try:
        while True:
            try:
                session.do_handshake()
                break
            except ssl.SSLWantReadError:
                stream.sendall(outgoing.read())
                got = stream.recv(65536)
                if not got:
                    return "closed"
                incoming.write(got)
    except ConnectionResetError:
        return "reset"
    return "shaken hands"

def records(host, port, name):
    """The hello in records of 40 bytes."""
    flight = hello(name)[3]
    stream = connect(host, port)
    message = flight[5:]
    for at in range(0, len(message), 40):
        part = message[at:at + 40]
        stream.send(b"\x16\x03\x01" + struct.pack("!H", len(part)) + part)
    return answer(stream)

def encrypted(host, port, name):
    stream = connect(host, port)
    stream.sendall(with_encrypted(hello(name)[3]))
    return answer(stream)

def raw(host, port, text):
    stream = connect(host, port)
    stream.sendall(text.encode().decode("unicode_escape").encode("latin-1"))
    return answer(stream)

def transfer(host, port, megabytes):
    """So much there, the end said, and as much back, read late."""
    stream = connect(host, port)
    stream.settimeout(120)
    digest, block = hashlib.sha256(), os.urandom(1 << 20)
    for _ in range(int(megabytes)):
        digest.update(block)
        stream.sendall(block)
    stream.shutdown(socket.SHUT_WR)
    time.sleep(1)
    got = b""
    while len(got) < 64:
        got += stream.recv(64 - len(got))
    count = 0
    while True:
        more = stream.recv(1 << 20)
        if not more:
            break
        count += len(more)
    return "intact %d" % (count >> 20) if got.decode() == digest.hexdigest() else "broken"

def transfer_in_tls(host, port, target, megabytes):
    """The same through a tunnel of a proxy that is spoken to in TLS, whose end is said by TLS."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    session, stream = context.wrap_bio(incoming, outgoing), connect(host, port)
    stream.settimeout(120)
    def done(work, *arguments):
        while True:
            try:
                result = work(*arguments)
                stream.sendall(outgoing.read())
                return result
            except ssl.SSLWantReadError:
                stream.sendall(outgoing.read())
                got = stream.recv(65536)
                if not got:
                    return b""
                incoming.write(got)
            except ssl.SSLZeroReturnError:
                return b""
    done(session.do_handshake)
    login = base64.b64encode(b"ada:s3cret").decode()
    done(session.write, f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\nProxy-Authorization: Basic {login}\r\n\r\n".encode())
    head = done(session.read, 65536)
    if not head.startswith(b"HTTP/1.1 200"):
        return head.decode()
    # What it says first tells nobody whom it wants.
    digest, block = hashlib.sha256(), b"\0" + os.urandom((1 << 20) - 1)
    for _ in range(int(megabytes)):
        digest.update(block)
        done(session.write, block)
    # Says that this was all, and does not wait for the other end to say so.
    try:
        session.unwrap()
    except ssl.SSLWantReadError:
        pass
    stream.sendall(outgoing.read())
    got, count = b"", 0
    while more := done(session.read, 65536):
        got, count = got + more[:max(0, 64 - len(got))], count + len(more)
    return "intact %d" % ((count - 64) >> 20) if got.decode() == digest.hexdigest() else "broken after %d" % count

def half(host, port, count, begun=""):
    """So many hellos, or other beginnings, that are never finished; ends when all are closed."""
    begun = begun.encode() or hello("half.example")[3][:60]
    streams = []
    for _ in range(int(count)):
        streams.append(connect(host, port))
        streams[-1].sendall(begun)
    print("open", flush=True)
    ended = 0
    for stream in streams:
        ended += answer(stream, 30) in ("reset", "closed")
    return "ended %d" % ended

print(globals()[sys.argv[1]](sys.argv[2], int(sys.argv[3]), *sys.argv[4:]), flush=True)
