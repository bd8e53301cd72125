"""Who says which response is better: judges of lists, for loops, for evaluation and for data sets."""
