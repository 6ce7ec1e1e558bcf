"""Measures tiergate beside other caches over loopback. Started by `run`, which builds and installs what this needs.

For each workload every cache is started afresh on an empty directory and warmed; then the rounds follow, each cache in
turn in every round. What a round was meant to be is checked before and after it: a hit workload that missed, or a miss
workload that did not store, ends the measurement with exit code 1. How fast anything is, is never checked.
"""

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass

import report
import storage
from processes import TICKS_PER_SECOND, Failure
from servers import Nginx, Origin, Tiergate, Varnish

SIZES = {"1k": 1 << 10, "64k": 64 << 10, "1024k": 1 << 20}
WARM_SECONDS_MAX = 60.0
STORED_SECONDS_MAX = 60.0
# Of the misses, how many are asked for again, and how many of those must be there.
MISSES_PROBED = 50
MISSES_STORED_MIN = 0.9


@dataclass
class Workload:
    """What is asked for. A number of `objects` are hits, none are misses."""
    name: str
    what: str
    size: str
    objects: int = 0
    in_memory: bool = False
    h2: bool = False


WORKLOADS = [
    Workload("hit-1k", "hit on disk, 1 KiB", "1k", objects=1000),
    Workload("hit-64k", "hit on disk, 64 KiB", "64k", objects=500),
    Workload("hit-1m", "hit on disk, 1 MiB", "1024k", objects=64),
    Workload("miss-1k", "miss that stores, 1 KiB", "1k"),
    Workload("miss-64k", "miss that stores, 64 KiB", "64k"),
    Workload("memory-1k", "hit in memory, 1 KiB", "1k", objects=1000, in_memory=True),
    Workload("memory-64k", "hit in memory, 64 KiB", "64k", objects=500, in_memory=True),
    Workload("memory-1m", "hit in memory, 1 MiB", "1024k", objects=64, in_memory=True),
    Workload("h2-1k", "hit in memory, 1 KiB, HTTP/2", "1k", objects=1000, in_memory=True, h2=True),
]


