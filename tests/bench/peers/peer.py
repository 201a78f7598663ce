"""Owns one server under test: its processes, what they have used, and when it is ready. Never knows a workload."""

import os
import re
import shutil
import signal
import socket
import subprocess
import time

# Longest start; the slowest of the peers needs two minutes for ten million names.
PATIENCE = 600


class DoesNotStart(Exception):
    """With what it said of itself."""


class Peer:
    """A server. A subclass says which program it is and how it is configured."""

    name = ""
    program = ""
    package = ""
    version_flags = ("--version", "-V")
    # What it answers for a blocked name, and what a query without RD for a name it has not kept.
    blocked = "NXDOMAIN"
    without_recursion = {"REFUSED"}
    # Largest policy it is given unless it is asked for by name: beyond, it needs several GiB or minutes.
    most_names = 1_000_000
    most_workers = 64
    # What it speaks over connections, where it is measured: of "tcp", "dot", "doh".
    connected_modes = ("tcp",)
    dot_port = doh_port = None

    def __init__(self, bed):
        self.bed = bed
        self.port = bed.free_port()
        self.folder = os.path.join(bed.folder, self.name)
        if bed.certificate:
            self.dot_port, self.doh_port = bed.free_port(), bed.free_port()
        self.processes = []
        self.started_in = None
        # Whether it was asked every blocked question once; some keep the answers.
        self.knows_blocked = False

    @classmethod
    def path(cls):
        """The program's path, or None where it is not installed."""
        return shutil.which(cls.program, path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")

    @classmethod
    def version(cls):
        """The program's version, as the first number with a dot that it prints."""
        for flag in cls.version_flags:
            out = subprocess.run([cls.path(), flag], capture_output=True, text=True)
            found = re.search(r"\d+\.\d+[\w.+-]*", out.stdout + out.stderr)
            if found:
                return found[0]
        return ""

    def configure(self):
        """Writes the configuration into `self.folder`; returns the command of each process."""
        raise NotImplementedError

    def start(self):
        """Starts every process and waits until it blocks the last listed name and resolves another."""
        os.makedirs(self.folder, exist_ok=True)
        commands = self.configure()
        began = time.monotonic()
        log = open(os.path.join(self.folder, "log"), "wb")
        pin = lambda: os.sched_setaffinity(0, self.bed.server_cores)
        for command in commands:
            process = subprocess.Popen(
                command, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log, preexec_fn=pin)
            self.processes.append(process)
        log.close()
        while not self.is_ready():
            dead = [process.args[0] for process in self.processes if process.poll() is not None]
            if dead or time.monotonic() - began > PATIENCE:
                self.stop()
                raise DoesNotStart(f"{self.name} did not start: {self.said()}")
            time.sleep(0.02)
        self.started_in = time.monotonic() - began

    def said(self):
        with open(os.path.join(self.folder, "log"), errors="replace") as log:
            return log.read()[-2000:]

    def is_ready(self):
        blocked, found = self.bed.probes
        return self.ask(blocked) == self.blocked and self.ask(found) == "NOERROR"

    def ask(self, name):
        """The response code for a name's address, or None."""
        codes = {0: "NOERROR", 2: "SERVFAIL", 3: "NXDOMAIN", 5: "REFUSED"}
        wire = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
        query = b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0" + wire + b"\0\0\x01\0\x01"
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(1)
            try:
                client.connect(("127.0.0.1", self.port))
                client.send(query)
                reply = client.recv(4096)
            except OSError:
                return None
        return codes.get(reply[3] & 15, str(reply[3] & 15))

    def pids(self):
        """The processes with all their children."""
        found = [process.pid for process in self.processes if process.poll() is None]
        for pid in found:
            for task in listed(f"/proc/{pid}/task"):
                found.extend(int(child) for child in read(f"/proc/{pid}/task/{task}/children").split())
        return found

    def cpu(self):
        """Nanoseconds of processor time of all threads, user and system, as the scheduler counts them."""
        total = 0
        for pid in self.pids():
            for task in listed(f"/proc/{pid}/task"):
                total += int((read(f"/proc/{pid}/task/{task}/schedstat") or "0").split()[0])
        return total

    def cpu_of(self, thread):
        """The same of the threads whose name begins so."""
        total = 0
        for pid in self.pids():
            for task in listed(f"/proc/{pid}/task"):
                if read(f"/proc/{pid}/task/{task}/comm").startswith(thread):
                    total += int((read(f"/proc/{pid}/task/{task}/schedstat") or "0").split()[0])
        return total

    def memory(self, field="VmRSS"):
        """Resident bytes of all processes; `VmHWM` for the most there ever were."""
        total = 0
        for pid in self.pids():
            for line in read(f"/proc/{pid}/status").splitlines():
                if line.startswith(f"{field}:"):
                    total += int(line.split()[1]) * 1024
        return total

    def forget_peak(self):
        """Lets `VmHWM` begin anew (proc(5), clear_refs)."""
        for pid in self.pids():
            with open(f"/proc/{pid}/clear_refs", "w") as out:
                out.write("5")

    def descriptors(self):
        """Open file descriptors of all processes."""
        return sum(len(listed(f"/proc/{pid}/fd")) for pid in self.pids())

    def stop(self):
        for process in self.processes:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for process in self.processes:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.processes = []

    def write(self, name, text):
        """Writes a file into the server's folder; returns its path."""
        path = os.path.join(self.folder, name)
        with open(path, "w") as out:
            out.write(text)
        return path


def listed(path):
    try:
        return os.listdir(path)
    except OSError:
        return []


def read(path):
    try:
        with open(path) as file:
            return file.read()
    except OSError:
        return ""
