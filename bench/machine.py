"""How much of the machine a measurement had for itself, and how much others took meanwhile."""

from __future__ import annotations

import psutil


def _busy_seconds() -> float:
    times = psutil.cpu_times()
    # What a guest uses is in `user` already, and waiting for a disk is not being busy.
    return float(times.user + times.nice + times.system + times.irq + times.softirq + times.steal)


def _own_seconds() -> float:
    """Processor time of this process and of all that it has started, those that have ended included."""
    own = psutil.Process()
    total = 0.0
    for process in [own, *own.children(recursive=True)]:
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system + times.children_user + times.children_system
    return total


class Machine:
    """Counts from when it is made."""

    def __init__(self) -> None:
        self._busy = _busy_seconds()
        self._own = _own_seconds()

    def said(self) -> str:
        """How many seconds of processor time this measurement took since, and how many all others did."""
        own = _own_seconds() - self._own
        others = max(0.0, _busy_seconds() - self._busy - own)
        return f"{psutil.cpu_count()} cores; this took {own:.0f} s of processor time, others {others:.0f} s meanwhile"
