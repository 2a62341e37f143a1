"""How a process keeps its memory. Without PyTorch, which a command may have to prepare for before it is loaded."""

from __future__ import annotations

import ctypes

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # malloc.h of the GNU C library


def keep_freed_memory() -> bool:
    """Let this process keep the memory that tensors leave, for the next ones; it goes back when the process ends.

    By default the GNU C library maps each large block anew and gives it back at once, so that the system clears every
    page of every large tensor in every step. Returns whether the C library has such a setting.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and bool(mallopt(_M_MMAP_MAX, 0)) and bool(mallopt(_M_TRIM_THRESHOLD, -1))
