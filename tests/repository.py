"""Where the checkout is, and what lies beside it."""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SHARED = Path(os.environ.get("ALIGNLAB_SHARED") or ROOT.parent / "shared")
"""Real data and a small model that no checkout holds; tests that need them are skipped without."""
