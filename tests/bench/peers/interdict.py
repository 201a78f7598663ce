"""Owns interdict's configuration for a measurement: its defaults, but for ports, upstream, workers and the list."""

import os
import subprocess

from .peer import Peer


class Interdict(Peer):
    name = "interdict"
    most_names = 1 << 40
    log = ""
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
[upstream]
servers = ["udp://{self.bed.upstream}"]
[cache]
memory = "{self.bed.cache_mib}MiB"
[admin]
listen = "{self.admin}"
{self.log}
[policy]
state = "{self.folder}/state"
[[policy.source]]
name = "bench"
from = "{self.bed.domains()}"
format = "domains"
subdomains = true
""")
        return [[self.built or self.bed.program("interdict"), "-c", path, "serve"]]


class InterdictLogged(Interdict):
    """The same with the query log of blocked queries on, its metrics read every second."""

    name = "interdict+log"

    @property
    def log(self):
        return f'[querylog]\nto = ["file:{self.folder}/queries.jsonl"]\nwhich = "blocked"'
