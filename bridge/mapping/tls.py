"""The ASGI TLS extension and mod_ssl's ``SSL_*`` variables, each from the other. Pure functions.

The extension ("TLS Extension" of the ASGI documentation) numbers protocol versions and cipher suites as they are on
the wire; mod_ssl, whose names are the convention of WSGI and CGI, writes them as OpenSSL does.
"""

import functools
import ssl
from collections.abc import Mapping
from typing import Any

__all__ = ["tls_environ", "tls_extension"]

_VERSIONS = {0x0300: "SSLv3", 0x0301: "TLSv1", 0x0302: "TLSv1.1", 0x0303: "TLSv1.2", 0x0304: "TLSv1.3"}
_VERSION_NUMBERS = {name: number for number, name in _VERSIONS.items()}
_CHAIN = "SSL_CLIENT_CERT_CHAIN_"
_FAILED = "FAILED:"


@functools.cache
def _ciphers() -> tuple[dict[int, str], dict[str, int]]:
    """Return number -> OpenSSL name and back, of every suite that this Python's OpenSSL knows."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.set_ciphers("ALL:COMPLEMENTOFALL:@SECLEVEL=0")
    # OpenSSL keeps the two bytes of the wire in the lower half of its id.
    names = {cipher["id"] & 0xFFFF: cipher["name"] for cipher in context.get_ciphers()}
    return names, {name: number for number, name in names.items()}


def tls_environ(tls: Mapping[str, Any]) -> dict[str, str]:
    """The ``SSL_*`` variables for ``scope["extensions"]["tls"]``; what the server doesn't know is left out."""
    environ = {"HTTPS": "on"}
    version = tls.get("tls_version")
    if version is not None:
        environ["SSL_PROTOCOL"] = _VERSIONS.get(version, f"0x{version:04X}")
    suite = tls.get("cipher_suite")
    if suite is not None:
        environ["SSL_CIPHER"] = _ciphers()[0].get(suite, f"0x{suite:04X}")
    if tls.get("server_cert"):
        environ["SSL_SERVER_CERT"] = tls["server_cert"]
    chain = list(tls.get("client_cert_chain") or ())
    if chain:
        environ["SSL_CLIENT_CERT"] = chain[0]
        for index, certificate in enumerate(chain[1:]):
            environ[f"{_CHAIN}{index}"] = certificate
    if tls.get("client_cert_name"):
        environ["SSL_CLIENT_S_DN"] = tls["client_cert_name"]
    error = tls.get("client_cert_error")
    environ["SSL_CLIENT_VERIFY"] = f"{_FAILED}{error}" if error else "SUCCESS" if chain else "NONE"
    return environ


def tls_extension(environ: Mapping[str, Any]) -> dict[str, Any] | None:
    """``scope["extensions"]["tls"]`` from ``SSL_*`` variables; ``None`` where the server sets none of them."""
    protocol = environ.get("SSL_PROTOCOL")
    if protocol is None:
        return None
    cipher = environ.get("SSL_CIPHER")
    chain = [environ["SSL_CLIENT_CERT"]] if environ.get("SSL_CLIENT_CERT") else []
    while chain and f"{_CHAIN}{len(chain) - 1}" in environ:
        chain.append(environ[f"{_CHAIN}{len(chain) - 1}"])
    verify = environ.get("SSL_CLIENT_VERIFY", "NONE")
    return {
        "server_cert": environ.get("SSL_SERVER_CERT"),
        "client_cert_chain": chain,
        "client_cert_name": environ.get("SSL_CLIENT_S_DN"),
        "client_cert_error": verify.removeprefix(_FAILED) if verify.startswith(_FAILED) else None,
        "tls_version": _VERSION_NUMBERS.get(protocol) or _hexadecimal(protocol),
        "cipher_suite": None if cipher is None else _ciphers()[1].get(cipher) or _hexadecimal(cipher),
    }


def _hexadecimal(text: str) -> int | None:
    try:
        return int(text, 16) if text.startswith("0x") else None
    except ValueError:
        return None
