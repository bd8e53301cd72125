"""Responses drawn from a policy: one sampler for evaluation, the command line, and whoever trains on samples."""
