"""The checker of types at run time: whole numbers are numbers, as annotations mean it (PEP 484)."""

from beartype import BeartypeConf, beartype

checked = beartype(conf=BeartypeConf(is_pep484_tower=True))
