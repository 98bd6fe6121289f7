"""What machine this is, since absolute numbers mean nothing without it."""

import os
import platform
import shutil
import subprocess
from datetime import datetime, timezone
from pathlib import Path


def _first_line(*command):
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    except OSError:
        return "not there"
    lines = (done.stdout + done.stderr).strip().splitlines()
    return lines[0] if lines else ""


def _field(path, name):
    for line in Path(path).read_text(encoding="utf-8").splitlines():
        if line.startswith(name):
            return line.split(":", 1)[1].strip()
    return "unknown"


def facts(where):
    """Facts of this machine and of the disk that `where` is on."""
    source = _first_line("findmnt", "-no", "SOURCE,FSTYPE,OPTIONS", "--target", str(where))
    return {
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "cores": os.cpu_count(),
        "processor": _field("/proc/cpuinfo", "model name"),
        "memory": _field("/proc/meminfo", "MemTotal"),
        "kernel": platform.release(),
        "disk": f"{source}, {shutil.disk_usage(where).free // 10**9} GB free",
        "loadAverage": os.getloadavg(),
        "commit": _first_line("git", "describe", "--always", "--dirty"),
        "rustc": _first_line("rustc", "--version"),
        "nginx": _first_line("nginx", "-v"),
        "h2load": _first_line("h2load", "--version"),
        "node": _first_line("node", "--version"),
        "python": platform.python_version(),
    }
