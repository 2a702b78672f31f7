# SPDX-License-Identifier: Apache-2.0
"""Write `jars.lock.toml` anew for a Kafka version: `python -m libs.devstack.relock 4.4.0` (needs the network).

Kafka is resolved alone: together with log4j-slf4j-impl, without which the broker writes no log, jgo would pull
kafka-clients down to an older release. That one jar is resolved by itself, at the version of log4j that Kafka brings.
"""

import hashlib
import sys
import tempfile
from pathlib import Path

import jgo

from libs.devstack.jars import LOCK_FILE

HEADER = """\
# SPDX-License-Identifier: Apache-2.0
# The jars of Apache Kafka as tested, in class path order. Written by `python -m libs.devstack.relock {kafka}`.
"""


def main(kafka: str) -> None:
    """Resolve Kafka `kafka`, hash every jar, and replace the lock file."""
    with tempfile.TemporaryDirectory() as scratch:
        jars = _resolve(f"org.apache.kafka:kafka_2.13:{kafka}", Path(scratch))
        log4j = next(jar["version"] for jar in jars if jar["artifact"] == "log4j-core")
        logging = _resolve(f"org.apache.logging.log4j:log4j-slf4j-impl:{log4j}", Path(scratch))
        jars += [jar for jar in logging if jar["artifact"] == "log4j-slf4j-impl"]
    blocks = ["[[jar]]\n" + "".join(f"{key} = {_toml(value)}\n" for key, value in jar.items()) for jar in jars]
    LOCK_FILE.write_text(HEADER.format(kafka=kafka) + f'kafka = "{kafka}"\n\n' + "\n".join(blocks), encoding="utf-8")


def _resolve(endpoint: str, scratch: Path) -> list[dict[str, str | int]]:
    files = {Path(jar).name: Path(jar) for jar in jgo.build(endpoint, cache_dir=scratch).all_jars}
    found: list[dict[str, str | int]] = []
    for artifact in jgo.resolve(endpoint):
        if file := files.get(artifact.filename):
            content = file.read_bytes()
            found.append(
                {
                    "group": artifact.groupId,
                    "artifact": artifact.artifactId,
                    "version": artifact.version,
                    "size": len(content),
                    "sha256": hashlib.sha256(content).hexdigest(),
                }
            )
    return found


def _toml(value: str | int) -> str:
    return str(value) if isinstance(value, int) else f'"{value}"'


if __name__ == "__main__":
    main(sys.argv[1])
