# SPDX-License-Identifier: Apache-2.0
"""A consumer of obligations to start from: prints, in Japanese, each duty that begins or ceases to bind an asset.

    DAICHO_KAFKA_BOOTSTRAP=… DAICHO_KAFKA_USERNAME=reader DAICHO_KAFKA_PASSWORD=… python examples/consumer.py

It needs aiokafka alone. An asset's last event holds all that binds it (`in_force`), so one may start late.
"""

import asyncio
import json
import os

from aiokafka import AIOKafkaConsumer


async def main() -> None:
    seen: dict[str, int] = {}  # the highest revision of each asset: a message may be sent again
    async with AIOKafkaConsumer(
        "daicho.obligations.v1",
        bootstrap_servers=os.environ["DAICHO_KAFKA_BOOTSTRAP"],
        security_protocol=os.environ.get("DAICHO_KAFKA_PROTOCOL", "SASL_PLAINTEXT"),
        sasl_mechanism="SCRAM-SHA-512",
        sasl_plain_username=os.environ["DAICHO_KAFKA_USERNAME"],
        sasl_plain_password=os.environ["DAICHO_KAFKA_PASSWORD"],
        group_id="reader-example",  # goes on where it was last
        isolation_level="read_committed",  # never what a broken batch left
        auto_offset_reset="earliest",
    ) as consumer:
        async for record in consumer:
            event = json.loads(record.value)
            if event["revision"] > seen.get(event["subject"], 0):
                seen[event["subject"]] = event["revision"]
                for word, duties in (("発生", "imposed"), ("解除", "lifted")):
                    for duty in event["data"][duties]:
                        print(event["body"], event["data"]["asset"]["name"], word, duty["title"]["ja"], flush=True)


asyncio.run(main())
