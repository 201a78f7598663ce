"""Origins in a namespace of their own: HTTP on 80, TLS on 443, and on 8443 whoever says how many bytes it got, then sends as many zeros."""
import hashlib, socket, ssl, sys, threading

folder = sys.argv[1]

def listen(port):
    listener = socket.socket(socket.AF_INET6)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    listener.bind(("::", port))
    listener.listen(4096)
    return listener

def head(stream):
    got = b""
    while b"\r\n\r\n" not in got:
        more = stream.recv(65536)
        if not more:
            break
        got += more
    return got

def http(stream):
    got = head(stream)
    body = b"plain " + got
    stream.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % len(body) + body)

def tls(stream):
    name = []
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder + "/cert.pem", folder + "/key.pem")
    context.sni_callback = lambda _, asked, __: name.append(asked or "nobody")
    stream = context.wrap_socket(stream, server_side=True)
    head(stream)
    body = ("secret " + "".join(name)).encode()
    stream.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % len(body) + body)
    stream.close()

def back(stream):
    digest, count = hashlib.sha256(), 0
    while True:
        more = stream.recv(1 << 20)
        if not more:
            break
        digest.update(more)
        count += len(more)
    stream.sendall(digest.hexdigest().encode())
    for _ in range(count >> 20):
        stream.sendall(bytes(1 << 20))

def serve(listener, work):
    def one(stream):
        try:
            work(stream)
        except OSError:
            pass
        finally:
            stream.close()
    while True:
        stream, peer = listener.accept()
        threading.Thread(target=one, args=(stream,), daemon=True).start()

listeners = [(listen(port), work) for port, work in ((80, http), (443, tls), (8443, back))]
for listener, work in listeners:
    threading.Thread(target=serve, args=(listener, work), daemon=True).start()
print("ready", flush=True)
threading.Event().wait()
