"""What a process costs, as the kernel counts it: seconds of processor, memory."""

import os
from pathlib import Path


def processor_s(pid: int) -> float:
    """Seconds of processor that a process has used so far, in both modes; 0 if it is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except FileNotFoundError:
        return 0.0
    user, kernel = text.rpartition(")")[2].split()[11:13]
    return (int(user) + int(kernel)) / os.sysconf("SC_CLK_TCK")


def resident_mb(pid: int) -> float:
    """Resident size of a process in MB of 2^20 bytes."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    line = next(line for line in status.splitlines() if line.startswith("VmRSS:"))
    return int(line.split()[1]) / 1024
