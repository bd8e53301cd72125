"""A full disk is told as one, whichever library meets it."""

import pytest

from alignlab.launch import run


def test_a_library_in_rust_that_meets_a_full_disk(tmp_path):
    (tmp_path / "file").symlink_to("/dev/full")
    with (
        pytest.raises(Exception, match="No space left") as python,
        (tmp_path / "file").open("wb", 0) as stream,
    ):
        stream.write(b"more")
    rust = RuntimeError("I/O error: No space left on device (os error 28)")
    assert [run.error_number(error) in run.FULL for error in (python.value, rust)] == [True, True]
    assert run.error_number(ValueError("os error 28")) == 0
