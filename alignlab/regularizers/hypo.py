"""Reverse divergence from the reference on fresh samples of the policy."""

from jaxtyping import Float
from torch import Tensor

from alignlab.errors import one_of


def hypo(
    sample_logps: Float[Tensor, "B M"], sample_ref_logps: Float[Tensor, "B M"], *, baseline: str = "none"
) -> Float[Tensor, "B"]:
    """HyPO's online term, arXiv:2406.01462: KL(policy || reference), by its score function.

    Mean over the samples of a prompt of logp * (r - baseline), r = logp - ref_logp, with no gradient
    through the bracket.

    The gradient is that of the reverse KL; the value means nothing (`kl` with `responses=samples`
    measures). Samples must be fresh: of the policy as it is, not of an earlier one. `recipe=online online.lists=data`
    draws them at each step, beside the lists of the data. The `baseline` rloo is the mean log-ratio of the prompt's
    other samples, which makes the gradient less noisy; a lone sample has no others and keeps its r.

    >>> import torch
    >>> hypo(torch.tensor([[-18.0, -25.5, -9.0]]), torch.tensor([[-19.0, -25.0, -9.75]]))
    tensor([-4.])
    """
    ratios_BM = (sample_logps - sample_ref_logps).detach()
    if one_of("baseline", baseline, ("none", "rloo")) == "rloo":
        others = max(ratios_BM.shape[1] - 1, 1)
        ratios_BM = ratios_BM - (ratios_BM.sum(dim=1, keepdim=True) - ratios_BM) / others
    return (sample_logps * ratios_BM).mean(dim=1)
