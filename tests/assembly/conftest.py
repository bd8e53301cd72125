"""What the attacks on the check share."""

import pytest
from jaxtyping import config


@pytest.fixture(scope="module")
def untyped():
    """No type checks of every call, which take most of the time of thousands of checks of configs."""
    config.update("jaxtyping_disable", True)
    yield
    config.update("jaxtyping_disable", False)
