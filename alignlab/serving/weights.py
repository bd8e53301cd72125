"""Other weights for the model that is served, by the control routes of vLLM: pause, start, update, finish, resume."""

import asyncio
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Body, HTTPException

from alignlab.errors import AlignlabError, ConfigError
from alignlab.serving.app import Desk
from alignlab.serving.completions import Drawing

Info = Annotated[dict[str, Any], Body(embed=True)]


class Update:
    """An update of weights that was started: a folder is loaded beside the present model, then copied into it."""

    def __init__(self, drawing: Drawing) -> None:
        self.drawing = drawing
        self.started = False
        self.read_model: Any = None

    def begin(self) -> None:
        """Start anew, with nothing read."""
        self.started, self.read_model = True, None

    def leave(self) -> None:
        """Leave the present weights as they are."""
        self.started, self.read_model = False, None

    def read(self, folder: str) -> None:
        """Load a folder; raises ConfigError where it holds no model of the present kind."""
        place, present = Path(folder), self.drawing.sampler.model
        if not place.is_absolute() or not [*place.glob("*.safetensors")]:
            raise ConfigError(f"{folder}: expected an absolute path of a folder with safetensors")
        try:
            new, told = type(present).from_pretrained(
                folder,
                dtype=present.dtype,
                local_files_only=True,
                use_safetensors=True,
                output_loading_info=True,
            )
        except (OSError, RuntimeError, ValueError) as error:
            raise ConfigError(f"{folder}: {error}".partition("\n")[0]) from error
        shapes = [{name: p.shape for name, p in model.named_parameters()} for model in (present, new)]
        if told["missing_keys"] or shapes[0] != shapes[1]:
            raise ConfigError(f"{folder}: it holds another kind of model than is served, or a part of one")
        self.read_model = new

    def finish(self, version: str | None) -> None:
        """Draw from what was read from now on."""
        self.drawing.sampler.model.load_state_dict(self.read_model.state_dict())
        self.drawing.version = self.drawing.version if version is None else version
        self.leave()


def routes(desk: Desk, drawing: Drawing) -> APIRouter:
    """Return the routes that control what is drawn from."""
    router, update = APIRouter(), Update(drawing)

    def require(so_far: bool, before: str) -> None:
        if not so_far:
            raise HTTPException(409, f"{before} first")

    @router.post("/pause")
    async def pause(mode: Literal["wait", "keep"] = "wait") -> dict[str, str]:
        if not await asyncio.to_thread(desk.queue.pause, desk.timeout):
            desk.queue.resume()
            raise HTTPException(504, f"what is under way has not ended within {desk.timeout:g} seconds")
        return {"status": "paused"}

    @router.post("/resume")
    async def resume() -> dict[str, str]:
        update.leave()
        desk.queue.resume()
        return {"status": "resumed"}

    @router.get("/is_paused")
    async def is_paused() -> dict[str, bool]:
        return {"is_paused": desk.queue.paused}

    @router.post("/init_weight_transfer_engine")
    async def init(init_info: Info) -> dict[str, str]:
        return {"message": "weights come from folders"}

    @router.post("/start_weight_update")
    async def start() -> dict[str, str]:
        require(desk.queue.paused, "/pause")
        update.begin()
        return {"message": "weight update started"}

    @router.post("/update_weights")
    async def read(update_info: Info) -> dict[str, str]:
        require(update.started, "/start_weight_update")
        try:
            await asyncio.to_thread(update.read, str(update_info.get("path", "")))
        except AlignlabError as error:
            raise HTTPException(400, str(error)) from None
        return {"message": "weights read"}

    @router.post("/finish_weight_update")
    async def finish(weight_version: Annotated[str | None, Body(embed=True)] = None) -> dict[str, str]:
        require(update.read_model is not None, "/update_weights")
        await asyncio.to_thread(update.finish, weight_version)
        return {"message": "weight update finished"}

    @router.get("/weight_info")
    async def weight_info() -> dict[str, str]:
        return {"weight_version": drawing.version}

    return router
