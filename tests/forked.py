"""Processes forked from one that has imported everything and trained nothing: imports take longer than a small run."""

import multiprocessing

context = multiprocessing.get_context("forkserver")
context.set_forkserver_preload(
    [
        "alignlab.launch.cli",
        "alignlab.training.stage",
        "transformers.models.llama.modeling_llama",
        "tests.end_to_end.command",
        "tests.training.small",
        "tests.training.strategies.group",
    ]
)
