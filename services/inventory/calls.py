# SPDX-License-Identifier: Apache-2.0
"""What routes take of a call, and tell in an answer, alike: who may call, how much is a page, the revision that was read and that is told."""

from __future__ import annotations

from typing import Annotated, Final, Protocol, TypeVar

from fastapi import Depends, Header, Query, Response

from libs.security import Identity, Role, authenticated
from libs.security.preconditions import etag_of
from services.inventory.idempotency import Attempt

MOST_A_PAGE: Final = 500

Feeder = Annotated[Identity, Depends(authenticated(Role.FEEDER))]
Reader = Annotated[Identity, Depends(authenticated(Role.READER))]
Editor = Annotated[Identity, Depends(authenticated(Role.EDITOR, Role.SECURITY_OFFICER))]
IfMatch = Annotated[str | None, Header()]
Traceparent = Annotated[str | None, Header()]
Again = Annotated[Attempt, Depends(Attempt)]
Limit = Annotated[int, Query(ge=1, le=MOST_A_PAGE)]


class Revised(Protocol):
    """What has a revision."""

    revision: int


RevisedT = TypeVar("RevisedT", bound=Revised)


def with_etag(shown: RevisedT, response: Response) -> RevisedT:
    """The same, and its revision as the answer's `ETag`."""
    response.headers["ETag"] = etag_of(shown.revision)
    return shown
