"""Owns interdict's configuration for a measurement: its defaults, but for ports, upstream, workers and the list."""

import json
import os
import shutil
import subprocess
import threading
import urllib.request

from .peer import Peer


class Interdict(Peer):
    name = "interdict"
    most_names = 1 << 40
    connected_modes = ("tcp", "dot", "doh")
    log = ""
    more_admin = ""
    # Whether its metrics are read while it is measured.
    is_scraped = False
    # Another build, where one is measured.
    built = None

    @classmethod
    def path(cls):
        return "interdict"

    @classmethod
    def version(cls):
        root = os.path.join(os.path.dirname(__file__), "..", "..", "..")
        return subprocess.run(
            ["git", "describe", "--always", "--dirty"], cwd=root, capture_output=True, text=True).stdout.strip()

    def __init__(self, bed):
        super().__init__(bed)
        self.admin = f"127.0.0.1:{bed.free_port()}"

    def configure(self):
        path = self.write("interdict.toml", f"""
[server]
workers = {self.bed.workers}
[[listener]]
address = "127.0.0.1:{self.port}"
[[listener]]
address = "[::1]:{self.port}"
{self.encrypted()}
[upstream]
servers = ["udp://{self.bed.upstream}"]
[cache]
memory = "{self.bed.cache_mib}MiB"
[admin]
listen = "{self.admin}"
{self.more_admin}
{self.log}
[policy]
state = "{self.folder}/state"
{self.rules()}
""")
        return [[self.built or self.bed.program("interdict"), "-c", path, "serve"]]


    def encrypted(self):
        """Listeners inside of TLS, where there is a certificate."""
        if not self.bed.certificate:
            return ""
        return f"""[tls]
certificate = "{self.bed.certificate}"
key = "{self.bed.key}"
[[listener]]
protocol = "dot"
address = "127.0.0.1:{self.dot_port}"
connections = 12000
idle = "10m"
[[listener]]
protocol = "doh"
address = "127.0.0.1:{self.doh_port}"
"""

    def rules(self):
        """Where the rules come from, in the configuration's words."""
        return f"""[[policy.source]]
name = "bench"
from = "{self.bed.domains()}"
format = "domains"
subdomains = true"""

    def change(self, name):
        """Replaces the list by one with a name more, and asks for a reload as an operator does."""
        path = self.bed.domains()
        with open(path, "rb") as old, open(f"{path}.next", "wb") as out:
            shutil.copyfileobj(old, out)
            out.write(f"{name}\n".encode())
        os.rename(f"{path}.next", path)
        self.asking = threading.Thread(target=self.reload)
        self.asking.start()

    def metric(self, name):
        """A number without labels."""
        page = urllib.request.urlopen(f"http://{self.admin}/metrics", timeout=5).read().decode()
        return next(float(line.split()[-1]) for line in page.splitlines() if line.startswith(f"{name} "))

    def replies(self):
        """How many it made since it started, by its own count."""
        page = urllib.request.urlopen(f"http://{self.admin}/metrics", timeout=5).read().decode()
        return sum(float(line.split()[-1]) for line in page.splitlines() if line.startswith("interdict_replies_total{"))

    def reload(self):
        """What a reload says of itself."""
        with open(os.path.join(self.folder, "state", "token")) as token:
            head = {"Authorization": f"Bearer {token.read().strip()}"}
        request = urllib.request.Request(f"http://{self.admin}/api/v1/reload", method="POST", headers=head)
        return json.load(urllib.request.urlopen(request, timeout=60))["outcome"]


class InterdictOff(Interdict):
    """The same with all that tells of what was asked switched off."""

    name = "interdict-off"
    log = "[report]\ndays = 0\n[last_day]\nnames = 0"
    more_admin = "tail = 0"


class InterdictLogged(Interdict):
    """The same with the query log of blocked queries on, its metrics read every second; reports, the last day and the newest queries are on by default."""

    name = "interdict+log"
    which = "blocked"
    is_scraped = True

    @property
    def log(self):
        # Apart from the configuration, as where it is installed: that folder is watched, and each write there would wake who watches.
        folder = os.path.join(self.folder, "querylog")
        os.makedirs(folder, exist_ok=True)
        return f'[querylog]\nto = ["file:{folder}/queries.jsonl"]\nwhich = "{self.which}"'


class InterdictAll(InterdictLogged):
    """The same with every query in the log."""

    name = "interdict+all"
    which = "all"
