"""Batching: from tokenized rows to micro-batches."""
