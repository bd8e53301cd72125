"""The HTTP server: what every served model has (health, the name of the model, errors in one shape), and its end."""

import asyncio
import time
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException as AnyHTTPException

from alignlab.errors import AlignlabError
from alignlab.serving.waiting import Closed, Full, Queue


@dataclass(frozen=True)
class Desk:
    """Where requests come in: the name of the model, its context, the queue, the seconds that a request may take."""

    name: str
    length: int | None
    """The largest number of tokens of a prompt with its response; None where the model has no limit."""
    queue: Queue
    timeout: float

    async def ask(self, item: Any, kind: Hashable = None) -> Any:
        """Return the result of a request; 504 where it does not come in time, after which it is not begun any more."""
        result = self.queue.ask(item, kind)
        try:
            return await asyncio.wait_for(asyncio.wrap_future(result), self.timeout)
        except TimeoutError:
            raise HTTPException(
                HTTPStatus.GATEWAY_TIMEOUT, f"no result within {self.timeout:g} seconds (timeout)"
            ) from None

    def require_name(self, model: str | None) -> None:
        """Raise 404 for a request that names another model."""
        if model not in (None, self.name):
            raise HTTPException(HTTPStatus.NOT_FOUND, f"there is no model {model} here, but {self.name}")


def app_of(desk: Desk, *routers: APIRouter) -> FastAPI:
    """Return the application that serves a model by these routes."""

    @asynccontextmanager
    async def life(app: FastAPI) -> AsyncIterator[None]:
        yield
        await asyncio.to_thread(desk.queue.close)

    app = FastAPI(title="alignlab serve", lifespan=life, docs_url=None, redoc_url=None)
    app.add_exception_handler(RequestValidationError, _malformed)
    app.add_exception_handler(AnyHTTPException, _refused)
    app.add_exception_handler(AlignlabError, _failed)

    @app.get("/health")
    async def health() -> dict[str, str]:
        return {"status": "paused" if desk.queue.paused else "ok"}

    @app.get("/v1/models")
    async def models() -> dict[str, Any]:
        one = {"id": desk.name, "object": "model", "created": int(time.time()), "owned_by": "alignlab"}
        return {"object": "list", "data": [{**one, "max_model_len": desk.length}]}

    for router in routers:
        app.include_router(router)
    return app


def error_answer(status: int, message: str) -> JSONResponse:
    """Return an error in the shape that OpenAI's clients read."""
    kind = HTTPStatus(status).phrase
    headers = {"Retry-After": "1"} if status in (429, 503) else None
    return JSONResponse({"error": {"message": message, "type": kind, "code": status}}, status, headers)


async def _malformed(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    said = [f"{'.'.join(map(str, one['loc'][1:])) or 'body'}: {one['msg']}" for one in error.errors()]
    return error_answer(400, "; ".join(said))


async def _refused(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, AnyHTTPException)
    return error_answer(error.status_code, str(error.detail))


async def _failed(request: Request, error: Exception) -> JSONResponse:
    status = 429 if isinstance(error, Full) else 503 if isinstance(error, Closed) else 400
    return error_answer(status, str(error))
