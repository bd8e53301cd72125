"""Sources convert the raw rows of a dataset into examples: one file for each dataset, one function in it."""
