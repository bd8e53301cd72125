"""`alignlab plan`: what it prints of a run that nobody could start here."""

import pytest

from alignlab.program import main
from alignlab.verbs import plan

SMALL = ("shape=smollm2-135m", "prompt=64", "response=32")


@pytest.fixture
def told(capsys):
    def told(*arguments):
        main(["plan", *SMALL, *arguments])
        return " ".join(capsys.readouterr().out.split())

    return told


def test_a_run_on_one_gpu(told, monkeypatch):
    monkeypatch.setattr(plan, "knobs", lambda *given: [("trainer.gradient_checkpointing=true", given[-1])])
    text = told("data.microbatch_tokens=1024")
    assert "smollm2-135m: 0.135 B parameters single on 1 GPU, bf16-mixed, activations kept" in text
    assert (
        "micro-batches of 8 lists: 2 responses of 32 tokens to a prompt of 64, each prompt once: 1,024"
        in text
    )
    assert "│ optimizer states │ 1.00 │" in text
    assert "bfloat16 copies of weights (autocast)" in text
    assert "│ 40 GB │ fits," in text
    assert "│ trainer.gradient_checkpointing=true │" in text


def test_a_live_reference_under_fsdp2(told):
    text = told(
        "responses=4",
        "advice=false",
        "strategy=fsdp2",
        "trainer.devices=8",
        "trainer.num_nodes=2",
        "reference=live",
    )
    assert "fsdp2 on 16 GPUs" in text
    assert "objective dpo, reference live" in text
    assert "layers put together, and their gradients" in text
    assert "weights of the reference" in text
    assert "what brings it down" not in text
    assert "reference pass" not in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("shape=llama-9b",), "error: .*shape=llama-9b: did you mean"),
        (("strategy=fdsp2",), "error: .*fsdp2"),
        (("data.nonsense=1",), r"error: .*data\.nonsense"),
    ],
)
def test_errors_are_messages(arguments, message):
    with pytest.raises(SystemExit, match=message):
        main(["plan", *SMALL, *arguments])


def test_counts_are_counts():
    with pytest.raises(SystemExit, match="responses=0: expected a whole number from 1 to 1000"):
        main(["plan", *SMALL, "responses=0"])
