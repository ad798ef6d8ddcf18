"""Between settings and Kafka: takes [kafka], gives what every aiokafka client is made with."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any, Final

from headrace.errors import SettingsError
from headrace.settings import KafkaSettings

CLIENT_ID: Final = "headrace"
AWAY_ADVICE: Final = "start Kafka there, or mend bootstrap_servers (--kafka) and the login in [kafka]"


def client_options(kafka: KafkaSettings) -> dict[str, Any]:
    """Keyword arguments of an aiokafka client. SettingsError names the key that is missing or unusable."""
    if not kafka.bootstrap_servers:
        raise _invalid("bootstrap_servers", "is not set; expected host:port, comma between several")
    options: dict[str, Any] = {
        "bootstrap_servers": [server.strip() for server in kafka.bootstrap_servers.split(",")],
        "client_id": CLIENT_ID,
        "security_protocol": kafka.security_protocol,
    }
    if kafka.security_protocol in ("SSL", "SASL_SSL"):
        options["ssl_context"] = _tls(kafka)
    if kafka.security_protocol.startswith("SASL_"):
        options |= _login(kafka)
    return options


def _login(kafka: KafkaSettings) -> dict[str, Any]:
    if kafka.sasl_username is None or kafka.sasl_password is None:
        missing = "sasl_username" if kafka.sasl_username is None else "sasl_password"
        raise _invalid(missing, f"is not set; security_protocol {kafka.security_protocol} needs a login")
    return {
        "sasl_mechanism": kafka.sasl_mechanism,
        "sasl_plain_username": kafka.sasl_username,
        "sasl_plain_password": kafka.sasl_password.get_secret_value(),
    }


def _tls(kafka: KafkaSettings) -> ssl.SSLContext:
    """Certificate and name of every broker are checked, against ssl_cafile or the system's authorities."""
    context = ssl.create_default_context()
    if kafka.ssl_cafile is not None:
        context = _loaded("ssl_cafile", kafka.ssl_cafile, _trusting)
    if kafka.ssl_certfile is not None:
        key = kafka.ssl_keyfile
        _loaded("ssl_certfile", kafka.ssl_certfile, lambda path: context.load_cert_chain(path, key))
    elif kafka.ssl_keyfile is not None:
        raise _invalid("ssl_certfile", "is not set, but ssl_keyfile is; a client's key needs its certificate")
    return context


def _trusting(authority: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=authority)


def _loaded(key: str, path: Path, load: Any) -> Any:
    try:
        return load(path)
    except (OSError, ssl.SSLError) as error:  # SSLError is an OSError; named for the reader
        reason = error.strerror or str(error)
        raise _invalid(key, f"{path}: cannot be used: {reason}; expected a PEM file") from error


def _invalid(key: str, text: str) -> SettingsError:
    return SettingsError("config_invalid", f"kafka.{key} {text}")
