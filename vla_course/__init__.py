"""From zero-shot OpenVLA to a policy improved by reinforcement learning, one day at a time."""

import logging

from vla_course.envs.registration import register_environments

__version__ = "0.1.0"

# Gymnasium stopped loading plug-ins by itself at 1.0, so importing the package is what makes the names known.
register_environments()

# Imported on a CPU with AVX-512 in bf16, bitsandbytes (peft imports it) asks for a package of faster 4-bit kernels and warns where
# there is none. No matter: on a CPU the course never takes the way they would make faster (openvla.checkpoint.never_repack).
logging.getLogger("bitsandbytes.backends.cpu.ops").addFilter(
    lambda record: not str(record.msg).startswith("Failed to load CPU gemm_4bit_forward")
)
