# SPDX-License-Identifier: Apache-2.0
"""A consumer of obligations to start from: prints, in Japanese, each duty that begins or ceases to bind an asset.

    DAICHO_KAFKA_BOOTSTRAP=… DAICHO_KAFKA_USERNAME=reader DAICHO_KAFKA_PASSWORD=… python examples/consumer.py

It needs aiokafka alone. The last event of an asset holds all that binds it (`in_force`), so it may start late and read the topic
from its start; it goes on where its group last was. Events are CloudEvents: schemas/events/daicho.obligations.changed.v1.json.
"""

import asyncio
import json
import os

from aiokafka import AIOKafkaConsumer


async def main() -> None:
    async with AIOKafkaConsumer(
        "daicho.obligations.v1",
        bootstrap_servers=os.environ["DAICHO_KAFKA_BOOTSTRAP"],
        security_protocol=os.environ.get("DAICHO_KAFKA_PROTOCOL", "SASL_PLAINTEXT"),
        sasl_mechanism="SCRAM-SHA-512",
        sasl_plain_username=os.environ["DAICHO_KAFKA_USERNAME"],
        sasl_plain_password=os.environ["DAICHO_KAFKA_PASSWORD"],
        group_id=os.environ.get("DAICHO_KAFKA_GROUP", "reader-example"),
        isolation_level="read_committed",  # never half of a batch
        auto_offset_reset="earliest",
    ) as consumer:
        async for record in consumer:
            event = json.loads(record.value)
            body, data = event["body"], event["data"]
            for word, duties in (("発生", data["imposed"]), ("解除", data["lifted"])):
                for duty in duties:
                    print(f"{event['time']} {body} {data['asset']['name']} 【{word}】{duty['title']['ja']}", flush=True)


if __name__ == "__main__":
    asyncio.run(main())
