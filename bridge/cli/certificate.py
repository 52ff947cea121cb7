"""Whether a certificate and its key can be served: told in one line before the start.

Servers say it in other ways: with a traceback from the end of their start, or, as gunicorn does, by failing each
handshake.
"""

import ssl
from pathlib import Path

from .errors import UsageError

__all__ = ["check_certificate"]


class _EncryptedError(Exception):
    """The key has a password, which the server asks for, or is told by its own option."""


def check_certificate(certificate: str, key: str | None) -> None:
    """Raise ``UsageError`` if these files are no certificate in PEM form and its key; ``None``: it is in the same file.

    Of a key with a password it is only looked at whether it is one.
    """
    where = key or certificate
    _check_kind(certificate, "--ssl-certfile", "CERTIFICATE-----", "certificate", "")
    hint = "" if key else "; --ssl-keyfile says where it is"
    _check_kind(where, "--ssl-keyfile" if key else "--ssl-certfile", "PRIVATE KEY-----", "private key", hint)
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, where, _no_password)
    except _EncryptedError:
        return
    except ssl.SSLError as exc:
        if exc.reason == "KEY_VALUES_MISMATCH":
            raise UsageError(f"--ssl-certfile: the key in {where!r} is that of another certificate") from None
        raise UsageError(
            f"--ssl-certfile: {certificate!r} and its key in {where!r} can't be read: {exc.reason or exc}"
        ) from None


def _no_password() -> str:
    raise _EncryptedError


def _check_kind(file: str, flag: str, end_of_line: str, kind: str, hint: str) -> None:
    try:
        text = Path(file).read_bytes()
    except OSError as exc:
        raise UsageError(f"{flag}: {file!r}: {exc.strerror}") from None
    if end_of_line.encode() not in text:
        raise UsageError(f"{flag}: {file!r} has no {kind} in PEM form{hint}")
