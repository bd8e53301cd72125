"""A trained policy over HTTP: scores of responses, or responses, for programs that ask for them.

alignlab serve run=outputs/bradley_terry-lab/2026-11-21_11-42-54
alignlab serve model=/my/model port=8001 updates=true

    model=FOLDER         the model/ folder of a run, or a Hugging Face folder
    run=FOLDER           the trained model of a run
    host=127.0.0.1       the address to listen at; 0.0.0.0 lets other machines ask, without a password
    port=8000            0 takes any free one
    batch_size=64        so many requests (responses, of a language model) are worked on together
    waiting=1024         so many requests may wait; more are refused (429)
    timeout=60           the seconds that a request may take
    updates=false        true: whoever can ask may change the weights, by the control routes of vLLM
    dtype=float32        or bfloat16, float16
    device=cuda          or cpu, cuda:1, ..; the first GPU, where there is one, unless told otherwise

A model of rewards or preferences answers /v1/score, and /get_reward as OpenRLHF asks it; a language model answers
/v1/completions with token ids. /health tells whether it works. Ctrl-C (or SIGTERM) ends it when what is under way has
ended. Needs: pip install 'alignlab[serve]'.
"""

import logging
from collections.abc import Sequence
from importlib.util import find_spec

from alignlab.errors import ConfigError, RunError
from alignlab.verbs.words import choice, flag, number, path, read, text, whole

log = logging.getLogger(__name__)

KEYS = {
    "model": path(),
    "run": path(),
    "host": text("127.0.0.1"),
    "port": whole(8000, 0, 65_535),
    "batch_size": whole(64),
    "waiting": whole(1024),
    "timeout": number(60.0, positive=True),
    "updates": flag(False),
    "dtype": choice("float32", ("float32", "bfloat16", "float16")),
    "device": text(),
}
HERE = ("127.0.0.1", "localhost", "::1")


def run(words: Sequence[str]) -> None:
    """Serve the model that the words name, until the process is told to end."""
    own = read(words, KEYS).own
    if (own.model is None) == (own.run is None):
        raise ConfigError("which model? Give one of model=FOLDER and run=FOLDER")
    folder = own.model if own.run is None else own.run / "model"
    if not (folder / "config.json").is_file():
        raise ConfigError(f"{folder}: there is no model there (no config.json)")
    if missing := [name for name in ("fastapi", "uvicorn") if find_spec(name) is None]:
        raise ConfigError(f"alignlab serve needs {' and '.join(missing)}: pip install 'alignlab[serve]'")

    from alignlab.console import printer, quiet
    from alignlab.serving.served import application, load_for_serving, server_of

    with quiet():
        loaded = load_for_serving(folder, own.dtype, own.device)
    settings = {"at_once": own.batch_size, "waiting": own.waiting, "timeout": own.timeout}
    app = application(loaded, str(folder), **settings, updates=own.updates)
    if own.host not in HERE:
        printer().print(
            f"host={own.host}: every machine that reaches this one may ask, and nobody is asked for a password"
        )
    server = server_of(app, own.host, own.port, own.timeout)
    printer().print(f"serving {folder} at http://{own.host}:{own.port} (Ctrl-C ends it)", soft_wrap=True)
    server.run()
    if not server.started:
        raise RunError(f"port={own.port} of {own.host} cannot be listened at: choose another one")
