"""What is worked out of a seed: the same authority each time, another one for each job."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from shuffle_operator.kube.api import SECRETS, KubeError
from shuffle_operator.tls.authority import Authority, is_uid
from shuffle_operator.tls.contexts import KEPT, JobContexts
from shuffle_operator.tls.seed import load_seed
from tests.operator.fake_kube import FakeKube
from tests.tls.certificates import SEED

UID = "0d0cd42f-9b0b-4d2c-8f11-f0c3d2a6a1b7"
NAME = ("operators", "the-seed")


def certificate(pem: str | bytes) -> x509.Certificate:
    return x509.load_pem_x509_certificate(pem.encode() if isinstance(pem, str) else pem)


def test_an_authority_is_the_seeds_and_the_jobs() -> None:
    """For ever: workers that run while the operator is upgraded trust the one of the older version."""
    first = Authority(SEED).fingerprint(UID)
    assert first == "0be186e2b61810134ef8f75eb3ddc1ab85aba0748e0677c28da8b1e123b02b34"
    assert first == Authority(SEED).fingerprint(UID)
    assert len({first, Authority(SEED).fingerprint(UID[:-1] + "8"), Authority(bytes(32)).fingerprint(UID)}) == 3


def test_a_later_operators_certificate_is_of_the_authority_that_workers_trust() -> None:
    """Its own certificate of that authority is another one; the key and the name are the same."""
    given, later = Authority(SEED).for_workers(UID), Authority(SEED)
    trusted = certificate(given["ca.crt"])
    for pem in (given["tls.crt"], later.for_coordinator(UID)[0], later.for_workers(UID)["tls.crt"]):
        certificate(pem).verify_directly_issued_by(trusted)
    other = certificate(Authority(SEED).for_workers("another")["ca.crt"])
    with pytest.raises(ValueError, match="does not match"):
        certificate(given["tls.crt"]).verify_directly_issued_by(other)


def test_certificates_are_for_one_name_and_outlive_any_job() -> None:
    now = datetime.now(UTC)
    given = Authority(SEED).for_workers(UID)
    for pem, name in (
        (given["tls.crt"], f"worker.{UID}"),
        (Authority(SEED).for_coordinator(UID)[0], f"coordinator.{UID}"),
    ):
        leaf = certificate(pem)
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert names.get_values_for_type(x509.DNSName) == [f"{name}.shuffle-operator.internal"]
        assert not leaf.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
        assert leaf.not_valid_before_utc < now - timedelta(minutes=59)
        assert leaf.not_valid_after_utc > now + timedelta(days=3649)
    authority = certificate(given["ca.crt"])
    assert authority.extensions.get_extension_for_class(x509.BasicConstraints).value == x509.BasicConstraints(True, 0)
    key = load_pem_private_key(given["tls.key"].encode(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    assert key.public_key() == certificate(given["tls.crt"]).public_key() != authority.public_key()


@pytest.mark.parametrize("uid", ["", "a.b", "A", "a b", "-a", "a-", "ü", "a" * 64, "a\n", "*"])
def test_what_is_no_uid_gets_no_certificate(uid: str) -> None:
    assert not is_uid(uid)
    with pytest.raises(ValueError, match="no job's uid"):
        Authority(SEED).for_coordinator(uid)


@pytest.mark.parametrize("size", [0, 31, 33])
def test_a_seed_has_its_size(size: int) -> None:
    with pytest.raises(ValueError, match=f"a seed of {size} bytes"):
        Authority(bytes(size))


def test_contexts_are_kept_for_some_jobs_only() -> None:
    asked: list[str] = []

    def issue(uid: str) -> tuple[bytes, bytes]:
        asked.append(uid)
        return pair

    pair = Authority(SEED).for_coordinator("any")
    contexts = JobContexts(issue)
    chance = random.Random(3)
    for _ in range(3 * KEPT):
        contexts._context(f"job-{chance.randrange(2 * KEPT)}")
        contexts._context("busy")
    assert len(contexts._known) == KEPT
    assert asked.count("busy") == 1


async def test_the_first_operator_makes_the_seed_and_each_other_finds_it() -> None:
    kube = FakeKube()
    first = await load_seed(kube, *NAME)
    assert len(first) == 32
    assert await load_seed(kube, *NAME) == first
    assert kube.writes == ["create secrets/the-seed"]
    assert kube.objects[SECRETS, *NAME]["immutable"] is True


async def test_of_two_operators_that_make_it_at_once_one_wins() -> None:
    kube, other = FakeKube(), FakeKube()
    theirs = await load_seed(other, *NAME)

    def both(_number: int, done: bool) -> None:
        if not done:
            kube.objects[SECRETS, *NAME] = other.objects[SECRETS, *NAME]

    kube.fault = both
    assert await load_seed(kube, *NAME) == theirs


@pytest.mark.parametrize("data", [{}, {"seed": ""}, {"seed": "AAAA"}, {"seed": "no base64!"}, {"seed": None}, None])
async def test_a_seed_that_is_none_is_said(data: dict[str, str] | None) -> None:
    kube = FakeKube()
    await kube.create(SECRETS, NAME[0], {"metadata": {"name": NAME[1]}, "data": data})
    with pytest.raises(KubeError, match=r"operators/the-seed has no 'seed' of 32 bytes.*delete it"):
        await load_seed(kube, *NAME)
