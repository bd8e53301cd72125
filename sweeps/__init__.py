"""Kept sweeps, one yaml each: `python train.py sweeps=NAME`; shipped as `alignlab.sweeps`."""
