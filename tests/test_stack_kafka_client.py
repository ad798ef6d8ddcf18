"""What aiokafka clients are made with, from [kafka]."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

import pytest
import trustme
from aiokafka import AIOKafkaClient
from pydantic import SecretStr

from headrace.errors import SettingsError
from headrace.kafka_client import client_options
from headrace.settings import KafkaSettings


def test_plain_options_name_every_server_and_no_login() -> None:
    options = client_options(KafkaSettings(bootstrap_servers="a:1, b:2"))
    assert options["bootstrap_servers"] == ["a:1", "b:2"]
    assert not [name for name in options if name.startswith(("sasl", "ssl"))]


async def made(options: dict[str, object]) -> None:
    AIOKafkaClient(**options)


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
def test_a_login_is_handed_over_in_plain_for_aiokafka_to_hash(mechanism: str) -> None:
    options = client_options(
        KafkaSettings(
            bootstrap_servers="a:1",
            security_protocol="SASL_SSL",
            sasl_mechanism=mechanism,  # type: ignore[arg-type]
            sasl_username="u",
            sasl_password=SecretStr("hush"),
        )
    )
    assert options["sasl_plain_password"] == "hush"
    assert options["ssl_context"].verify_mode is ssl.CERT_REQUIRED
    assert options["ssl_context"].check_hostname
    asyncio.run(made(options))


def test_a_client_certificate_and_an_authority_are_loaded(tmp_path: Path) -> None:
    authority, names = trustme.CA(), ("ca.pem", "cert.pem", "key.pem")
    ca, cert, key = (tmp_path / name for name in names)
    made = authority.issue_cert("client")
    authority.cert_pem.write_to_path(str(ca))
    made.cert_chain_pems[0].write_to_path(str(cert))
    made.private_key_pem.write_to_path(str(key))
    options = client_options(
        KafkaSettings(
            bootstrap_servers="a:1",
            security_protocol="SSL",
            ssl_cafile=ca,
            ssl_certfile=cert,
            ssl_keyfile=key,
        )
    )
    assert len(options["ssl_context"].get_ca_certs()) == 1


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ({}, "kafka.bootstrap_servers"),
        ({"bootstrap_servers": "a:1", "security_protocol": "SASL_SSL"}, "kafka.sasl_username"),
        (
            {"bootstrap_servers": "a:1", "security_protocol": "SASL_PLAINTEXT", "sasl_username": "u"},
            "kafka.sasl_password",
        ),
        ({"bootstrap_servers": "a:1", "security_protocol": "SSL", "ssl_cafile": "none.pem"}, "none.pem"),
        (
            {"bootstrap_servers": "a:1", "security_protocol": "SSL", "ssl_keyfile": "k.pem"},
            "kafka.ssl_certfile",
        ),
    ],
)
def test_what_is_missing_is_named(settings: dict[str, str], key: str) -> None:
    with pytest.raises(SettingsError) as caught:
        client_options(KafkaSettings(**settings))  # type: ignore[arg-type]
    assert key in str(caught.value)


def test_a_file_that_is_no_certificate_is_named(tmp_path: Path) -> None:
    path = tmp_path / "ca.pem"
    path.write_text("no certificate")
    with pytest.raises(SettingsError, match=r"ssl_cafile .*ca\.pem"):
        client_options(
            KafkaSettings(bootstrap_servers="a:1", security_protocol="SSL", ssl_cafile=path),
        )
