"""Pipeline steps: one file for each step, one function that changes, drops or orders examples."""
