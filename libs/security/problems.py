# SPDX-License-Identifier: Apache-2.0
"""Refusals and failures over HTTP as RFC 9457 problem documents, in the caller's language."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import iter_route_contexts
from starlette.exceptions import HTTPException
from starlette.routing import compile_path

from libs.catalogue import Language, field_sentence, text
from libs.contracts import FieldProblem, Problem, ProblemType

MEDIA_TYPE: Final = "application/problem+json"
MAX_FIELDS: Final = 50
"""Further offending fields are not told: a batch can have thousands."""

_STATUS: Final = {
    ProblemType.INVALID: 422,
    ProblemType.NOT_FOUND: 404,
    ProblemType.UNAUTHENTICATED: 401,
    ProblemType.FORBIDDEN: 403,
    ProblemType.SIGNATURE: 401,
    ProblemType.TOO_LARGE: 413,
    ProblemType.UNSUPPORTED_MEDIA: 415,
    ProblemType.PRECONDITION_FAILED: 412,
    ProblemType.PRECONDITION_REQUIRED: 428,
    ProblemType.CONFLICT: 409,
    ProblemType.BUSY: 503,
    ProblemType.TOO_MANY: 429,
    ProblemType.INTERNAL: 500,
}
_TYPE_OF_STATUS: Final = {
    404: ProblemType.NOT_FOUND,
    401: ProblemType.UNAUTHENTICATED,
    403: ProblemType.FORBIDDEN,
    413: ProblemType.TOO_LARGE,
    415: ProblemType.UNSUPPORTED_MEDIA,
    400: ProblemType.INVALID,
}
_log = structlog.get_logger(__name__)


class FieldError:
    """One offending field (JSON Pointer or column), and the catalogue key of what to do about it."""

    def __init__(self, field: str, key: str, /, **args: object) -> None:
        self.field = field
        self.key = key
        self.args = args


class ProblemError(HTTPException):
    """Ends a request with a problem document. `detail_key` and `args` are of the catalogue; args hold no other body's data.

    It is an HTTPException so that FastAPI lets it through wherever it is raised.
    """

    def __init__(
        self,
        problem: ProblemType,
        detail_key: str,
        *,
        status: int | None = None,
        errors: Sequence[FieldError] = (),
        headers: Mapping[str, str] | None = None,
        **args: object,
    ) -> None:
        super().__init__(status_code=status or _STATUS[problem], detail=detail_key, headers=dict(headers or {}))
        self.problem = problem
        self.errors = errors
        self.catalogue_args = args


def install_problem_handlers(app: FastAPI) -> None:
    """Answer every refusal, validation error, unknown route and unexpected failure of `app` with a problem document."""
    app.exception_handler(ProblemError)(_on_problem)
    app.exception_handler(RequestValidationError)(_on_invalid)
    app.exception_handler(HTTPException)(_on_http)
    app.exception_handler(Exception)(_on_failure)


def language_of(accept_language: str | None) -> Language:
    """Japanese unless English is asked for with a higher weight (RFC 9110 §12.5.4)."""
    weights = {"ja": 0.0, "en": 0.0, "*": 0.0}
    for part in (accept_language or "").split(","):
        tag, _, parameter = part.strip().partition(";")
        primary = tag.split("-")[0].strip().lower()
        if primary in weights:
            weights[primary] = max(weights[primary], _weight(parameter))
    return "en" if weights["en"] > max(weights["ja"], weights["*"]) else "ja"


def problem_response(
    request: Request,
    problem: ProblemType | None,
    status: int,
    detail_key: str,
    *,
    errors: Sequence[FieldError] = (),
    headers: Mapping[str, str] | None = None,
    **args: object,
) -> Response:
    """`problem` None gives `about:blank`: the status says it all (RFC 9457 §4.2.1)."""
    lang = language_of(request.headers.get("accept-language"))
    title = text(f"problems.title.{problem}", lang) if problem else HTTPStatus(status).phrase
    document = Problem(
        type=f"urn:daicho:problem:{problem}" if problem else "about:blank",
        title=title,
        status=status,
        detail=text(detail_key, lang, **args),
        errors=tuple(
            FieldProblem(field=one.field, detail=text(one.key, lang, **one.args)) for one in errors[:MAX_FIELDS]
        ),
    )
    return Response(
        document.model_dump_json(exclude_defaults=True),
        status,
        {"Content-Language": lang, "Vary": "Accept-Language", "Cache-Control": "no-store", **(headers or {})},
        MEDIA_TYPE,
    )


async def _on_problem(request: Request, error: ProblemError) -> Response:
    return problem_response(
        request,
        error.problem,
        error.status_code,
        error.detail,
        errors=error.errors,
        headers=error.headers,
        **error.catalogue_args,
    )


async def _on_invalid(request: Request, error: RequestValidationError) -> Response:
    errors = [_field_error(one) for one in error.errors()]
    malformed = any(one["type"] == "json_invalid" for one in error.errors())
    return problem_response(
        request,
        ProblemType.INVALID,
        400 if malformed else 422,
        "problems.malformed" if malformed else "problems.invalid",
        errors=errors,
        count=len(errors),
    )


async def _on_http(request: Request, error: HTTPException) -> Response:
    headers = dict(error.headers or {})
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        headers["Allow"] = ", ".join(sorted(_methods_at(request)))
    key = f"problems.http.{error.status_code}" if error.status_code in (400, 404, 405, 413) else "problems.http.other"
    return problem_response(
        request,
        _TYPE_OF_STATUS.get(error.status_code),
        error.status_code,
        key,
        headers=headers,
        status_code=error.status_code,
    )


def _methods_at(request: Request) -> set[str]:
    """Of all routes of the path (RFC 9110 §15.5.6): the framework tells those of the first one alone."""
    routes = list(iter_route_contexts(request.app.routes))
    path = next(one.path for one in routes if compile_path(one.path or "")[0].match(request.scope["path"]))
    return {method for route in routes if route.path == path for method in route.methods or ()}


async def _on_failure(request: Request, error: Exception) -> Response:
    _log.error("request failed", method=request.method, path=request.url.path, exc_info=error)
    return problem_response(request, ProblemType.INTERNAL, 500, "problems.internal")


def _field_error(error: Mapping[str, Any]) -> FieldError:
    told = field_sentence(error)
    return FieldError(_pointer(error["loc"]), told.key, **told.args)


def _pointer(location: Sequence[str | int]) -> str:
    """A JSON Pointer into the body (RFC 6901), or `query:<name>`, `header:<name>`, `path:<name>`."""
    where, *rest = location
    if where != "body":
        return ":".join((str(where), *map(str, rest)))
    return "".join("/" + str(step).replace("~", "~0").replace("/", "~1")[:100] for step in rest)


def _weight(parameter: str) -> float:
    name, _, value = parameter.strip().partition("=")
    if name.strip() != "q":
        return 1.0
    try:
        return float(value)
    except ValueError:
        return 0.0
