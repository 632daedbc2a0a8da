"""Every test run checks the shapes and types written in the package's signatures."""

import os
import tempfile

from jaxtyping import install_import_hook

install_import_hook("vla_course", "numeric_beartype.checker")

# Tests never touch the learner's own progress, and one thread each keeps two workers from fighting.
os.environ["VLA_COURSE_HOME"] = tempfile.mkdtemp(prefix="vla_course_tests_")
os.environ.setdefault("MUJOCO_GL", "egl")
for variable in ("OMP_NUM_THREADS", "LP_NUM_THREADS"):
    os.environ.setdefault(variable, "1")
