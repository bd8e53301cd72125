"""`python scripts/analyze.py ...` is `alignlab analyze ...` of this checkout; `--help` tells more."""

import sys
from pathlib import Path

# The code of this checkout, whatever is installed.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from alignlab.program import main

if __name__ == "__main__":
    main(["analyze", *sys.argv[1:]])
