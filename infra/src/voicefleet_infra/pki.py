"""Certificates and keys: authorities, made once, kept in the state."""

from __future__ import annotations

import datetime as dt
import ipaddress
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from voicefleet_infra.platform import Platform, write_private

_YEARS = 10
_NAMES = ("localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc")


def _name(common: str, organisation: str | None = None) -> x509.Name:
    attributes = [x509.NameAttribute(NameOID.COMMON_NAME, common)]
    if organisation:
        attributes.append(x509.NameAttribute(NameOID.ORGANIZATION_NAME, organisation))
    return x509.Name(attributes)


def _key_text(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()


class Authority:
    """A certificate authority in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.certificate = folder / "ca.crt"
        key_file = folder / "ca.key"
        if not self.certificate.exists():
            key = ec.generate_private_key(ec.SECP256R1())
            builder = self._builder(_name("voicefleet"), _name("voicefleet"), key.public_key())
            certificate = builder.add_extension(
                x509.BasicConstraints(ca=True, path_length=0), critical=True
            ).sign(key, hashes.SHA256())
            write_private(key_file, _key_text(key))
            write_private(self.certificate, _pem(certificate))
        loaded = serialization.load_pem_private_key(key_file.read_bytes(), None)
        if not isinstance(loaded, ec.EllipticCurvePrivateKey):
            raise TypeError(f"{key_file} is not an elliptic-curve key")
        self._key = loaded
        self._issuer = x509.load_pem_x509_certificate(self.certificate.read_bytes()).subject

    def _builder(
        self, subject: x509.Name, issuer: x509.Name, public_key: ec.EllipticCurvePublicKey
    ) -> x509.CertificateBuilder:
        now = dt.datetime.now(dt.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(minutes=5))
            .not_valid_after(now + dt.timedelta(days=365 * _YEARS))
        )

    def issue(
        self, name: str, *, organisation: str | None = None, address: str = "127.0.0.1"
    ) -> tuple[Path, Path]:
        """Certificate and key files of that name, for serving on loopback and as a client.

        Made anew where the one that is there is not for serving on `address`.
        """
        certificate_file = self._folder / f"{name}.crt"
        key_file = self._folder / f"{name}.key"
        if key_file.exists() and _serves(certificate_file, address):
            return certificate_file, key_file
        key = ec.generate_private_key(ec.SECP256R1())
        own = dict.fromkeys(("127.0.0.1", "::1", "10.0.0.1", address))
        addresses = [ipaddress.ip_address(a) for a in own]
        alternatives: list[x509.GeneralName] = [x509.DNSName(n) for n in _NAMES]
        alternatives += [x509.IPAddress(address) for address in addresses]
        usage = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        certificate = (
            self._builder(_name(name, organisation), self._issuer, key.public_key())
            .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
            .add_extension(x509.ExtendedKeyUsage(usage), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        write_private(key_file, _key_text(key))
        write_private(certificate_file, _pem(certificate))
        return certificate_file, key_file


def _serves(file: Path, address: str) -> bool:
    if not file.exists():
        return False
    certificate = x509.load_pem_x509_certificate(file.read_bytes())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return ipaddress.ip_address(address) in names.get_values_for_type(x509.IPAddress)


def sip_authority(platform: Platform) -> Authority:
    """Of those who speak SIP over TLS; by the control plane's they could sign in there.

    Names are not compared: SIP's addresses are numbers (RFC 5922 is not what bridges go by).
    """
    return Authority(platform.folder("pki", "sip"))


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def signing_key(file: Path) -> Path:
    """The key that ServiceAccount tokens are signed with."""
    if not file.exists():
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        write_private(file, _key_text(key))
    return file
