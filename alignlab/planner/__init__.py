"""The planner forecasts the memory of a run before it runs."""
