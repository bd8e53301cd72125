"""The program `alignlab <verb> key=value ...`: finds the verb, prints help, and tells errors in one message."""

import os
import sys
import traceback
from collections.abc import Sequence
from importlib import import_module
from inspect import cleandoc
from io import TextIOWrapper
from pathlib import Path

from alignlab.errors import AlignlabError, ConfigError, OwnCodeError, nearest
from alignlab.places import PACKAGE

VERBS = {
    "train": "one run, from preference data to an aligned model; every other verb takes up what it leaves",
    "sweep": "many runs: a grid, a kept sweep of sweeps/, or a study",
    "inspect": "the lists of a data set as the model will see them",
    "objectives": "every loss, regularizer and modifier: formula, hyper-parameters, a picture",
    "plan": "the memory that a run would take on each GPU",
    "score": "implicit rewards, or scores, and accuracy of a trained policy on any data",
    "evaluate": "a model against a suite of tests: RewardBench, order sensitivity, context reversal, ...",
    "annotate": "what judges say of a data set, as rows that train",
    "generate": "answers of a model to the prompts of a data set, with their tokens and log-probabilities",
    "serve": "a model over HTTP: scores of responses, or responses with their log-probabilities",
    "chat": "a conversation with a model in the terminal",
    "analyze": "one question to a trained policy, answered by a table and a picture",
    "report": "a page about a run or about many: means over seeds, tests, plots",
    "export": "a checkpoint as a plain Hugging Face folder",
    "extrapolate": "models beyond the trained one, in the direction that training took (ExPO)",
    "rerun": "a finished run once more, from its manifest alone",
    "submit": "runs as jobs of a SLURM cluster, and how they stand",
    "claims": "do the claims of papers hold here: the ledger of docs/claims.md",
}
HELP = ("-h", "--help", "help")


def command() -> None:
    """The console program: the code of the checkout that its user stands in does the work, if that is another."""
    if (checkout := _checkout_around(Path.cwd())) is not None:
        program = str(checkout / "alignlab" / "__main__.py")
        os.execv(sys.executable, [sys.executable, "-P", program, *sys.argv[1:]])
    main(sys.argv[1:])


def main(words: Sequence[str]) -> None:
    """Run a verb with the words behind it; an error of alignlab ends the process with one message."""
    _legible()
    if not words or words[0] in HELP:
        print(overview())
        return
    try:
        verb, rest = _verb(words[0]), list(words[1:])
        module = import_module(f"alignlab.verbs.{verb}")
        if any(word in HELP[:2] for word in rest):
            print(module.usage() if hasattr(module, "usage") else cleandoc(module.__doc__ or ""))
            return
        code = module.run(rest)
    except AlignlabError as error:
        sys.stdout.flush()
        if isinstance(error, OwnCodeError) and os.environ.get("HYDRA_FULL_ERROR") == "1":
            traceback.print_exception(error.__cause__)
        sys.exit(f"error: {error}")
    except OSError as error:
        if error.filename is None:
            raise
        sys.stdout.flush()
        sys.exit(f"error: {error.filename}: {error.strerror}")
    if code:
        sys.exit(code)


def overview() -> str:
    """The help of the program: every verb with what it is for."""
    lines = "\n".join(f"  {verb:<12} {what}" for verb, what in VERBS.items())
    return (
        "alignlab <verb> key=value ...     preference alignment of language models\n\n"
        f"{lines}\n\n"
        "A run folder is run=FOLDER, several are runs=[a,b], what is written goes to out=PLACE.\n"
        "alignlab <verb> --help tells more; `python train.py ...` is `alignlab train ...`."
    )


def _legible() -> None:
    """Let standard output and error write what their encoding lacks as escapes, in place of failing."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _verb(word: str) -> str:
    if word in VERBS:
        return word
    if "=" in word or word.startswith("-"):
        raise ConfigError(f"'{word}' is no verb; to train: alignlab train {word} ...")
    raise ConfigError(f"there is no verb '{word}': {nearest(word, VERBS)} (of: {', '.join(VERBS)})")


def _checkout_around(folder: Path) -> Path | None:
    """The checkout that a folder lies in, where that is another one than the code that runs."""
    for place in (folder, *folder.parents):
        if (place / "alignlab" / "program.py").is_file() and (place / "conf" / "train.yaml").is_file():
            return None if (place / "alignlab").samefile(PACKAGE) else place
    return None
