"""Parts of scripts/bench_engine.py. What runs beside alignlab imports none of it, so that memory is its own."""
