"""Owns Unbound's configuration: forwarding, a response policy zone, tuned as its manual's "performance tuning" says."""

import subprocess

from .peer import Peer


class Unbound(Peer):
    name = "unbound"
    program = "unbound"
    package = "unbound"
    connected_modes = ("tcp", "dot", "doh")
    version_flags = ("-V",)

    def configure(self):
        slabs = 1 << (self.bed.workers - 1).bit_length()
        path = self.write("unbound.conf", f"""
server:
    interface: 127.0.0.1@{self.port}
    interface: ::1@{self.port}
    num-threads: {self.bed.workers}
    so-reuseport: yes
    so-rcvbuf: 4m
    so-sndbuf: 4m
    outgoing-range: {2048 if self.bed.certificate else 8192}
    num-queries-per-thread: {1024 if self.bed.certificate else 4096}
    msg-cache-size: {self.bed.cache_mib // 3}m
    rrset-cache-size: {self.bed.cache_mib * 2 // 3}m
    msg-cache-slabs: {slabs}
    rrset-cache-slabs: {slabs}
    infra-cache-slabs: {slabs}
    key-cache-slabs: {slabs}
    module-config: "respip iterator"
    access-control: 127.0.0.0/8 allow
    access-control: ::1 allow
    do-not-query-localhost: no
    minimal-responses: yes
    do-daemonize: no
    use-syslog: no
    username: ""
    chroot: ""
    directory: "{self.folder}"
    pidfile: ""
    verbosity: 0
{self.encrypted()}
remote-control:
    control-enable: yes
    control-interface: {self.folder}/control
    control-use-cert: no
rpz:
    name: rpz.bench
    zonefile: "{self.bed.rpz()}"
forward-zone:
    name: "."
    forward-addr: {self.bed.upstream.replace(":", "@")}
""")
        return [[self.path(), "-d", "-c", path]]

    def encrypted(self):
        if not self.bed.certificate:
            return ""
        return f"""
    interface: 127.0.0.1@{self.dot_port}
    interface: 127.0.0.1@{self.doh_port}
    tls-port: {self.dot_port}
    https-port: {self.doh_port}
    tls-service-pem: "{self.bed.certificate}"
    tls-service-key: "{self.bed.key}"
    incoming-num-tcp: 3500
    tcp-idle-timeout: 600000
"""

    def change(self, name):
        self.bed.add_to_rpz(name)
        command = ["unbound-control", "-c", f"{self.folder}/unbound.conf", "auth_zone_reload", "rpz.bench"]
        subprocess.Popen(command, stdout=subprocess.DEVNULL)
