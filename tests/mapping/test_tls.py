"""The ASGI TLS extension and mod_ssl's variables, each from the other."""

import ssl
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.mapping.tls import tls_environ, tls_extension

PEM = "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n"
EMPTY: dict[str, Any] = {
    "server_cert": None,
    "client_cert_chain": [],
    "client_cert_name": None,
    "client_cert_error": None,
    "tls_version": None,
    "cipher_suite": None,
}


@pytest.mark.parametrize(
    ("number", "name"),
    [
        (0x0300, "SSLv3"),
        (0x0301, "TLSv1"),
        (0x0302, "TLSv1.1"),
        (0x0303, "TLSv1.2"),
        (0x0304, "TLSv1.3"),
        (0x0305, "0x0305"),
    ],
)
def test_versions(number: int, name: str) -> None:
    assert tls_environ({"tls_version": number})["SSL_PROTOCOL"] == name
    extension = tls_extension({"SSL_PROTOCOL": name})
    assert extension is not None
    assert extension["tls_version"] == number


@pytest.mark.parametrize(
    ("number", "name"),
    [
        (0x1301, "TLS_AES_128_GCM_SHA256"),
        (0x1302, "TLS_AES_256_GCM_SHA384"),
        (0x1303, "TLS_CHACHA20_POLY1305_SHA256"),
        (0xC02F, "ECDHE-RSA-AES128-GCM-SHA256"),
        (0xC030, "ECDHE-RSA-AES256-GCM-SHA384"),
        (0xFFF1, "0xFFF1"),
    ],
)
def test_cipher_suites(number: int, name: str) -> None:
    """The IANA registry's numbers, OpenSSL's names."""
    assert tls_environ({"cipher_suite": number})["SSL_CIPHER"] == name
    extension = tls_extension({"SSL_PROTOCOL": "TLSv1.3", "SSL_CIPHER": name})
    assert extension is not None
    assert extension["cipher_suite"] == number


def test_every_suite_that_this_python_offers_has_its_name() -> None:
    for cipher in ssl.create_default_context().get_ciphers():
        assert tls_environ({"cipher_suite": cipher["id"] & 0xFFFF})["SSL_CIPHER"] == cipher["name"]


@pytest.mark.parametrize(
    ("tls", "expected"),
    [
        ({}, {"SSL_CLIENT_VERIFY": "NONE"}),
        (EMPTY, {"SSL_CLIENT_VERIFY": "NONE"}),
        ({"server_cert": "server"}, {"SSL_SERVER_CERT": "server", "SSL_CLIENT_VERIFY": "NONE"}),
        (
            {"client_cert_chain": ["leaf", "middle", "root"], "client_cert_name": "CN=me"},
            {
                "SSL_CLIENT_CERT": "leaf",
                "SSL_CLIENT_CERT_CHAIN_0": "middle",
                "SSL_CLIENT_CERT_CHAIN_1": "root",
                "SSL_CLIENT_S_DN": "CN=me",
                "SSL_CLIENT_VERIFY": "SUCCESS",
            },
        ),
        (
            {"client_cert_chain": ("leaf",), "client_cert_error": "expired"},
            {"SSL_CLIENT_CERT": "leaf", "SSL_CLIENT_VERIFY": "FAILED:expired"},
        ),
    ],
)
def test_certificates(tls: dict[str, Any], expected: dict[str, str]) -> None:
    assert tls_environ(tls) == {"HTTPS": "on", **expected}


@pytest.mark.parametrize("environ", [{}, {"HTTPS": "on"}, {"SSL_CIPHER": "x", "wsgi.url_scheme": "https"}])
def test_no_extension_without_a_protocol(environ: dict[str, Any]) -> None:
    assert tls_extension(environ) is None


@pytest.mark.parametrize("name", ["TLSv9", "0xzz", "", "SSLv2"])
def test_a_protocol_of_unknown_name(name: str) -> None:
    assert tls_extension({"SSL_PROTOCOL": name, "SSL_CIPHER": name}) == EMPTY


certificates = st.text("abcdef", min_size=1, max_size=8).map(PEM.format)


@given(
    server=st.none() | certificates,
    chain=st.lists(certificates, max_size=5),
    name=st.none() | st.just("CN=client,O=Example"),
    error=st.none() | st.just("self signed certificate"),
    version=st.integers(0x0300, 0x0310),
    suite=st.none() | st.integers(0, 0xFFFF),
)
def test_the_extension_comes_back(
    server: str | None, chain: list[str], name: str | None, error: str | None, version: int, suite: int | None
) -> None:
    tls = {
        "server_cert": server,
        "client_cert_chain": chain,
        "client_cert_name": name,
        "client_cert_error": error,
        "tls_version": version,
        "cipher_suite": suite,
    }
    environ = tls_environ(tls)
    assert all(type(value) is str for value in environ.values())
    assert tls_extension(environ) == tls
