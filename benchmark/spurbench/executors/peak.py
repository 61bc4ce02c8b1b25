"""The most memory that was held while something was computed."""

from __future__ import annotations

import re
import resource
import sys
from pathlib import Path

import torch

STATUS, RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


class PeakMemory:
    """Watches from when it is made: this process's resident memory, or the device's where that is not the processor.

    Where the system cannot begin anew (outside Linux), the peak is that of the process's whole life.
    """

    def __init__(self, device: str) -> None:
        self._cuda = device.startswith("cuda") and torch.cuda.is_available()
        if self._cuda:
            torch.cuda.reset_peak_memory_stats(device)
        try:
            RESET.write_text("5")
        except OSError:
            self._began = False
        else:
            self._began = True
        self._device = device

    def bytes(self) -> int:
        """The peak until now."""
        if self._cuda:
            return int(torch.cuda.max_memory_allocated(self._device))
        if self._began and (found := re.search(r"^VmHWM:\s*(\d+) kB", STATUS.read_text(), re.MULTILINE)):
            return 1024 * int(found[1])
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most if sys.platform == "darwin" else 1024 * most
