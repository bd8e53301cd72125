"""Lists drawn from the policy as it trains: drawn, judged, built, written ahead, and handed on as batches."""
