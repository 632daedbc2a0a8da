"""What an expert's worker imports: it never waits for torch."""

import subprocess
import sys

SCRIPT = """
import sys
from functools import partial

from vla_course.evaluation.assembly import make_env, make_policy, settled, trials
from vla_course.evaluation.config import EvaluationConfig
from vla_course.evaluation.workers import crew, play_all

class Spy:
    def __init__(self, policy):
        self.policy, self.reset = policy, policy.reset

    def act(self, observations):
        import multiprocessing
        chunk = self.policy.act(observations)
        inside = multiprocessing.parent_process() is not None
        print(type(self.policy).__name__, inside, {"torch", "transformers"} & {*sys.modules}, flush=True)
        return chunk

if __name__ == "__main__":
    config = settled(EvaluationConfig(policy="expert", test="paraphrase", episodes=1, workers=1))
    with crew(partial(make_env, config), lambda env: Spy(make_policy(config, env)), config.workers) as ask:
        play_all(ask, trials(config), max_steps=1)
    print({"torch", "transformers"} & {*sys.modules})
"""


def test_an_experts_worker_never_loads_torch(tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, tmp_path / "script.py"], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == ["ExpertPolicy True set()", "set()"]
