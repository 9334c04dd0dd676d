"""The contract over HTTP."""

import hmac
import logging
import re
import time
import traceback
from typing import Annotated, Any

from fastapi import FastAPI, Header, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from pydantic import AwareDatetime
from pydantic.alias_generators import to_camel
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from trytond import __version__

from . import records, signature
from .contract import Block, Changes, Kind, NewRecord, Record, Refusal, Resource, Search
from .transactions import now, run

LIMIT_OF_BODY = 64 * 1024
log = logging.getLogger("facade")

# Without FastAPI's own pages: shared/src/erp/http/openapi.yaml is the contract.
api = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False)
# The most records of a page; `limit` can ask for fewer.
api.state.page_size = 500


def answer(status: int, content: Any) -> JSONResponse:
    return JSONResponse(as_json(content), status)


def as_json(content: Any) -> Any:
    if isinstance(content, Record):  # absent, not null: "there is no value"
        return content.model_dump(mode="json", by_alias=True, exclude_none=True)
    if isinstance(content, dict):
        return {name: as_json(value) for name, value in content.items()}
    return [as_json(value) for value in content] if isinstance(content, list) else content


# The functions are not `async`: Tryton waits for its database, and FastAPI then runs them in threads, each with its own transaction.


@api.get("/v1/about")
def about() -> JSONResponse:
    capabilities = {
        "fields": [to_camel(field) for field in ["name", *records.MECHANISMS, "address", *records.IDENTIFIERS]],
        "readable": [
            "code", "names", "contact-details", "invoice-address", "active", "vat-number", "organisation-number", "company-relations",
        ],
        "codeCase": "exact",
        "conditionalUpdates": True,
        "idempotentCreates": True,
        # A request waits for the database ATTEMPTS times, five seconds each, and nothing of it goes on when it has ended.
        "createSettlesAfterSeconds": 60,
        "deletes": True,
        "homeCountry": records.HOME,
    }
    time = run(now).isoformat()
    return answer(200, {"name": "Tryton", "version": __version__, "time": time, "mayWrite": True, "capabilities": capabilities})


@api.post("/v1/search")
def search(wanted: Search) -> JSONResponse:
    return answer(200, run(lambda: records.search(wanted)))


@api.get("/v1/{resource}")
def page(
    resource: Resource,
    kind: Kind | None = None,
    since: AwareDatetime | None = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 500,
    cursor: Annotated[str | None, Query(max_length=1000)] = None,
) -> JSONResponse:
    if cursor and not re.fullmatch("[0-9]{1,18}", cursor):
        # Of another facade, or another version of this one. The client starts over.
        raise Refusal(410, "cursor-expired", "The cursor is not one of this facade.")
    return answer(200, run(lambda: records.page(resource, kind, since, int(cursor or 0), min(limit, api.state.page_size))))


@api.post("/v1/{resource}")
def create(
    resource: Resource,
    new: NewRecord,
    idempotency_key: Annotated[str, Header(min_length=1, max_length=100, pattern=r"^[A-Za-z0-9/_.-]+$")],
) -> JSONResponse:
    record, made = records.create(resource, idempotency_key, new)
    return answer(201 if made else 200, record)


@api.get("/v1/{resource}/{id_}")
def get(resource: Resource, id_: str) -> JSONResponse:
    return answer(200, run(lambda: records.show(records.find(resource, id_))))


@api.patch("/v1/{resource}/{id_}")
def update(resource: Resource, id_: str, changes: Changes, if_match: Annotated[str, Header()]) -> JSONResponse:
    return answer(200, records.update(resource, id_, if_match, changes))


@api.delete("/v1/{resource}/{id_}")
def remove(resource: Resource, id_: str) -> Response:
    records.remove(resource, id_)
    return Response(status_code=204)


@api.post("/v1/{resource}/{id_}/block")
def block(resource: Resource, id_: str, block: Block) -> JSONResponse:
    # Tryton has one kind of block, which serves for both extents.
    return answer(200, records.block(resource, id_))


@api.exception_handler(Refusal)
def refused(_: Request, refusal: Refusal) -> JSONResponse:
    response = JSONResponse(refusal.body, refusal.status)
    if refusal.status == 503:
        response.headers["Retry-After"] = "1"
    return response


@api.exception_handler(records.Unreadable)
def unreadable(_: Request, reason: records.Unreadable) -> JSONResponse:
    # Also for one of the records that a search has found: without it, the others would look like all. A person corrects it; with
    # 5xx it would look like an outage, for which everything else waits.
    return answer(422, Refusal(422, "unreadable", str(reason)).body)


