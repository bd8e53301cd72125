"""A causal language model as a policy: exact log-probabilities of the responses of a batch."""

from collections.abc import Collection
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from alignlab.errors import RunError
from alignlab.policies.head import head_of, token_scores
from alignlab.policies.padded import unpack
from alignlab.types import Batch, Scores


class CausalLM(nn.Module):
    """Scores packed batches with a transformers causal LM. Dropout is off: a score is a fact.

    The decoder runs on padded rows (prompt + response); the head runs at response positions only,
    in chunks. Raises RunError on construction if the head at positions does not reproduce the
    model's own logits.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model
        disable_dropout(model)
        verify_head(model)

    @property
    def vocabulary(self) -> int:
        """Rows of the output head."""
        return self.model.get_output_embeddings().weight.shape[0]

    def hidden(self, batch: Batch) -> Float[Tensor, "R D"]:
        """Final hidden states at the positions that predict the response tokens.

        No attention mask: the padding is on the right, where a causal model never looks, and rows
        that attend to nothing (padding beyond a sliding window) would be undefined.
        """
        rows = unpack(batch)
        output = self.model.base_model(input_ids=rows.tokens, use_cache=False)
        return output.last_hidden_state.flatten(0, 1)[rows.source]

    def forward(
        self, batch: Batch, *, reference: "CausalLM | None" = None, divergences: Collection[str] = ()
    ) -> Scores:
        """Log-probabilities of every response, also under a live `reference`, and divergences from it."""
        against = None
        if reference is not None:
            with torch.no_grad():
                against = (reference.hidden(batch), head_of(reference.model))
        tokens = token_scores(
            self.hidden(batch),
            batch.tokens[batch.is_response],
            head_of(self.model),
            vocabulary=self.vocabulary,
            reference=against,
            divergences=divergences,
        )
        sums = {name: per_response(values, batch) for name, values in tokens.items()}
        ones = torch.ones_like(tokens["logps"], requires_grad=False)
        return Scores(token_logps=tokens["logps"], lengths=per_response(ones, batch), **sums)


def per_response(values: Float[Tensor, "R"], batch: Batch) -> Float[Tensor, "B K"]:
    """Sum token values over each response; 0 in the slots that a list leaves empty."""
    lengths_N = torch.bincount(batch.row[batch.is_response], minlength=int(batch.slot.max()) + 1)
    sums_N = torch.segment_reduce(values, "sum", lengths=lengths_N)
    return torch.cat([sums_N, sums_N.new_zeros(1)])[batch.slot]


def disable_dropout(model: nn.Module) -> None:
    """Set every dropout probability to 0; `train()` may then be called without changing a score."""
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        for name, value in vars(module).items():
            if "drop" in name and isinstance(value, float):  # layerdrop too
                setattr(module, name, 0.0)


@torch.no_grad()
def verify_head(model: Any) -> None:
    """Compare logits from hidden states with the model's own, on a few tokens."""
    device = next(model.parameters()).device
    tokens = torch.arange(1, 5, device=device)[None, :] % model.config.get_text_config().vocab_size
    whole = model(input_ids=tokens, use_cache=False).logits
    hidden = model.base_model(input_ids=tokens, use_cache=False).last_hidden_state
    gap = (head_of(model)(hidden) - whole).abs().max().item()
    if gap > 1e-3 * max(1.0, whole.abs().max().item()):
        raise RunError(
            f"{type(model).__name__}: its head cannot be run at response positions alone (logits differ by {gap:.2g}); "
            "choose a model whose logits are a function of the final hidden state"
        )
