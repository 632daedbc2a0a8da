"""beartype as every test run uses it: an int is a fine float, as it is for mypy and for a learner."""

from beartype import BeartypeConf, beartype

checker = beartype(conf=BeartypeConf(is_pep484_tower=True))
