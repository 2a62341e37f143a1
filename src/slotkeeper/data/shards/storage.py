"""Where shards lie: a folder, or an object store. Both give ranges of bytes, and say in one sentence why they can't."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slotkeeper.errors import DataError


class Storage(ABC):
    """Files by name, read in ranges; as text it is the place itself. page_bytes: what one reading should fetch."""

    page_bytes: int

    @abstractmethod
    def read(self, name: str, start: int, stop: int | None) -> bytes:
        """Bytes `start` to `stop` of a file, fewer where it ends before; None reads to its end.

        Raises:
            FileNotFoundError: there is no such file.
            DataError: it can't be read.
        """

    @abstractmethod
    def num_bytes(self, name: str) -> int:
        """Length of a file.

        Raises:
            FileNotFoundError, DataError: as `read`.
        """

    def place(self, name: str) -> str:
        """Names a file in errors."""
        return f"{str(self).rstrip('/')}/{name}"


@dataclass(frozen=True, kw_only=True)
class LocalStorage(Storage):
    """A folder on disk."""

    folder: Path
    page_bytes = 2**20

    def __str__(self) -> str:
        return str(self.folder)

    def read(self, name: str, start: int, stop: int | None) -> bytes:
        """As `Storage.read`."""
        try:
            self.num_bytes(name)
            with (self.folder / name).open("rb") as handle:
                handle.seek(start)
                return handle.read(-1 if stop is None else stop - start)
        except FileNotFoundError:
            raise
        except OSError as error:
            raise DataError(f"can't read {self.place(name)}: {error.strerror or error}") from error

    def num_bytes(self, name: str) -> int:
        """As `Storage.num_bytes`; what is no file (a folder, a pipe) counts as missing."""
        if not (self.folder / name).is_file():
            raise FileNotFoundError(name)
        return (self.folder / name).stat().st_size


@dataclass(frozen=True, kw_only=True)
class UrlStorage(Storage):
    """A folder of an object store, or whatever else fsspec knows an address of."""

    url: str
    page_bytes = 2**22  # about what takes as long to send as the round trip

    def __str__(self) -> str:
        return self.url

    def read(self, name: str, start: int, stop: int | None) -> bytes:
        """As `Storage.read`."""
        content = bytes(self._ask("cat_file", name, start=start, end=stop))
        if stop is not None and len(content) > stop - start:  # a plain web server, for instance
            raise DataError(f"can't read {self.place(name)}: its server gives whole files only, not parts of them")
        return content

    def num_bytes(self, name: str) -> int:
        """As `Storage.num_bytes`."""
        return int(self._ask("size", name))

    def _ask(self, method: str, name: str, **options: Any) -> Any:
        store, root = self._open()
        try:
            return getattr(store, method)(f"{root.rstrip('/')}/{name}", **options)
        except FileNotFoundError:
            raise
        except Exception as error:  # each store's own kinds: no credentials, no network, a bucket that is not ours
            raise DataError(f"can't read {self.place(name)}: {_one_line(error)}") from error

    def _open(self) -> tuple[Any, str]:
        """The store as an object, which fsspec keeps, and the folder within."""
        import fsspec  # deferred: takes a tenth of a second that local data need not wait for

        try:
            store, root = fsspec.core.url_to_fs(self.url)
        except ImportError as error:
            raise DataError(f"{self.url} needs a package that is not installed: {_one_line(error)}") from error
        except Exception as error:
            raise DataError(f"can't open {self.url}: {_one_line(error)}") from error
        return store, str(root)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
