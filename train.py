"""Train: `python train.py objective=dpo data=lab key=value ...` (see README.md) is `alignlab train ...`."""

import sys

from alignlab.program import main

if __name__ == "__main__":
    main(["train", *sys.argv[1:]])
