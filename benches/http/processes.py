"""Processes of ours: started here, ended here by their ids, and what they cost by /proc."""

import os
import signal
import socket
import subprocess
import time

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
END_SECONDS_MAX = 20.0


class Failure(Exception):
    """The measurement cannot go on, or would mean nothing."""


def free_port():
    """A port of the loopback interface that is free now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Process:
    """One program with its children, in a process group of its own."""

    def __init__(self, command, log, **more):
        self.log = log
        self.output = open(log, "ab")
        self.child = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stderr=self.output,
            start_new_session=True, **{"stdout": self.output, **more})

    def said(self):
        """The end of what it wrote, for an error message."""
        with open(self.log, errors="replace") as file:
            return file.read()[-2000:]

    def check_alive(self):
        if self.child.poll() is not None:
            raise Failure(f"{self.child.args[0]} ended with {self.child.returncode}:\n{self.said()}")

    def end(self):
        """SIGTERM, and SIGKILL to what is left of its group after a while."""
        if self.child.poll() is None:
            self.child.terminate()
            try:
                self.child.wait(END_SECONDS_MAX)
            except subprocess.TimeoutExpired:
                pass
        try:
            os.killpg(self.child.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.child.wait()
        self.output.close()

    def family(self):
        """Its id and those of its children."""
        ids, new = [], [self.child.pid]
        while new:
            pid = new.pop()
            ids.append(pid)
            try:
                for task in os.listdir(f"/proc/{pid}/task"):
                    with open(f"/proc/{pid}/task/{task}/children") as file:
                        new.extend(int(child) for child in file.read().split())
            except FileNotFoundError:
                pass
        return ids

    def cpu_ticks(self):
        """User and system time of all its threads until now."""
        ticks = 0
        for pid in self.family():
            try:
                with open(f"/proc/{pid}/stat") as file:
                    # The name, in parentheses, may contain anything.
                    fields = file.read().rpartition(")")[2].split()
            except FileNotFoundError:
                continue
            ticks += int(fields[11]) + int(fields[12])
        return ticks

    def memory_bytes(self):
        """Resident memory; what several of its processes share counts once."""
        total = 0
        for pid in self.family():
            try:
                with open(f"/proc/{pid}/smaps_rollup") as file:
                    total += sum(int(line.split()[1]) << 10 for line in file if line.startswith("Pss:"))
            except (FileNotFoundError, ProcessLookupError):
                continue
        return total

    def settle(self, seconds_max=10.0):
        """Waits until it has nothing to do, so that work put off is counted with the requests that caused it."""
        until = time.monotonic() + seconds_max
        ticks = self.cpu_ticks()
        while time.monotonic() < until:
            time.sleep(0.2)
            before, ticks = ticks, self.cpu_ticks()
            if ticks - before <= 1:
                return
