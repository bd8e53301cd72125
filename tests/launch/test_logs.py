"""The log file of a run on a full disk."""

import logging

from alignlab.launch.logs import LogFile


def test_a_full_disk_is_told_once_and_without_a_traceback(capsys):
    log, file = logging.Logger("full"), LogFile("/dev/full")
    log.addHandler(file)
    for _ in range(3):
        log.info("a line")
    file.close()
    assert capsys.readouterr().err == "/dev/full cannot be written: [Errno 28] No space left on device\n"
