"""Sources: one file a dataset, one function from its row to an `Example`."""
