# SPDX-License-Identifier: Apache-2.0
"""Where the bus is and how to sign in to it."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, SecretStr, model_validator


class KafkaSettings(BaseModel):
    """`DAICHO_KAFKA__BOOTSTRAP` and so on: a broker's `host:port` (several by comma) and a SCRAM-SHA-512 account.

    With no username there is no sign-in. `tls` encrypts; `ca_file` names the authority where the system does not know it.
    """

    model_config = ConfigDict(frozen=True)

    bootstrap: str
    username: str | None = None
    password: SecretStr | None = None
    tls: bool = False
    ca_file: Path | None = None

    @model_validator(mode="after")
    def _account_is_whole(self) -> Self:
        if (self.username is None) != (self.password is None):
            raise ValueError("username and password: give both or neither")
        return self

    @property
    def protocol(self) -> str:
        """Kafka's name of the security protocol."""
        return ("SASL_" if self.username is not None else "") + ("SSL" if self.tls else "PLAINTEXT")

    def client(self) -> dict[str, Any]:
        """Arguments of every aiokafka client."""
        arguments: dict[str, Any] = {"bootstrap_servers": self.bootstrap, "security_protocol": self.protocol}
        if self.password is not None:
            arguments["sasl_mechanism"] = "SCRAM-SHA-512"
            arguments["sasl_plain_username"] = self.username
            arguments["sasl_plain_password"] = self.password.get_secret_value()
        if self.tls:
            arguments["ssl_context"] = ssl.create_default_context(cafile=self.ca_file)
        return arguments

    def admin(self) -> dict[str, Any]:
        """Arguments of a confluent-kafka client."""
        arguments: dict[str, Any] = {"bootstrap.servers": self.bootstrap, "security.protocol": self.protocol}
        if self.password is not None:
            arguments["sasl.mechanism"] = "SCRAM-SHA-512"
            arguments["sasl.username"] = self.username
            arguments["sasl.password"] = self.password.get_secret_value()
        if self.ca_file is not None:
            arguments["ssl.ca.location"] = str(self.ca_file)
        return arguments
