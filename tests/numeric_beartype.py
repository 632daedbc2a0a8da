"""beartype as every test run uses it: an int is a fine float, as it is for mypy and for a learner."""

import random
from unittest import mock

# It looks at a random item of a list, and keeps `getrandbits` from when it is imported: not the generator that all code
# shares, whose state the checks compare.
with mock.patch.object(random, "getrandbits", random.Random().getrandbits):
    from beartype import BeartypeConf, beartype

checker = beartype(conf=BeartypeConf(is_pep484_tower=True))
