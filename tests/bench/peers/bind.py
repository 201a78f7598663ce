"""Owns BIND's configuration: forwarding only, a response policy zone that answers without asking first."""

import signal

from .peer import Peer


class Bind(Peer):
    name = "bind9"
    program = "named"
    package = "bind9"
    # It says what it knows of the way there, which is nothing.
    without_recursion = {"EMPTY"}

    def configure(self):
        host, port = self.bed.upstream.split(":")
        path = self.write("named.conf", f"""
options {{
    directory "{self.folder}";
    pid-file none;
    session-keyfile none;
    listen-on port {self.port} {{ 127.0.0.1; }};
    listen-on-v6 port {self.port} {{ ::1; }};
    forwarders {{ {host} port {port}; }};
    forward only;
    recursion yes;
    allow-query {{ any; }};
    allow-recursion {{ any; }};
    dnssec-validation no;
    minimal-responses yes;
    empty-zones-enable no;
    recursive-clients 20000;
    max-cache-size {self.bed.cache_mib}m;
    response-policy {{ zone "rpz.bench"; }} qname-wait-recurse no break-dnssec yes;
}};
controls {{ }};
logging {{ category default {{ null; }}; }};
zone "rpz.bench" {{ type primary; file "{self.bed.rpz()}"; check-names ignore; allow-query {{ none; }}; }};
""")
        return [[self.path(), "-f", "-c", path, "-n", str(self.bed.workers)]]

    def change(self, name):
        self.bed.add_to_rpz(name)
        self.processes[0].send_signal(signal.SIGHUP)
