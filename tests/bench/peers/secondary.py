"""Owns interdict with its rules from a primary, Knot DNS: a change comes as NOTIFY and IXFR instead of a file."""

import os
import shutil
import socket
import subprocess
import time

from .interdict import Interdict
from .peer import PATIENCE, DoesNotStart


class InterdictSecondary(Interdict):
    name = "interdict+ixfr"
    package = "knot"
    connected_modes = ()
    primary = None

    @classmethod
    def path(cls):
        return shutil.which("knotd", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")

    def rules(self):
        self.primary_port = self.bed.free_port()
        return f"""[[policy.source]]
name = "bench"
from = "axfr://127.0.0.1:{self.primary_port}/rpz.bench"
max_bytes = "256MiB"
format = "rpz\""""

    def start(self):
        os.makedirs(self.folder, exist_ok=True)
        commands = self.configure()
        self.serve_zone()
        self.configure = lambda: commands
        super().start()

    def serve_zone(self):
        """Starts the primary, and waits until it has read the zone. It is not part of what is measured."""
        folder = os.path.join(self.folder, "primary")
        os.makedirs(os.path.join(folder, "db"), exist_ok=True)
        shutil.copy(self.bed.rpz(), os.path.join(folder, "rpz.bench"))
        self.knot = os.path.join(folder, "knot.conf")
        with open(self.knot, "w") as out:
            out.write(f"""server:
    rundir: "{folder}"
    listen: 127.0.0.1@{self.primary_port}
database:
    storage: "{folder}/db"
remote:
  - id: interdict
    address: 127.0.0.1@{self.port}
acl:
  - id: all
    address: 127.0.0.0/8
    action: transfer
zone:
  - domain: rpz.bench
    storage: "{folder}"
    file: rpz.bench
    zonefile-load: whole
    zonefile-sync: -1
    journal-content: changes
    notify: interdict
    acl: all
    semantic-checks: off
""")
        log = open(os.path.join(folder, "log"), "wb")
        self.primary = subprocess.Popen([self.path(), "-c", self.knot], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        log.close()
        began = time.monotonic()
        while not self.serves():
            if self.primary.poll() is not None or time.monotonic() - began > PATIENCE:
                raise DoesNotStart(f"{self.name}: its primary does not serve the zone")
            time.sleep(0.2)

    def serves(self):
        query = b"\x12\x34\0\0\0\x01\0\0\0\0\0\0\x03rpz\x05bench\0\0\x06\0\x01"
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(1)
            try:
                client.connect(("127.0.0.1", self.primary_port))
                client.send(query)
                return client.recv(4096)[3] & 15 == 0
            except OSError:
                return False

    def change(self, name):
        """Adds the name at the primary; the rest comes by itself."""
        def tell(*words):
            done = subprocess.run(["knotc", "-b", "-t", "60", "-c", self.knot, *words], capture_output=True, text=True)
            if done.returncode:
                raise RuntimeError(f"knotc {words[0]}: {done.stderr}{done.stdout}")
        tell("zone-begin", "rpz.bench")
        for owner in (name, f"*.{name}"):
            tell("zone-set", "rpz.bench", f"{owner}.rpz.bench.", "86400", "CNAME", ".")
        tell("zone-commit", "rpz.bench")

    def stop(self):
        super().stop()
        if self.primary:
            self.primary.terminate()
            self.primary.wait(30)
