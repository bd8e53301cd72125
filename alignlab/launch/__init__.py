"""From a command to runs: one, a sweep, a study, jobs of a cluster."""
