"""Owns the configuration of Hickory DNS: its block list store in front of its forwarder. Debian has no package of it."""

from .peer import Peer


class Hickory(Peer):
    name = "hickory-dns"
    program = "hickory-dns"
    install = "cargo install hickory-dns --features blocklist"
    # Its block list answers with an address of its own.
    blocked = "NOERROR"

    def configure(self):
        host, port = self.bed.upstream.split(":")
        with open(f"{self.folder}/listed", "w") as out, open(self.bed.domains()) as names:
            out.writelines(f"{name[:-1]}\n*.{name[:-1]}\n" for name in names)
        path = self.write("hickory.toml", f"""
listen_addrs_ipv4 = ["127.0.0.1"]
listen_addrs_ipv6 = ["::1"]
listen_port = {self.port}
user = "root"
group = "root"
allow_networks = ["127.0.0.0/8", "::1/128"]
[[zones]]
zone = "."
zone_type = "External"
[[zones.stores]]
type = "blocklist"
wildcard_match = true
min_wildcard_depth = 2
lists = ["{self.folder}/listed"]
sinkhole_ipv4 = "192.0.2.1"
sinkhole_ipv6 = "2001:db8::1"
ttl = 60
consult_action = "Disabled"
log_clients = false
[[zones.stores]]
type = "forward"
[[zones.stores.name_servers]]
ip = "{host}"
trust_negative_responses = true
connections = [{{ port = {port}, protocol = {{ type = "udp" }} }}]
[zones.stores.options]
cache_size = 500000
""")
        return [[self.path(), "-q", "-c", path, "-z", self.folder, "--workers", str(self.bed.workers)]]
