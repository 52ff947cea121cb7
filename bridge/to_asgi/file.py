"""``wsgi.file_wrapper``, and files that an ASGI server sends by its own means.

PEP 3333, "Optional Platform-Specific File Handling"; the ASGI extensions "Zero Copy Send" and "Path Send".
"""

import io
import os
import stat
from collections.abc import Container, Iterator
from typing import Any

from ..types import Message

__all__ = ["FileWrapper", "file_message", "plain_file"]

#: The size in which a real file is read, whatever size the app proposed: fewer, larger pieces.
_FILE_BLOCK = 262144


class FileWrapper:
    """``wsgi.file_wrapper``: PEP 3333, "Optional Platform-Specific File Handling"."""

    def __init__(self, filelike: Any, blksize: int = 8192) -> None:
        self.filelike = filelike
        self.blksize = blksize

    def __iter__(self) -> Iterator[bytes]:
        # A real file never waits for its next byte, so larger blocks only save work; a pipe might.
        size = self.blksize if _regular_file(self.filelike) is None else max(self.blksize, _FILE_BLOCK)
        while block := self.filelike.read(size):
            yield block

    def close(self) -> None:
        """Closes the file, where it can be closed."""
        close = getattr(self.filelike, "close", None)
        if close is not None:
            close()


def _regular_file(filelike: Any) -> os.stat_result | None:
    """The status of the file on disk behind ``filelike``, ``None`` where there is none (a pipe, a ``BytesIO``)."""
    try:
        status = os.fstat(filelike.fileno())
    except Exception:  # noqa: BLE001  # PEP 3333 asks for read() alone: whatever else it has need not work
        return None
    return status if stat.S_ISREG(status.st_mode) else None


def plain_file(filelike: Any) -> os.stat_result | None:
    """The same, where ``read()`` gives the very bytes of that file; ``None`` for any other.

    A ``GzipFile`` has the descriptor of what it unpacks, also below an ``io.BufferedReader``, and a text file that of
    what it decodes. So it is only for what ``open()`` makes of a file in binary mode.
    """
    status = _regular_file(filelike)
    if status is None or type(filelike) not in {io.BufferedReader, io.BufferedRandom, io.FileIO}:
        return None
    return status if type(getattr(filelike, "raw", filelike)) is io.FileIO else None


def file_message(
    wrapper: FileWrapper, status: os.stat_result, offset: int, count: int, extensions: Container[str]
) -> Message | None:
    """What has the server send ``count`` bytes of a plain file from ``offset``; ``None``: it has no means for it."""
    if "http.response.zerocopysend" in extensions:
        return {
            "type": "http.response.zerocopysend",
            "file": wrapper.filelike,
            "offset": offset,
            "count": count,
            "more_body": True,
        }
    if "http.response.pathsend" in extensions and count == status.st_size and _is_path(wrapper, status):
        return {"type": "http.response.pathsend", "path": os.path.abspath(wrapper.filelike.name)}  # noqa: PTH100
    return None


def _is_path(wrapper: FileWrapper, status: os.stat_result) -> bool:
    """Whether the file's name leads to this very file, and will: it may be renamed, deleted, or a descriptor's number.

    A temporary file is no plain one where it has a name: it is deleted when it is closed, and granian gives no reliable
    sign that it has opened the file.
    """
    name = wrapper.filelike.name
    if not isinstance(name, str):
        return False
    try:
        return os.path.samestat(os.stat(name), status)  # noqa: PTH116  # beside samestat()
    except OSError:
        return False
