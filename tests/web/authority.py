"""An authority of one's own, and the certificates that it has signed."""

from __future__ import annotations

import datetime as dt
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

Names = Sequence[x509.GeneralName]
DAY = dt.timedelta(days=1)


@dataclass(frozen=True)
class Pair:
    """A certificate and its key, as files."""

    cert: Path
    key: Path


class Authority:
    """Signs what it is told to."""

    def __init__(self, folder: Path, name: str = "authority") -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        made = self._built(self._name, self._key, ()).add_extension(x509.BasicConstraints(ca=True, path_length=0), True)
        self.pem = folder / f"{name}.pem"
        self.pem.write_bytes(made.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))

    def server(self) -> Pair:
        """Sign a certificate of a server on this machine."""
        return self.sign("server", names=[x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1"))])

    def sign(self, *common: str, names: Names = (), ends: dt.timedelta = DAY) -> Pair:
        """Sign a certificate with these common names and alternative names."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, each) for each in common])
        made = self._built(subject, key, names, ends).sign(self._key, hashes.SHA256())
        file = self._folder / f"{made.serial_number}"
        pair = Pair(file.with_suffix(".pem"), file.with_suffix(".key"))
        pair.cert.write_bytes(made.public_bytes(serialization.Encoding.PEM))
        pair.key.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        pair.key.chmod(0o600)
        return pair

    def trusting(self, shown: Pair | None = None) -> ssl.SSLContext:
        """Return what a client of the authority's servers connects by, showing a certificate or none."""
        context = ssl.create_default_context(cafile=self.pem)
        if shown is not None:
            context.load_cert_chain(shown.cert, shown.key)
        return context

    def _built(
        self,
        subject: x509.Name,
        key: ec.EllipticCurvePrivateKey,
        names: Names,
        ends: dt.timedelta = DAY,
    ) -> x509.CertificateBuilder:
        now = dt.datetime.now(dt.UTC)
        made = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - 2 * DAY)
            .not_valid_after(now + ends)
        )
        return made.add_extension(x509.SubjectAlternativeName(names), False) if names else made
