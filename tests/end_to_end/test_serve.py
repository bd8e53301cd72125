"""`alignlab serve` as a process: it answers, and a signal ends it when what is under way has ended."""

import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

pytest.importorskip("fastapi", reason="needs the extra `serve`")

from alignlab.http_json import Endpoint
from tests.repository import ROOT
from tests.verbs.small_run import make_run


@pytest.mark.slow
def test_a_served_model_answers_until_it_is_told_to_end(tmp_path):
    run = make_run(tmp_path / "run")
    words = [sys.executable, "-m", "alignlab", "serve", f"run={run}", "port=0"]
    with subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            url = process.stdout.readline().split(" at ")[1].split(" ")[0]
            endpoint = Endpoint(url, timeout=60, retries=6)
            assert endpoint.get("/health") == {"status": "ok"}
            body = {"prompt": [1, 5], "max_tokens": 64, "n": 200}
            with ThreadPoolExecutor(1) as pool:
                answer = pool.submit(endpoint.post, "/v1/completions", body)
                time.sleep(0.2)
                process.send_signal(signal.SIGTERM)
                assert len(answer.result()["choices"]) == 200
            assert process.wait(30) in (0, -signal.SIGTERM)
        finally:
            process.kill()
