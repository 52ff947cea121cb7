"""Certificates and keys that can't be served are refused in one line, before the start."""

import re
from pathlib import Path

import pytest
import trustme
from cryptography.hazmat.primitives import serialization

from bridge.cli.certificate import check_certificate
from bridge.cli.errors import UsageError


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory, with certificates and keys in it."""
    authority = trustme.CA()
    own, other = authority.issue_cert("localhost"), authority.issue_cert("localhost")
    key = serialization.load_pem_private_key(own.private_key_pem.bytes(), None)
    encrypted = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"secret"),
    )
    own.cert_chain_pems[0].write_to_path(str(tmp_path / "certificate"))
    own.private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "both"))
    own.private_key_pem.write_to_path(str(tmp_path / "key"))
    other.private_key_pem.write_to_path(str(tmp_path / "other-key"))
    (tmp_path / "encrypted").write_bytes(encrypted)
    (tmp_path / "neither").write_text("hello")
    (tmp_path / "broken").write_text("-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n")
    (tmp_path / "directory").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.usefixtures("files")
@pytest.mark.parametrize(
    ("certificate", "key"),
    [("both", None), ("certificate", "key"), ("both", "both"), ("certificate", "encrypted")],
)
def test_what_can_be_served(certificate: str, key: str | None) -> None:
    check_certificate(certificate, key)


@pytest.mark.usefixtures("files")
@pytest.mark.parametrize(
    ("certificate", "key", "message"),
    [
        ("nowhere", None, "--ssl-certfile: 'nowhere': No such file or directory"),
        ("directory", None, "--ssl-certfile: 'directory': Is a directory"),
        ("neither", None, "--ssl-certfile: 'neither' has no certificate in PEM form"),
        ("key", "certificate", "--ssl-certfile: 'key' has no certificate in PEM form"),
        ("certificate", "neither", "--ssl-keyfile: 'neither' has no private key in PEM form"),
        ("certificate", "nowhere", "--ssl-keyfile: 'nowhere': No such file or directory"),
        (
            "certificate",
            None,
            "--ssl-certfile: 'certificate' has no private key in PEM form; --ssl-keyfile says where it is",
        ),
        (
            "certificate",
            "other-key",
            "--ssl-certfile: the key in 'other-key' is that of another certificate",
        ),
        ("broken", "key", "--ssl-certfile: 'broken' and its key in 'key' can't be read: "),
    ],
)
def test_what_cannot(certificate: str, key: str | None, message: str) -> None:
    with pytest.raises(UsageError, match=re.escape(message)):
        check_certificate(certificate, key)
