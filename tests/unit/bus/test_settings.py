# SPDX-License-Identifier: Apache-2.0
import ssl

import pytest
from pydantic import SecretStr, ValidationError

from libs.bus import KafkaSettings


def test_an_account_signs_in_by_scram() -> None:
    settings = KafkaSettings(bootstrap="localhost:9092", username="inventory", password=SecretStr("hush"))

    assert settings.client() == {
        "bootstrap_servers": "localhost:9092",
        "security_protocol": "SASL_PLAINTEXT",
        "sasl_mechanism": "SCRAM-SHA-512",
        "sasl_plain_username": "inventory",
        "sasl_plain_password": "hush",
    }
    assert settings.admin()["sasl.password"] == "hush"
    assert "hush" not in repr(settings)


def test_tls_is_asked_for() -> None:
    settings = KafkaSettings(bootstrap="kafka:9093", username="inventory", password=SecretStr("hush"), tls=True)

    assert settings.client()["security_protocol"] == settings.admin()["security.protocol"] == "SASL_SSL"
    assert isinstance(settings.client()["ssl_context"], ssl.SSLContext)


def test_half_an_account_is_refused() -> None:
    with pytest.raises(ValidationError, match="give both or neither"):
        KafkaSettings(bootstrap="localhost:9092", username="inventory")
