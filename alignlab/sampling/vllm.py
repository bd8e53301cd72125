"""Responses drawn by vLLM, whose weights follow those of the training through its own control routes and a folder."""

import copy
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated, Any, Literal

from alignlab import ranks
from alignlab.errors import AlignlabError, RunError
from alignlab.policies.causal_lm.decoder import has_adapter, merge
from alignlab.sampling.rollout import Prompt, Rollout
from alignlab.sampling.server import Server
from alignlab.sampling.settings import Sampling
from alignlab.sampling.trial import require_whole
from alignlab.settings import Count, Place, PositiveNumber, Text, whole


class VLLM(Server):
    """Draws from vLLM (or `alignlab serve updates=true`), which takes up the policy's weights at every `sync`.

    The policy is saved into a folder below `folder`, which the server has to see under the same path (null: a temporary
    one, for a server on the same machine), and the server reads it while it draws nothing. `transfer=reload` has its
    workers load the folder (vLLM with VLLM_SERVER_DEV_MODE=1), `transfer=disk` goes through start, update and finish of
    a weight update (vLLM with --weight-transfer-config '{"backend": "disk"}', and `alignlab serve`). The server
    then has to name the version that it was given, and so it has before and after every draw.
    """

    def __init__(
        self,
        model: Any,
        stop: Sequence[int],
        *,
        url: Text,
        name: Text | None = None,
        timeout: PositiveNumber = 600.0,
        retries: Count = 4,
        at_once: Annotated[int, whole(1, 1024)] = 32,
        key_env: Text | None = None,
        transfer: Literal["reload", "disk"] = "reload",
        folder: Place | None = None,
    ) -> None:
        super().__init__(
            model,
            stop,
            url=url,
            name=name,
            timeout=timeout,
            retries=retries,
            at_once=at_once,
            key_env=key_env,
        )
        self.model, self.transfer, self.folder = model, transfer, folder
        self.expected: str | None = None
        """The version that the server has to name; None before it is known."""

    def weights(self) -> str:
        """Return a name of the weights drawn from: that of the server's model and its version."""
        return f"{super().weights()}, version {self._version()}"

    def draw(
        self,
        prompts: Sequence[Prompt],
        n: int,
        how: Sampling,
        *,
        tell: Callable[[Rollout], None] = lambda rollout: None,
    ) -> list[Rollout]:
        """Draw as `Server` does; raises RunError too where other weights are there before or after it."""
        self._require(self._version(), "before drawing")
        rollouts = super().draw(prompts, n, how, tell=tell)
        self._require(self._version(), "after drawing")
        return rollouts

    def sync(self, version: int) -> None:
        """Have the server draw from the present weights of the policy, which have seen so many optimizer steps.

        All ranks call it, and the first one sends. Raises ConfigError for weights that are spread over ranks, and
        RunError, on all ranks, where the server does not name this version afterwards.
        """
        require_whole(self.model)
        trouble = self._sent(version) if ranks.main() else ""
        if trouble := ranks.broadcast(trouble):
            raise RunError(trouble)
        self.version, self.expected = version, str(version)

    def _sent(self, version: int) -> str:
        """Send the weights; gives what went wrong."""
        try:
            with self._written(version) as folder, self._paused():
                self._handed_over(folder, str(version))
            if (named := self._version()) != str(version):
                return (
                    f"{self.endpoint.url} names version {named} of its weights after it was given version {version}: "
                    "another training may use this server"
                )
        except (AlignlabError, OSError) as error:
            return f"the weights of step {version} did not arrive: {error}"
        return ""

    @contextmanager
    def _written(self, version: int) -> Iterator[Path]:
        """The policy as a plain Hugging Face folder, which is removed when the server has read it."""
        if self.folder is not None:
            Path(self.folder).expanduser().mkdir(parents=True, exist_ok=True)
        place = Path(tempfile.mkdtemp(prefix=f"weights-{version}-", dir=self.folder)).absolute()
        place.chmod(0o755)  # the server may be another user's
        try:
            plain = merge(copy.deepcopy(self.model)) if has_adapter(self.model) else self.model
            plain.save_pretrained(place, safe_serialization=True)
            for file in place.glob("*.safetensors"):
                file.chmod(0o644)
            yield place
        finally:
            shutil.rmtree(place, ignore_errors=True)

    @contextmanager
    def _paused(self) -> Iterator[None]:
        """Have the server draw nothing meanwhile; what is under way ends first."""
        self.endpoint.post("/pause?mode=wait", {})
        try:
            yield
        except BaseException:
            with suppress(RunError):  # the first error is told
                self.endpoint.post("/resume", {})
            raise
        self.endpoint.post("/resume", {})

    def _handed_over(self, folder: Path, version: str) -> None:
        post = self.endpoint.post
        if self.transfer == "reload":
            post("/collective_rpc", {"method": "reload_weights", "kwargs": {"weights_path": str(folder)}})
            post("/reset_prefix_cache", {})
            post("/update_weight_version", {"new_version": version})
            return
        post("/init_weight_transfer_engine", {"init_info": {}})
        post("/start_weight_update", {})
        post("/update_weights", {"update_info": {"path": str(folder)}})
        post("/finish_weight_update", {"weight_version": version})

    def _version(self) -> str:
        answer = self.endpoint.get("/weight_info")
        version = answer.get("weight_version") if isinstance(answer, dict) else None
        if not isinstance(version, str):
            raise RunError(f"{self.endpoint.url}/weight_info names no weight_version")
        return version

    def _require(self, named: str, when: str) -> None:
        """Raise RunError where the server names another version; the first one that it names is taken as it is."""
        if self.expected is None:
            self.expected = named
        if named != self.expected:
            raise RunError(
                f"{self.endpoint.url} has version {named} of its weights {when}, and version {self.expected} was to be "
                "drawn from: another training may use this server"
            )

    def _require_version(self, answer: Any) -> None:
        if (named := answer.get("weight_version")) is not None:
            self._require(str(named), "while drawing")
