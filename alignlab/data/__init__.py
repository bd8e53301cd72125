"""Data: source -> pipeline steps -> tokens -> micro-batches."""
