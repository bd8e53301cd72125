"""Policies: how responses get their log-likelihood."""
