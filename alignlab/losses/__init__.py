"""The losses of papers: pure functions on tensors."""
