"""Worker processes: what they are asked, what they answer, and that none outlives the process that started it."""

import os
import signal
import subprocess
import sys
import textwrap
import time

import psutil
import pytest

from vla_course.envs.processes import RemoteTraceback, WorkerDied, Workers

SLOW = """
    import os, sys, time
    from vla_course.envs.processes import Workers, sigterm_exits

    with sigterm_exits(), Workers(2) as workers:
        print(*{workers.ask(time.sleep, 0.2) and workers.ask(os.getpid).result() for _ in range(6)}, flush=True)
        workers.ask(time.sleep, 60).result()
"""


def divided(by: int) -> float:
    return 1 / by


def unsendable() -> object:
    return lambda: None


def end(code: int) -> None:
    os._exit(code)


def gone(pids: list[int], within_s: float = 20.0) -> bool:
    """Whether these processes end in time."""
    processes = [psutil.Process(pid) for pid in pids if psutil.pid_exists(pid)]
    return not psutil.wait_procs(processes, within_s)[1]


def test_work_is_done_in_other_processes_and_errors_say_where():
    with Workers(2) as workers:
        pids = {workers.ask(os.getpid).result() for _ in range(4)}
        assert len(pids) <= 2 and os.getpid() not in pids
        assert [workers.ask(divided, by).result() for by in (1, 2)] == [1, 0.5]
        with pytest.raises(ZeroDivisionError) as found:
            workers.ask(divided, 0).result()
        assert isinstance(found.value.__cause__, RemoteTraceback) and "in divided" in str(
            found.value.__cause__
        )
        with pytest.raises(RuntimeError, match="a worker's answer cannot be sent"):
            workers.ask(unsendable).result()
        assert workers.ask(divided, 4).result() == 0.25, "an error ends no worker"
    assert gone(list(pids))


def test_a_dead_worker_is_one_error():
    with Workers(1) as workers, pytest.raises(WorkerDied, match=r"exit code 7\).* use fewer workers"):
        workers.ask(end, 7).result()


def test_an_error_ends_workers_that_are_busy():
    began = time.monotonic()
    with pytest.raises(KeyError), Workers(1) as workers:
        assert workers.ask(divided, 1).result() == 1
        workers.ask(time.sleep, 60)
        raise KeyError
    assert time.monotonic() - began < 30


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_workers_end_with_their_parent(number, tmp_path):
    script = tmp_path / "slow.py"
    script.write_text(textwrap.dedent(SLOW))
    process = subprocess.Popen(
        [sys.executable, str(script)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    pids = [int(word) for word in process.stdout.readline().split()]
    assert pids
    process.send_signal(number)
    assert process.wait(20) == (-9 if number == signal.SIGKILL else 143) and gone(pids)
    if number == signal.SIGTERM:
        assert process.communicate()[1] == "", "no warning of anything that was left behind"


def test_collect_leaves_no_process_behind(tmp_path):
    """As `kill` sends it, in the middle of its episodes."""
    words = ["collect", "--env", "FoldTowel-v0", "--out", str(tmp_path / "set"), "workers=2", "image_size=16"]
    command = [
        sys.executable,
        "-c",
        f"import sys; from vla_course.cli.main import main; sys.exit(main({words}))",
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    workers: list[int] = []
    until = time.monotonic() + 60
    while len(workers) < 3 and time.monotonic() < until:  # two, and Python's resource tracker
        workers = [child.pid for child in psutil.Process(process.pid).children()]
        time.sleep(0.1)
    process.terminate()
    assert len(workers) == 3 and process.wait(20) == 143 and gone(workers)
