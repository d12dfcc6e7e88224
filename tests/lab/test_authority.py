"""The lab's certificates convince a real TLS client; its authority is good for nothing but the lab."""

from __future__ import annotations

import ssl
from datetime import timedelta

import pytest

from infra.lab import authority
from infra.lab.authority import Authority, ServerCertificate


@pytest.fixture
def lab(tmp_path) -> Authority:
    made = Authority(tmp_path / "authority")
    made.ensure()
    return made


def shake_hands(lab: Authority, made: ServerCertificate, name: str) -> None:
    """A TLS handshake in memory, as strict as Python's default client (and OpenSSL's strict mode) is."""
    client_context = ssl.create_default_context(cafile=str(lab.certificate))
    client_context.verify_flags |= ssl.VERIFY_X509_STRICT
    server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_context.load_cert_chain(made.certificate, made.key)
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_context.wrap_bio(back, there, server_hostname=name)
    server = server_context.wrap_bio(there, back, server_side=True)
    for _ in range(4):
        for side in (client, server):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
    assert client.version() == "TLSv1.3"
    assert client.getpeercert()


def test_every_name_is_served(lab):
    made = lab.server("binance", ["api.binance.lab", "stream.binance.lab"])
    shake_hands(lab, made, "api.binance.lab")
    shake_hands(lab, made, "stream.binance.lab")


def test_another_name_is_refused_by_the_client(lab):
    made = lab.server("binance", ["api.binance.lab"])
    with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
        shake_hands(lab, made, "api.kraken.lab")


def test_the_authority_will_not_certify_outside_the_lab(lab):
    with pytest.raises(ValueError, match=r"under \.lab only, not api\.binance\.com"):
        lab.server("binance", ["api.binance.lab", "api.binance.com"])


def test_nobody_believes_it_outside_the_lab(lab, monkeypatch):
    monkeypatch.setattr(authority, "DOMAIN", "com")
    made = lab.server("binance", ["api.binance.com"])
    with pytest.raises(ssl.SSLCertVerificationError, match="permitted subtree violation"):
        shake_hands(lab, made, "api.binance.com")


def test_keys_are_for_the_owner_alone(lab):
    made = lab.server("binance", ["api.binance.lab"])
    assert made.key.stat().st_mode & 0o777 == 0o600
    assert (lab.directory / "ca.key").stat().st_mode & 0o777 == 0o600


def test_what_is_good_is_kept(lab):
    before = lab.certificate.read_bytes()
    made = lab.server("binance", ["api.binance.lab"])
    leaf = made.certificate.read_bytes()
    lab.ensure()
    assert lab.certificate.read_bytes() == before
    assert lab.server("binance", ["api.binance.lab"]).certificate.read_bytes() == leaf


def test_other_names_need_another_certificate(lab):
    made = lab.server("binance", ["api.binance.lab"])
    leaf = made.certificate.read_bytes()
    assert lab.server("binance", ["ws.binance.lab"]).certificate.read_bytes() != leaf


def test_an_authority_that_ends_soon_is_renewed_with_all_it_signed(lab, monkeypatch):
    monkeypatch.setattr(authority, "CA_LIFE", timedelta(days=1))
    (lab.directory / "ca.key").unlink()
    lab.ensure()
    short = lab.certificate.read_bytes()
    made = lab.server("binance", ["api.binance.lab"])
    monkeypatch.undo()
    lab.ensure()
    assert lab.certificate.read_bytes() != short
    assert not made.certificate.exists()
    shake_hands(lab, lab.server("binance", ["api.binance.lab"]), "api.binance.lab")
