"""The machine of an objective: terms, signals in, an outcome out; it knows no loss by name."""
