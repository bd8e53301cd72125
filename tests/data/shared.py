"""Real data, which lies outside the repository: `$ALIGNLAB_SHARED/data`, else `<repository>/../shared/data`."""

import os
from pathlib import Path

import pytest

DATA = Path(os.environ.get("ALIGNLAB_SHARED") or Path(__file__).parents[3] / "shared") / "data"
STORIES = DATA / "models/stories260k"
needs_data = pytest.mark.skipif(
    not DATA.is_dir(), reason=f"no {DATA}: set ALIGNLAB_SHARED to the folder that holds data/"
)
