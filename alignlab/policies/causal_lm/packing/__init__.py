"""Packing reads each prompt once for all its responses: layouts, attention, and a test of exactness."""