class Running:
    """One cache, running for one workload."""

    def __init__(self, cache, server, origin, workload, options):
        self.cache, self.server, self.origin = cache, server, origin
        self.workload, self.options = workload, options
        self.rounds = []

    def check(self, path):
        """Is `path` a hit? Its body is right in any case."""
        answer = self.server.get(path)
        if answer.status != 200 or answer.body != self.origin.bodies[self.workload.size]:
            raise Failure(f"{self.cache.name}: GET {path}: {answer.status} with {len(answer.body)} bytes: not what "
                          f"the origin has\n{self.server.said()}")
        return self.cache.is_hit(answer, self.workload.in_memory), answer.fields

    def wait_for_hit(self, path, seconds_max):
        until = time.monotonic() + seconds_max
        while True:
            is_hit, fields = self.check(path)
            if is_hit:
                return
            if time.monotonic() > until:
                raise Failure(f"{self.cache.name}: {path} does not become a hit: {fields}")
            time.sleep(0.02)

    def path(self):
        return f"/{self.workload.size}/{self.workload.name}"

    def warm(self):
        for n in range(self.workload.objects):
            self.wait_for_hit(f"{self.path()}/{n}", WARM_SECONDS_MAX)

    def measure(self, number):
        """One round."""
        self.server.check_alive()
        is_miss = self.workload.objects == 0
        if is_miss:
            # What the round before left to be written does not slow down this one.
            storage.sync(self.options.directory)
        path = f"{self.path()}/{number}" if is_miss else self.path()
        arguments = ["unique", path] if is_miss else ["list", path, str(self.workload.objects)]
        if not is_miss:
            self.check_hits("before")
        asked = self.origin.requests()
        self.server.settle()
        ticks = self.server.cpu_ticks()
        load = self.drive_h2() if self.workload.h2 else self.drive(arguments)
        self.server.settle()
        ticks = self.server.cpu_ticks() - ticks
        asked = self.origin.requests() - asked
        if any(load["errors"].values()):
            raise Failure(f"{self.cache.name}: {self.workload.name}: errors: {load['errors']}\n{self.server.said()}")
        stored = None
        if is_miss:
            stored = self.check_misses(path, load["requests"], asked)
        else:
            if asked:
                raise Failure(f"{self.cache.name}: {self.workload.name}: the origin was asked {asked} times: no hits")
            self.check_hits("after")
        requests = load["requests"]
        self.rounds.append({
            "requests": requests,
            "cpu_us": ticks / TICKS_PER_SECOND * 1e6 / requests,
            "requests_per_second": requests / (load["duration_us"] / 1e6),
            "memory_bytes": self.server.memory_bytes(),
            "latency_us": load["latency_us"],
            "origin_requests": asked,
            "stored_share": stored,
        })

    def drive(self, arguments):
        """wrk, for one round."""
        script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "load.lua")
        command = ["wrk", "-t1", f"-c{self.options.connections}", f"-d{self.options.seconds}s", "--timeout", "30s",
                   "-s", script, f"http://127.0.0.1:{self.server.port}", "--", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=self.options.seconds + 120)
        self.server.check_alive()
        lines = done.stdout.splitlines()
        if done.returncode != 0 or not lines or not lines[-1].startswith("{"):
            raise Failure(f"{' '.join(command)}: {done.returncode}\n{done.stdout}{done.stderr}")
        return json.loads(lines[-1])

    def drive_h2(self):
        """h2load, for one round: HTTP/2 in clear text, ten requests at a time on each connection."""
        base = os.path.join(self.options.directory, f"{self.workload.name}-{self.cache.name}.h2load")
        with open(f"{base}.urls", "w") as out:
            out.writelines(f"http://127.0.0.1:{self.server.h2_port}{self.path()}/{n}\n"
                           for n in range(self.workload.objects))
        command = ["h2load", "-t1", f"-c{self.options.connections}", "-m10", f"-D{self.options.seconds}",
                   "-i", f"{base}.urls", f"--log-file={base}.log"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=self.options.seconds + 120)
        self.server.check_alive()
        if done.returncode != 0:
            raise Failure(f"{' '.join(command)}: {done.returncode}\n{done.stdout}{done.stderr}")
        # A line for each response: when it was asked for, its status, and how long it took.
        with open(f"{base}.log") as log:
            answers = [[int(word) for word in line.split("\t")] for line in log]
        os.remove(f"{base}.log")
        if not answers:
            raise Failure(f"{' '.join(command)}: nothing was answered\n{done.stdout}{done.stderr}")
        took = sorted(answer[2] for answer in answers)
        begun = [answer[0] for answer in answers]
        return {
            "requests": len(answers),
            "duration_us": max(begun) - min(begun) + took[-1],
            "errors": {"status": sum(answer[1] != 200 for answer in answers)},
            "latency_us": {"p50": took[len(took) // 2], "p99": took[len(took) * 99 // 100], "max": took[-1]},
        }

    def check_hits(self, when):
        count = self.workload.objects
        for n in {0, 1, count // 3, count // 2, count - 1}:
            is_hit, fields = self.check(f"{self.path()}/{n}")
            if not is_hit:
                raise Failure(f"{self.cache.name}: {self.path()}/{n} is no hit {when} a round: {fields}")

    def check_misses(self, path, requests, asked):
        """Each was a miss, and is stored now: which share of the last ones."""
        # A cache may wait for the disk before it shows what it stored.
        storage.sync(self.options.directory)
        self.server.settle()
        if asked < requests:
            raise Failure(f"{self.cache.name}: {requests} answers from {asked} requests to the origin: no misses")
        # The very last ones may have been cut off by the end of the round. A cache that has the one before them under way
        # has not come to an end with the others either.
        last = max(0, requests - 2 * self.options.connections)
        self.wait_for_hit(f"{path}/0/{last}", STORED_SECONDS_MAX)
        step = max(1, min(1000, last) // MISSES_PROBED)
        probed = [f"{path}/0/{n}" for n in range(last - 1, max(0, last - 1000), -step)][:MISSES_PROBED]
        # What is asked for here is stored by that, if it was not before: only the first answer counts.
        answers = [self.check(path) for path in probed]
        stored = sum(is_hit for is_hit, _ in answers)
        if stored < MISSES_STORED_MIN * len(probed):
            lost = next(fields for is_hit, fields in answers if not is_hit)
            raise Failure(f"{self.cache.name}: of {len(probed)} misses only {stored} were stored, for example not: "
                          f"{lost}\n{self.server.said()}")
        return stored / len(probed)


def measure(workload, caches, options):
    """All rounds of one workload."""
    with contextlib.ExitStack() as stack:
        def start(name, made, *arguments):
            directory = os.path.join(options.directory, f"{workload.name}-{name}")
            os.mkdir(directory)
            server = made(directory, *arguments)
            stack.callback(server.end)
            return server.wait_until_up()

        origin = start("origin", Origin, SIZES)
        running = [Running(cache, start(cache.name, cache.start, origin, workload), origin, workload,
                           options)
                   for cache in caches]
        for one in running:
            one.warm()
        for number in range(options.rounds):
            for one in running:
                one.measure(number)
            say(f"{workload.name}: round {number + 1} of {options.rounds}: " + ", ".join(
                f"{one.cache.name} {one.rounds[-1]['cpu_us']:.1f} µs" for one in running))
        return {"workload": workload.name, "what": workload.what,
                "caches": {one.cache.name: one.rounds for one in running}}


def say(text):
    print(text, file=sys.stderr, flush=True)


def parse():
    names = [workload.name for workload in WORKLOADS]
    parser = argparse.ArgumentParser(prog="benches/http/run", description=__doc__.splitlines()[0])
    parser.add_argument("--workloads", default=",".join(names), help=f"of {','.join(names)}; default all")
    parser.add_argument("--peers", default="nginx", help="nginx, varnish or both, with a comma; default nginx")
    parser.add_argument("--tiergate", action="append", default=[], metavar="[NAME=]BINARY",
                        help="this build instead of this clone's; may be given several times, to compare builds")
    parser.add_argument("--rounds", type=int, default=5, help="default 5")
    parser.add_argument("--seconds", type=int, default=4, help="of one round of one cache; default 4")
    parser.add_argument("--connections", type=int, default=8, help="default 8")
    parser.add_argument("--data", default="/var/tmp", help="where caches keep their data: on a disk; default /var/tmp")
    parser.add_argument("--shared-file-system", action="store_true",
                        help="right there, instead of on a file system of its own, which takes root to mount")
    parser.add_argument("--json", metavar="FILE", help="writes everything measured there as well")
    options = parser.parse_args()
    options.workloads = options.workloads.split(",")
    if unknown := set(options.workloads) - set(names):
        parser.error(f"unknown workloads: {', '.join(sorted(unknown))}")
    options.peers = options.peers.split(",")
    if unknown := set(options.peers) - {"nginx", "varnish"}:
        parser.error(f"unknown peers: {', '.join(sorted(unknown))}")
    if min(options.rounds, options.seconds, options.connections) < 1:
        parser.error("--rounds, --seconds and --connections are 1 or more")
    return options


def caches_of(options):
    builds = []
    for text in options.tiergate:
        name, _, binary = text.rpartition("=")
        builds.append(Tiergate(name or "tiergate", binary))
    caches = builds + [{"nginx": Nginx, "varnish": Varnish}[peer]() for peer in options.peers]
    if len({cache.name for cache in caches}) < len(caches):
        raise Failure("two caches of one name: write --tiergate NAME=BINARY")
    return caches


def main():
    options = parse()
    # A signal ends what was started, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    signal.signal(signal.SIGHUP, lambda *_: sys.exit(129))
    try:
        caches = caches_of(options)
        # One directory for all, so that nothing is deleted while anything is measured.
        with storage.directory(options.data, own=not options.shared_file_system) as (data, described):
            options.directory = data
            machine = report.machine(options, described, caches)
            results = [measure(workload, caches, options)
                       for workload in WORKLOADS if workload.name in options.workloads]
    except Failure as failure:
        say(f"benches/http: {failure}")
        return 1
    except KeyboardInterrupt:
        return 130
    whole = {"machine": machine, "results": results}
    report.show(whole)
    if options.json:
        with open(options.json, "w") as out:
            json.dump(whole, out, indent=1)
    return 0


if __name__ == "__main__":
    sys.exit(main())
