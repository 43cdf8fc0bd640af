"""The authorities of all jobs, each worked out from the operator's seed and the job's uid, so that none is kept.

An operator that starts anew has the same seed, so it answers the workers of running jobs with certificates of the very
authority that they trust, although it can read no job's Secret. An authority vouches for its job and for no other. Its
private key never leaves this process, and nothing that is worked out here is logged.

Certificates are good for longer than any job runs (`LIFETIME`): there is nothing to renew: they go with their job.
"""

from __future__ import annotations

import hashlib
import re
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from shuffle_protocol.tls import AUTHORITY, CERTIFICATE, KEY, coordinator_name, worker_name

LIFETIME = timedelta(days=3650)
BACKDATED = timedelta(hours=1)
"""For clocks that differ."""

SEED_SIZE = 32

_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
"""Of the curve P-256."""
_UID = re.compile(r"[0-9a-z]([0-9a-z-]{0,61}[0-9a-z])?")


def is_uid(text: str) -> bool:
    """Whether it can be a job's uid: one label of a DNS name."""
    return _UID.fullmatch(text) is not None


class Authority:
    """seed: `SEED_SIZE` random bytes."""

    def __init__(self, seed: bytes) -> None:
        if len(seed) != SEED_SIZE:
            raise ValueError(f"a seed of {len(seed)} bytes; {SEED_SIZE} are expected")
        self._seed = seed

    def fingerprint(self, uid: str) -> str:
        """SHA-256 of the public key of a job's authority, in hex."""
        return hashlib.sha256(_public(self._key(uid))).hexdigest()

    def for_workers(self, uid: str) -> dict[str, str]:
        """What a job's workers are given, by the files' names."""
        authority = self._key(uid)
        chain, key = _leaf(authority, uid, worker_name(uid))
        return {AUTHORITY: _own(authority, uid).decode(), CERTIFICATE: chain.decode(), KEY: key.decode()}

    def for_coordinator(self, uid: str) -> tuple[bytes, bytes]:
        """The certificate with which the operator answers a job's workers, and its key."""
        return _leaf(self._key(uid), uid, coordinator_name(uid))

    def _key(self, uid: str) -> ec.EllipticCurvePrivateKey:
        """48 bytes for a number below one of 32, so that each is as likely as any other."""
        if not is_uid(uid):
            raise ValueError(f"{uid!r} is no job's uid")
        info = b"shuffle-operator.dev job authority 1\0" + uid.encode()
        drawn = HKDF(hashes.SHA256(), length=48, salt=None, info=info).derive(self._seed)
        return ec.derive_private_key(int.from_bytes(drawn, "big") % (_ORDER - 1) + 1, ec.SECP256R1())


def _public(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _begin(issuer: str, subject: str, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .issuer_name(_name(issuer))
        .subject_name(_name(subject))
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATED)
        .not_valid_after(now + LIFETIME)
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )


def _own(authority: ec.EllipticCurvePrivateKey, uid: str) -> bytes:
    """The authority's own certificate. Any two of one job are equally good: the key and the name are the same."""
    public = authority.public_key()
    return (
        _begin(f"job {uid}"[:64], f"job {uid}"[:64], public)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .sign(authority, hashes.SHA256())
        .public_bytes(Encoding.PEM)
    )


def _leaf(authority: ec.EllipticCurvePrivateKey, uid: str, name: str) -> tuple[bytes, bytes]:
    key = ec.generate_private_key(ec.SECP256R1())
    issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.public_key())
    certificate = (
        _begin(f"job {uid}"[:64], name.partition(".")[0], key.public_key())
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(issuer, critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(authority, hashes.SHA256())
    )
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return certificate.public_bytes(Encoding.PEM), secret
