"""Owns Knot Resolver's configuration: stub forwarding, a response policy zone, one process a worker as its manual says."""

import os

from .peer import Peer


class KnotResolver(Peer):
    name = "knot-resolver"
    program = "kresd"
    package = "knot-resolver"
    connected_modes = ("tcp", "dot", "doh")

    def configure(self):
        path = self.write("kresd.conf", f"""
net.ipv6 = true
net.listen('127.0.0.1', {self.port}, {{ kind = 'dns' }})
net.listen('::1', {self.port}, {{ kind = 'dns' }})
{self.encrypted()}
modules.unload('ta_update')
modules.unload('ta_signal_query')
modules.unload('ta_sentinel')
modules.unload('priming')
modules.unload('detect_time_skew')
modules.unload('edns_keepalive')
trust_anchors.remove('.')
cache.open({self.bed.cache_mib} * MB, 'lmdb://{self.bed.folder_in_memory}/{self.name}')
policy.add(policy.rpz(policy.DENY, '{self.bed.rpz()}', false))
policy.add(policy.all(policy.STUB('{self.bed.upstream.replace(":", "@")}')))
""")
        os.makedirs(f"{self.bed.folder_in_memory}/{self.name}", exist_ok=True)
        return [[self.path(), "-n", "-q", "-c", path, self.folder] for _ in range(self.bed.workers)]

    def encrypted(self):
        if not self.bed.certificate:
            return ""
        return f"""
net.listen('127.0.0.1', {self.dot_port}, {{ kind = 'tls' }})
net.listen('127.0.0.1', {self.doh_port}, {{ kind = 'doh2' }})
net.tls("{self.bed.certificate}", "{self.bed.key}")
net.tcp_pipeline(1000)
"""
