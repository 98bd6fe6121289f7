"""Starts processes on chosen cores, and reads what they cost from /proc.

Sends signals to its own children only.
"""

import contextlib
import os
import socket
import subprocess
import time
from pathlib import Path

SENDER_CORE, RECEIVER_CORE = 0, 1
TICKS = os.sysconf("SC_CLK_TCK")
STOP_SECONDS = 60


class Failed(Exception):
    """Something that the benchmark needs did not work."""


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def all_cores():
    return f"0-{os.cpu_count() - 1}"


def all_but_the_receivers():
    """The sender's core, and on a machine of more than two those beyond the receiver's."""
    return ",".join(str(core) for core in range(os.cpu_count()) if core != RECEIVER_CORE)


def pinned(core, command):
    return ["taskset", "-c", str(core), *map(str, command)]


def cpu_seconds(pid):
    """User and system time of a process with all its threads, those that ended included."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def peak_memory_mb(pid):
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise Failed("no VmHWM")


def core_busy_seconds(core):
    """How long a core has worked, for anybody."""
    for line in Path("/proc/stat").read_text(encoding="ascii").splitlines():
        if line.startswith(f"cpu{core} "):
            user, nice, system, _idle, _wait, irq, soft, steal = map(int, line.split()[1:9])
            return (user + nice + system + irq + soft + steal) / TICKS
    return 0.0


class Span:
    """From its making on: wall time, CPU of a process, and what others used of the sender's core meanwhile."""

    def __init__(self, pid=None):
        self.pid, self.began = pid, time.monotonic()
        self.cpu_before = cpu_seconds(pid) if pid else 0.0
        self.core_before = core_busy_seconds(SENDER_CORE)

    def end(self, cpu=None):
        seconds = time.monotonic() - self.began
        cpu = cpu_seconds(self.pid) - self.cpu_before if cpu is None else cpu
        others = max(core_busy_seconds(SENDER_CORE) - self.core_before - cpu, 0.0) / max(seconds, 0.01)
        return {"seconds": seconds, "cpu": cpu, "othersShareOfCore": round(others, 3)}


def run(command, core=SENDER_CORE, env=None, log=None, seconds_max=600):
    """Runs a command to its end; its standard output, and what it cost in CPU and time."""
    span = Span()
    with open(log or os.devnull, "ab") as errors:
        process = subprocess.Popen(
            pinned(core, command), stdout=subprocess.PIPE, stderr=errors, stdin=subprocess.DEVNULL, env=env
        )
    deadline = time.monotonic() + seconds_max
    out, timed_out = read_all(process, deadline)
    if timed_out:
        process.kill()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise Failed(f"{command[0]} ended with {process.returncode}" + (f"; see {log}" if log else ""))
    return out.decode(), span.end(usage.ru_utime + usage.ru_stime)


def read_all(process, deadline):
    """Standard output until it ends; whether that took too long."""
    pieces = []
    os.set_blocking(process.stdout.fileno(), False)
    while time.monotonic() < deadline:
        piece = process.stdout.read()
        if piece is None:
            time.sleep(0.005)
        elif piece:
            pieces.append(piece)
        else:
            return b"".join(pieces), False
    return b"".join(pieces), True


@contextlib.contextmanager
def running(command, core, env=None, log=None, stdout=None):
    """A process for as long as the block runs; SIGTERM ends it."""
    with open(log or os.devnull, "ab") as errors:
        process = subprocess.Popen(
            pinned(core, command), stdout=stdout or errors, stderr=errors, stdin=subprocess.DEVNULL, env=env
        )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def wait_until(what, condition, seconds_max=60, every=0.02):
    """Waits for a condition, whose value is returned."""
    deadline = time.monotonic() + seconds_max
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise Failed(f"{what} did not happen within {seconds_max} s")
        time.sleep(every)