def refused_by_tryton(_: Request, __: Exception) -> JSONResponse:
    return answer(422, Refusal(422, "refused", "A rule of Tryton refuses the record. Entered in Tryton itself, it says which.").body)


for refusal in records.REFUSALS:
    api.add_exception_handler(refusal, refused_by_tryton)


@api.exception_handler(RequestValidationError)
def malformed(_: Request, error: RequestValidationError) -> JSONResponse:
    # FastAPI would answer 422 and repeat the values. 422 is for what a person corrects; this is a mistake of a program.
    first = error.errors()[0]
    where, *names = [str(part) for part in first["loc"]]
    if where == "path":
        return answer(404, Refusal(404, "unknown-address", "There is no such resource.").body)
    # The type of the mistake is a word of pydantic's. Its message can hold parts of the request.
    field = next((name for name in names if not name.isdecimal()), None)
    return answer(400, Refusal(400, "malformed", f"The request does not keep to the contract ({first['type']}).", field).body)


@api.exception_handler(HTTPException)
def of_http(_: Request, error: HTTPException) -> JSONResponse:
    # Not `not-found`, which says that a record is gone.
    code = {404: "unknown-address", 405: "method-not-allowed"}.get(error.status_code, "malformed")
    return answer(error.status_code, Refusal(error.status_code, code, "The request does not keep to the contract.").body)


class Gate:
    """Before everything else, and without work for strangers: the key, the size, the signature, the company, and no personal data in the log."""

    def __init__(self, app: ASGIApp, key: str, company: str, signing_keys: list[str]) -> None:
        self.app = app
        self.key = key.encode()
        self.company = company.encode()
        # While a key is rotated, requests come with the former and with the new one. None: requests need no signature.
        self.signing_keys = [key.encode() for key in signing_keys]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        headers = dict(scope["headers"])
        scheme, _, given = headers.get(b"authorization", b"").partition(b" ")
        # In constant time: how long a plain comparison takes says how much of a guess is right.
        if not hmac.compare_digest(given, self.key) or scheme.lower() != b"bearer":
            return await self._refuse(Refusal(401, "unauthorized", "The key is not accepted."), scope, receive, send)
        body = b""
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return None
            body += message.get("body", b"")
            more = message.get("more_body", False)
            if len(body) > LIMIT_OF_BODY:
                return await self._refuse(Refusal(413, "too-large", "The request is too large."), scope, receive, send)

        if self.signing_keys and not self._is_signed(scope, body):
            return await self._refuse(Refusal(401, "not-signed", "The signature is missing, wrong or too old."), scope, receive, send)
        # Two applications that name different companies must not share a register.
        if headers.get(b"erp-company", b"") != self.company:
            return await self._refuse(Refusal(403, "unknown-company", "The facade has no such company."), scope, receive, send)

        async def again() -> Message:
            return {"type": "http.request", "body": body, "more_body": False}

        try:
            await self.app(scope, again, send)
        except Exception as error:
            # Starlette has answered 500 and raises again so that the server logs it. The texts of Tryton's exceptions hold values.
            where = "".join(traceback.format_list(traceback.extract_tb(error.__traceback__)[-5:]))
            log.error("%s at\n%s", type(error).__name__, where)

    def _is_signed(self, scope: Scope, body: bytes) -> bool:
        headers: dict[str, str] = {}
        for name, value in ((n.decode("latin-1"), v.decode("latin-1")) for n, v in scope["headers"]):
            # A second line of a header is part of what was signed.
            headers[name] = f"{headers[name]}, {value}" if name in headers else value
        query = f"?{scope['query_string'].decode()}" if scope["query_string"] else ""
        target = f"{scope['scheme']}://{headers.get('host')}{scope['raw_path'].decode()}{query}"
        return signature.is_valid(scope["method"], target, headers, body, self.signing_keys, time.time())

    async def _refuse(self, refusal: Refusal, scope: Scope, receive: Receive, send: Send) -> None:
        response = JSONResponse(refusal.body, refusal.status)
        if refusal.status == 401:
            response.headers["WWW-Authenticate"] = "Bearer"
        await response(scope, receive, send)


@api.exception_handler(Exception)
def failed(_: Request, __: Exception) -> JSONResponse:
    return answer(500, Refusal(500, "internal", "The facade failed. Its log says where.").body)
