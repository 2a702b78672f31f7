# SPDX-License-Identifier: Apache-2.0
"""What is kept on disk meanwhile: put together again as JSON, and told where the disk is full."""

from __future__ import annotations

import errno
import io
import json

import pytest

from libs.contracts import ProblemType, Profile
from libs.security import ProblemError
from services.inventory.ledgers.columns import default_columns
from services.inventory.ledgers.reading import Ledger
from services.inventory.ledgers.spooling import Sifted, Spool, answer_of, room


def test_an_answer_is_one_object_of_what_is_known_and_what_was_kept() -> None:
    kept, none = Spool(), Spool()
    for number in range(3):
        kept.add(json.dumps({"row": number}).encode())
    answer = answer_of({"accepted": 3}, {"receipts": kept, "refused": none})
    answer.seek(0)

    assert json.load(answer) == {"accepted": 3, "receipts": [{"row": 0}, {"row": 1}, {"row": 2}], "refused": []}


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_told_as_come_again(number: int) -> None:
    with pytest.raises(ProblemError) as refused, room():
        raise OSError(number, "full")
    assert refused.value.problem is ProblemType.BUSY
    assert refused.value.headers is not None
    assert refused.value.headers["Retry-After"]


def test_another_failure_is_none_of_the_disk() -> None:
    with pytest.raises(OSError, match="refused"), room():
        raise OSError(errno.ECONNREFUSED, "refused")


def test_good_rows_are_kept_in_their_order_and_the_faults_of_the_others_all(profile: Profile) -> None:
    rows = "".join(f"A-{number},名簿,{'情報' if number % 3 else '本'},\r\n" for number in range(10))
    content = f"台帳番号,情報資産名,種類,件数\r\n{rows}".encode()
    with Sifted(most_faults=2) as sifted:
        sifted.read(io.BytesIO(content), Ledger(profile.feed_by_id["ledger"], "mayor", 1, default_columns()))

        batches = list(sifted.batches(4))
        assert [len(batch) for batch in batches] == [4, 2]
        assert [row.item.source_key for batch in batches for row in batch] == ["A-1", "A-2", "A-4", "A-5", "A-7", "A-8"]
        assert (sifted.refused, sifted.faults.count, len(sifted.first_faults)) == (4, 4, 2)
        assert [json.loads(piece)["cell"] for piece in sifted.faults] == ["C2", "C5", "C8", "C11"]
