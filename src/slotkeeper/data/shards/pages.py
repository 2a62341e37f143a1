"""Shards in pages: each is fetched once for all who ask at a time, and the last ones are kept."""

from __future__ import annotations

import threading
from collections import OrderedDict
from concurrent.futures import Future

from slotkeeper.data.shards.storage import Storage

_CACHE_BYTES = 2**26


class Pages:
    """Ranges of bytes of the files of a storage; for several threads. A copy for another process begins empty.

    Args:
        storage: where the files lie; its `page_bytes` are fetched at a time, so that a video's many small pictures cost
            one round trip.
        max_bytes: bound on the memory for pages.
    """

    def __init__(self, storage: Storage, max_bytes: int = _CACHE_BYTES) -> None:
        self.storage = storage
        self._max_bytes = max_bytes
        self._pages: OrderedDict[tuple[str, int], Future[bytes]] = OrderedDict()
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[type[Pages], tuple[Storage, int]]:
        return Pages, (self.storage, self._max_bytes)

    def read(self, name: str, start: int, stop: int) -> bytes:
        """Bytes `start` to `stop` of a file, fewer where it ends before.

        Raises:
            FileNotFoundError, DataError: as `Storage.read`.
        """
        size = self.storage.page_bytes
        parts = []
        for number in range(start // size, -(-stop // size)):
            page = self._page(name, number)
            parts.append(page[max(0, start - number * size) : stop - number * size])
            if len(page) < size:
                break
        return b"".join(parts)

    def _page(self, name: str, number: int) -> bytes:
        key, size = (name, number), self.storage.page_bytes
        with self._lock:
            page = self._pages.get(key)
            is_mine = page is None
            if page is None:
                page = self._pages[key] = Future()
            self._pages.move_to_end(key)
            while len(self._pages) > max(1, self._max_bytes // size):
                self._pages.popitem(last=False)
        if is_mine:
            try:
                page.set_result(self.storage.read(name, number * size, (number + 1) * size))
            except BaseException as error:
                with self._lock:
                    self._pages.pop(key, None)  # what fails now may not fail the next time
                page.set_exception(error)
        return page.result()
