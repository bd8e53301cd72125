"""`python -m alignlab <verb> key=value ...`; started by its path, it runs the code that lies around it."""

import sys

if not __package__:  # `python -P .../alignlab/__main__.py`, as ranks and jobs of a cluster are started
    from os.path import abspath, dirname  # pathlib would import alignlab/types.py, where -P is left out

    sys.path.insert(0, dirname(dirname(abspath(__file__))))  # noqa: PTH100, PTH120

from alignlab.program import command, main

if __name__ == "__main__":
    if __package__:
        command()
    else:
        main(sys.argv[1:])
