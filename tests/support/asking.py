"""Asks a resolver at 127.0.0.1 for a banned name and another one over each transport that dnspython has. Arguments: the certificate, the
ports of UDP and TCP, DoT, DoH, DoQ, DoH3. Prints a line a transport."""

import sys

import dns.flags
import dns.message
import dns.query
import dns.rcode

certificate, plain, dot, doh, doq, doh3 = sys.argv[1], *(int(word) for word in sys.argv[2:])
HOST = "127.0.0.1"


def https(port, version, post):
    where = f"https://{HOST}:{port}/dns-query"
    return lambda query: dns.query.https(query, where, timeout=10, verify=certificate, post=post, http_version=version)


WAYS = {
    "udp": lambda query: dns.query.udp(query, HOST, 10, plain),
    "tcp": lambda query: dns.query.tcp(query, HOST, 10, plain),
    "tls": lambda query: dns.query.tls(query, HOST, 10, dot, verify=certificate),
    "https-post": https(doh, dns.query.HTTPVersion.H2, True),
    "https-get": https(doh, dns.query.HTTPVersion.H2, False),
    "quic": lambda query: dns.query.quic(query, HOST, 10, doq, verify=certificate),
    "h3": https(doh3, dns.query.HTTPVersion.H3, True),
}

for way, ask in WAYS.items():
    blocked = ask(dns.message.make_query("wechat.com", "A", use_edns=0))
    assert not blocked.flags & dns.flags.AD
    reason = next(option.code for option in blocked.options if hasattr(option, "code"))
    allowed = ask(dns.message.make_query("www.canada.ca", "A", use_edns=0))
    print(way, dns.rcode.to_text(blocked.rcode()), int(reason), dns.rcode.to_text(allowed.rcode()), allowed.answer[0][0])
