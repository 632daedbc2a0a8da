"""From zero-shot OpenVLA to a policy improved by reinforcement learning, one day at a time."""

from vla_course.envs.registration import register_environments

__version__ = "0.1.0"

# Gymnasium stopped loading plug-ins by itself at 1.0, so importing the package is what makes the names known.
register_environments()
