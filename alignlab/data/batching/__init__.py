"""Batching collates tokenized rows into micro-batches."""
