"""Policies: models that give the signals of responses, such as their log-likelihood."""
