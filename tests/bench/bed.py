"""Owns what all servers of a measurement share: folder, policy in each form, upstream, cores, ports, programs."""

import os
import resource
import shutil
import socket
import subprocess
import tempfile
import time

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
TARGET = os.environ.get("CARGO_TARGET_DIR", os.path.join(ROOT, "target"))
CORES = sorted(os.sched_getaffinity(0))
PROGRAMS = ("connected", "floor", "load", "names", "upstream")
# Popular names: as many as the smallest of the caches holds with all their records.
POPULAR = 5_000
# Listed names are numbered from zero, others from here.
UNLISTED = 2_000_000_000


def build():
    """Builds interdict as it is shipped, and the programs of the benchmark."""
    examples = [word for program in PROGRAMS for word in ("--example", program)]
    subprocess.run(
        ["cargo", "build", "--release", "--locked", "--quiet", "--bin", "interdict", *examples], cwd=ROOT, check=True)


def program(name):
    folder = os.path.join(TARGET, "release", "examples") if name in PROGRAMS else os.path.join(TARGET, "release")
    return os.path.join(folder, name)


def made_up(first, count):
    """Names of the generator, as lines."""
    command = [program("names"), str(first), str(count)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()


class Bed:
    """A folder with a policy of `names` names, a running upstream, and the cores for servers and load."""

    cache_mib = 256

    def __init__(self, names, workers, listed=None, popular=None):
        """`listed` and `popular` are files of real names, to be used instead of made-up ones."""
        self.wanted = names
        self.workers = workers
        self.folder = tempfile.mkdtemp(prefix="interdict-bench-")
        in_memory = "/dev/shm" if os.path.isdir("/dev/shm") else self.folder
        self.folder_in_memory = tempfile.mkdtemp(prefix="interdict-bench-", dir=in_memory)
        self.listed = self._listed(listed)
        with open(self.listed, "rb") as file:
            # A file of real names may hold fewer than were asked for.
            self.names = sum(1 for _ in file)
        self.popular = self._popular(popular)
        self.probes = (self._last(), self.popular[0])
        # The first cores serve and the others ask; where there are too few, they share.
        self.server_cores = set(CORES[:workers])
        self.load_cores = set(CORES[workers:]) or set(CORES)
        self._ports = set()
        self.upstream = f"127.0.0.1:{self.free_port()}"
        self._upstream = subprocess.Popen(
            [program("upstream"), self.upstream], preexec_fn=lambda: os.sched_setaffinity(0, self.load_cores))
        time.sleep(0.2)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._upstream.kill()
        self._upstream.wait()
        shutil.rmtree(self.folder, ignore_errors=True)
        shutil.rmtree(self.folder_in_memory, ignore_errors=True)

    program = staticmethod(program)

    def free_port(self):
        """A port that nobody has, for both transports and families, and that was not handed out before. Below those that the
        kernel gives to clients."""
        kinds = (socket.SOCK_DGRAM, socket.SOCK_STREAM)
        for port in range(5400, 9400):
            if port not in self._ports and all(
                    is_free(family, kind, port) for family in (socket.AF_INET, socket.AF_INET6) for kind in kinds):
                self._ports.add(port)
                return port
        raise RuntimeError("no port is free")

    def used(self):
        """Seconds of processor time on the cores of the measurement, by anybody, in kernel and out of it."""
        total = 0
        with open("/proc/stat") as lines:
            for line in lines:
                words = line.split()
                if words[0] in {f"cpu{core}" for core in self.server_cores | self.load_cores}:
                    user, nice, system, _, _, irq, softirq = (int(word) for word in words[1:8])
                    total += user + nice + system + irq + softirq
        return total / os.sysconf("SC_CLK_TCK")

    def used_by_load(self):
        """Of those, what the upstream and the load generators have used."""
        own = resource.getrusage(resource.RUSAGE_CHILDREN)
        with open(f"/proc/{self._upstream.pid}/stat") as file:
            user, system = file.read().rsplit(")", 1)[1].split()[11:13]
        return own.ru_utime + own.ru_stime + (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")

    def _listed(self, real):
        path = os.path.join(self.folder, "listed.domains")
        with open(path, "w") as out:
            if real:
                names = dict.fromkeys(clean(real))
                out.writelines(f"{name}\n" for name, _ in zip(names, range(self.wanted)))
            else:
                subprocess.run([program("names"), "0", str(self.wanted)], stdout=out, check=True)
        return path

    def _popular(self, real):
        if real:
            with open(self.listed) as file:
                listed = {line.strip() for line in file}
            return [name for name in dict.fromkeys(clean(real)) if not covered(name, listed)]
        return made_up(UNLISTED, POPULAR)

    def _last(self):
        with open(self.listed, "rb") as file:
            file.seek(max(0, os.path.getsize(self.listed) - 300))
            return file.read().decode().split()[-1]

    certificate = key = None

    def certify(self):
        """Makes a certificate of the kind that sites have, for servers that are configured from now on."""
        self.certificate, self.key = (os.path.join(self.folder, name) for name in ("cert.pem", "key.pem"))
        subprocess.run([
            "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", self.key,
            "-out", self.certificate, "-days", "30", "-subj", "/CN=dns.example", "-addext",
            "subjectAltName=DNS:dns.example,IP:127.0.0.1",
            "-addext", "basicConstraints=critical,CA:FALSE"], check=True, capture_output=True)

    def domains(self):
        """The policy as a list of names, each with everything below it."""
        return self.listed

    def rpz(self):
        """The policy as a response policy zone."""
        path = os.path.join(self.folder, "rpz.bench")
        if not os.path.exists(path):
            with open(path, "w") as out, open(self.listed) as names:
                # A day, so that whoever keeps blocked answers can.
                out.write("$ORIGIN rpz.bench.\n$TTL 86400\n@ NS localhost.\n")
                out.write("@ SOA localhost. root.localhost. 1 3600 600 86400 60\n")
                out.writelines(f"{name[:-1]} CNAME .\n*.{name[:-1]} CNAME .\n" for name in names)
        return path


    def add_to_rpz(self, name):
        """Replaces the zone by one with a name more and a later serial."""
        path = self.rpz()
        with open(path) as old, open(f"{path}.next", "w") as out:
            for line in old:
                out.write(line.replace(" 1 3600 ", " 2 3600 ") if line.startswith("@ SOA") else line)
            out.write(f"{name} CNAME .\n*.{name} CNAME .\n")
        os.rename(f"{path}.next", path)


def is_free(family, kind, port):
    with socket.socket(family, kind) as probe:
        try:
            probe.bind(("127.0.0.1" if family == socket.AF_INET else "::1", port))
        except OSError:
            return False
    return True


def clean(path):
    """The names of a file of any plain form: one a line, comments, an address in front, `*.`."""
    with open(path) as file:
        for line in file:
            words = line.split("#")[0].split()
            name = words[-1].lower().removeprefix("*.").strip(".") if words else ""
            if "." in name and all(len(label) in range(1, 64) for label in name.split(".")):
                yield name


def covered(name, listed):
    labels = name.split(".")
    return any(".".join(labels[at:]) in listed for at in range(len(labels)))
