"""Owns PowerDNS Recursor's configuration: forwarding, a response policy zone, its packet cache on; each thread takes its own
queries, as its "performance guide" says."""

import subprocess

from .peer import Peer


class PdnsRecursor(Peer):
    name = "pdns-recursor"
    program = "pdns_recursor"
    package = "pdns-recursor"
    # It resolves such queries like all others.
    without_recursion = {"NOERROR", "EMPTY", "NXDOMAIN"}

    def configure(self):
        self.write("rpz.lua", f'rpzFile("{self.bed.rpz()}", {{ policyName = "bench" }})\n')
        self.write("recursor.conf", f"""
local-address=127.0.0.1, ::1
local-port={self.port}
threads={self.bed.workers}
pdns-distributes-queries=no
reuseport=yes
forward-zones-recurse=.={self.bed.upstream}
dont-query=
hint-file=no
dnssec=process-no-validate
lua-config-file={self.folder}/rpz.lua
max-cache-entries=1000000
max-packetcache-entries=500000
packetcache-ttl=86400
max-mthreads=4096
security-poll-suffix=
socket-dir={self.folder}
daemon=no
write-pid=no
disable-syslog=yes
quiet=yes
loglevel=0
""")
        return [[self.path(), f"--config-dir={self.folder}"]]

    def change(self, name):
        self.bed.add_to_rpz(name)
        command = ["rec_control", f"--config-dir={self.folder}", "reload-lua-config"]
        subprocess.Popen(command, stdout=subprocess.DEVNULL)
