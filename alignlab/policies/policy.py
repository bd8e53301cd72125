"""The policy that trains, by the name that everything outside this room calls it."""

from alignlab.policies.causal_lm.model import CausalLM

Policy = CausalLM
