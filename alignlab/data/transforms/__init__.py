"""Pipeline steps: one file a step, one function from an `Example` to the examples it becomes."""
