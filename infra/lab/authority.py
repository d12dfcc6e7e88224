"""The lab's certificate authority: real TLS for names that end in ``.lab``, and for nothing else.

Hosts of the lab trust it, so it is constrained: its certificate allows names under ``.lab`` alone, and no
client that checks would believe it about another name, whoever got hold of the key.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from infra.lab.commands import replace_text

DOMAIN = "lab"
CA_LIFE = timedelta(days=365)
SERVER_LIFE = timedelta(days=90)
RENEW_BEFORE = timedelta(days=7)
SKEW = timedelta(hours=1)
"""Certificates begin this long ago, for hosts whose clock is behind."""


@dataclass(frozen=True)
class ServerCertificate:
    """A server's certificate and key, both PEM files."""

    certificate: Path
    key: Path


class Authority:
    """The authority whose files are in ``directory``: ``ca.pem`` (public) and ``ca.key`` (0600)."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    @property
    def certificate(self) -> Path:
        """The file that a host must trust."""
        return self.directory / "ca.pem"

    def ensure(self) -> Path:
        """Make the authority if it is not there or ends soon; return its certificate's path."""
        if _lasts(self.certificate) and (self.directory / "ca.key").exists():
            return self.certificate
        self.directory.mkdir(parents=True, exist_ok=True)
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name(
            [
                x509.NameAttribute(NameOID.ORGANIZATION_NAME, "slipway lab"),
                x509.NameAttribute(NameOID.COMMON_NAME, "slipway lab authority"),
            ]
        )
        everything = [ip_network("0.0.0.0/0"), ip_network("::/0")]
        certificate = (
            _builder(subject, subject, key.public_key(), CA_LIFE)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(signs_certificates=True), critical=True)
            .add_extension(
                x509.NameConstraints(
                    permitted_subtrees=[x509.DNSName(DOMAIN)],
                    excluded_subtrees=[x509.IPAddress(network) for network in everything],
                ),
                critical=True,
            )
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .sign(key, hashes.SHA256())
        )
        _write(self.directory / "ca.key", self.certificate, key, [certificate])
        for old in self.directory.glob("server-*"):
            old.unlink()
        return self.certificate

    def server(self, name: str, hostnames: Sequence[str]) -> ServerCertificate:
        """Return a certificate for these names, made now unless a good one is there."""
        wrong = [hostname for hostname in hostnames if not hostname.endswith(f".{DOMAIN}")]
        if wrong:
            raise ValueError(
                f"the lab's authority certifies names under .{DOMAIN} only, not {', '.join(wrong)}"
            )
        made = ServerCertificate(self.directory / f"server-{name}.pem", self.directory / f"server-{name}.key")
        if made.key.exists() and _lasts(made.certificate) and _names(made.certificate) == set(hostnames):
            return made
        authority = x509.load_pem_x509_certificate(self.certificate.read_bytes())
        signer = serialization.load_pem_private_key((self.directory / "ca.key").read_bytes(), password=None)
        assert isinstance(signer, ec.EllipticCurvePrivateKey)
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, hostnames[0])])
        certificate = (
            _builder(subject, authority.subject, key.public_key(), SERVER_LIFE)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(h) for h in hostnames]), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False
            )
            .sign(signer, hashes.SHA256())
        )
        _write(made.key, made.certificate, key, [certificate, authority])
        return made


def _builder(
    subject: x509.Name, issuer: x509.Name, public: ec.EllipticCurvePublicKey, life: timedelta
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - SKEW)
        .not_valid_after(now + life)
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _write(
    key_path: Path, path: Path, key: ec.EllipticCurvePrivateKey, chain: Sequence[x509.Certificate]
) -> None:
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    replace_text(key_path, pem.decode(), mode=0o600)
    encoded = [certificate.public_bytes(serialization.Encoding.PEM).decode() for certificate in chain]
    replace_text(path, "".join(encoded))


def _lasts(path: Path) -> bool:
    """Tell whether a certificate is there and is good for some days yet."""
    if not path.exists():
        return False
    certificate = x509.load_pem_x509_certificate(path.read_bytes())
    return certificate.not_valid_after_utc - datetime.now(UTC) > RENEW_BEFORE


def _names(path: Path) -> set[str]:
    certificate = x509.load_pem_x509_certificate(path.read_bytes())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return set(names.get_values_for_type(x509.DNSName))
