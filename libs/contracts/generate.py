# SPDX-License-Identifier: Apache-2.0
"""Write `schemas/` from the models: `python -m libs.contracts.generate schemas [--release]`.

A JSON Schema (2020-12) for each type and version, and one AsyncAPI 3.0 document for the bus. `--release` also keeps them as
released: from then on a change that breaks one of them is refused, and wants a new version of the type.
"""

from __future__ import annotations

import argparse
import inspect
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from libs.contracts.commands import Command
from libs.contracts.compatibility import Schema, breaks
from libs.contracts.envelope import CONTENT_TYPE, CloudEvent
from libs.contracts.topics import TOPICS, Principal, Topic
from libs.contracts.words import Contract

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
Message = type[CloudEvent[Contract]]

_ALWAYS_SENT: Final = ("specversion", "type")
"""CloudEvents 1.0.2 §3.1 requires them; the models fill them in, so pydantic calls them optional."""
_KAFKA_BINDING: Final = "0.5.0"
_SCRAM: Final = "#/components/securitySchemes/scram"


def messages() -> tuple[Message, ...]:
    """Every event and command, in the order of the topic table."""
    return tuple(dict.fromkeys(message for topic in TOPICS for message in topic.messages))


def type_of(message: Message) -> str:
    """The `type` attribute of a message, such as `daicho.asset.changed.v1`."""
    return str(message.model_fields["type"].default)


def is_command(message: Message) -> bool:
    """Whether others write it and Daicho alone reads it."""
    data = message.model_fields["data"].annotation
    return isinstance(data, type) and issubclass(data, Command)


def schema_of(message: Message) -> dict[str, Any]:
    """The JSON Schema of one message, as its readers may rely on it."""
    schema = message.model_json_schema()
    _close_maps(schema)
    schema["required"] = [*_ALWAYS_SENT, *schema["required"]]
    return {"$schema": DIALECT, "$id": f"urn:daicho:schema:{type_of(message)}", **schema}


def documents() -> dict[str, str]:
    """The content of every generated file by its path under `schemas/`; the same models give the same bytes."""
    files = {event_path(message): _json(schema_of(message)) for message in messages()}
    return files | {"asyncapi.yaml": _yaml(asyncapi())}


def event_path(message: Message) -> str:
    return f"events/{type_of(message)}.json"


def broken_promises(released: Mapping[str, Schema]) -> list[str]:
    """A line for each way in which a model breaks a released schema (by type); a released type that is gone is one too."""
    current = {type_of(message): message for message in messages()}
    gone = [f"{name}: the type is gone, although it was released" for name in sorted(released.keys() - current.keys())]
    return gone + [
        f"{name}: {found}"
        for name, message in current.items()
        if name in released
        for found in breaks(released[name], schema_of(message), command=is_command(message))
    ]


def read_released(folder: Path) -> dict[str, Schema]:
    """The released schemas of `schemas/`, by type."""
    return {file.stem: json.loads(file.read_text(encoding="utf-8")) for file in (folder / "released").glob("*.json")}


def asyncapi() -> dict[str, Any]:
    """The bus as an AsyncAPI 3.0 document: who sends and receives what on which topic, with the topic's settings."""
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Daicho",
            "version": "1",
            "description": "The topics of an instance. Keys decide the partition by their first part, the network, alone.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/cloudevents+json",
        "servers": {
            "instance": {
                "host": "{bootstrap}",
                "protocol": "kafka",
                "description": "SASL_PLAINTEXT on loopback by default, SASL_SSL elsewhere; `daicho status` says where.",
                "variables": {"bootstrap": {"default": "127.0.0.1:9092"}},
                "security": [{"$ref": _SCRAM}],
            }
        },
        "channels": {_channel(topic): _channel_entry(topic) for topic in TOPICS},
        "operations": {
            f"{principal}-{verb}-{_channel(topic)}": _operation(topic, principal, action)
            for topic in TOPICS
            for verb, action, principals in (("sends", "send", topic.writers), ("receives", "receive", topic.readers))
            for principal in sorted(principals)
        },
        "components": {
            "messages": {
                message.__name__: _message_entry(topic, message) for topic in TOPICS for message in topic.messages
            },
            "securitySchemes": {
                "scram": {
                    "type": "scramSha512",
                    "description": "SASL/SCRAM-SHA-512, an account for each service and client.",
                }
            },
        },
    }


