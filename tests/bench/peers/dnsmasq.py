"""Owns dnsmasq's configuration: a `local` line for each listed name, the largest cache that it does not warn of."""

import os
import subprocess

from .peer import Peer


class Dnsmasq(Peer):
    name = "dnsmasq"
    # It forks a process for each connection, twenty at most, and refuses the rest.
    connected_modes = ()
    program = "dnsmasq"
    package = "dnsmasq-base"
    most_workers = 1
    # It forwards them.
    without_recursion = {"NOERROR", "EMPTY", "NXDOMAIN"}

    def configure(self):
        with open(f"{self.folder}/listed", "w") as out, open(self.bed.domains()) as names:
            out.writelines(f"local=/{name[:-1]}/\n" for name in names)
        path = self.write("dnsmasq.conf", f"""
port={self.port}
listen-address=127.0.0.1,::1
bind-interfaces
no-resolv
no-hosts
keep-in-foreground
user=
server={self.bed.upstream.replace(":", "#")}
cache-size=10000
dns-forward-max=10000
conf-file={self.folder}/listed
""")
        return [[self.path(), "-C", path]]

    def change(self, name):
        """It reads such lines only when it starts."""
        with open(f"{self.folder}/listed", "a") as out:
            out.write(f"local=/{name}/\n")
        self.stop()
        log = subprocess.DEVNULL
        pin = lambda: os.sched_setaffinity(0, self.bed.server_cores)
        command = [self.path(), "-C", f"{self.folder}/dnsmasq.conf"]
        self.processes = [subprocess.Popen(command, stdin=log, stdout=log, stderr=log, preexec_fn=pin)]