def _channel(topic: Topic) -> str:
    return topic.name.removeprefix("daicho.").removesuffix(".v1")


def _channel_entry(topic: Topic) -> dict[str, Any]:
    settings = {
        "cleanup.policy": ["compact" if topic.compacted else "delete"],
        "retention.ms": -1 if topic.retention_ms is None else topic.retention_ms,
        "max.message.bytes": topic.max_record_bytes,
    }
    partitions = {} if topic.partitions is None else {"partitions": topic.partitions}
    return {
        "address": topic.name,
        "description": topic.description,
        "messages": {one.__name__: {"$ref": f"#/components/messages/{one.__name__}"} for one in topic.messages},
        "bindings": {
            "kafka": {
                "topic": topic.name,
                **partitions,
                "topicConfiguration": settings,
                "bindingVersion": _KAFKA_BINDING,
            }
        },
    }


def _operation(topic: Topic, principal: Principal, action: str) -> dict[str, Any]:
    channel = f"#/channels/{_channel(topic)}"
    return {
        "action": action,
        "channel": {"$ref": channel},
        "summary": f"The account `{principal}` may {action} here.",
        "security": [{"$ref": _SCRAM}],
        "messages": [{"$ref": f"{channel}/messages/{message.__name__}"} for message in topic.messages],
    }


def _message_entry(topic: Topic, message: Message) -> dict[str, Any]:
    return {
        "name": type_of(message),
        "title": message.__name__,
        "summary": inspect.cleandoc(message.__doc__ or ""),
        "contentType": CONTENT_TYPE.partition(";")[0],
        "headers": {
            "type": "object",
            "description": "The attributes of the envelope, for readers that route without reading the value.",
            "properties": {"content-type": {"const": CONTENT_TYPE}, "ce_type": {"const": type_of(message)}},
        },
        "payload": {"$ref": f"./{event_path(message)}"},
        "bindings": {
            "kafka": {"key": {"type": "string", "description": topic.key}, "bindingVersion": _KAFKA_BINDING},
        },
    }


def _close_maps(schema: Any) -> None:
    """A map's keys all have the pattern that is given for them: pydantic refuses others, but its schema leaves that open."""
    if isinstance(schema, dict):
        if "patternProperties" in schema:
            schema.setdefault("additionalProperties", False)
        for inner in schema.values():
            _close_maps(inner)
    elif isinstance(schema, list):
        for inner in schema:
            _close_maps(inner)


def _json(document: Any) -> str:
    return json.dumps(document, ensure_ascii=False, indent=2) + "\n"


def _yaml(document: Any) -> str:
    head = "# SPDX-License-Identifier: Apache-2.0\n# Written by `make schemas` from libs/contracts: change the models instead.\n"
    return head + yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=120)


def write(folder: Path) -> None:
    """Write every document, and remove what no model stands for any more."""
    wanted = documents()
    for name, content in wanted.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content, encoding="utf-8")
    for file in (folder / "events").glob("*.json"):
        if f"events/{file.name}" not in wanted:
            file.unlink()


def release(folder: Path) -> list[str]:
    """Keep the schemas as released, or return the promises that they would break."""
    broken = broken_promises(read_released(folder))
    if not broken:
        (folder / "released").mkdir(exist_ok=True)
        for message in messages():
            (folder / "released" / f"{type_of(message)}.json").write_text(_json(schema_of(message)), encoding="utf-8")
    return broken


def main(arguments: list[str] | None = None) -> int:
    """0 when written; 1 when a release would break an earlier one."""
    parser = argparse.ArgumentParser(prog="python -m libs.contracts.generate")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--release", action="store_true", help="keep these as released")
    options = parser.parse_args(arguments)
    write(options.folder)
    broken = release(options.folder) if options.release else []
    for line in broken:
        sys.stderr.write(f"{line}\n")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
