"""Control rate of an autoregressive policy."""


def control_rate_hz(prefill_s: float, token_s: float, action_dim: int, chunk: int = 1) -> float:
    """Actions per second of an autoregressive policy.

    Before each plan the policy reads the image and the instruction once (`prefill_s`, in seconds). Then it
    writes one token for every number of every action in the plan, one after the other (`token_s` seconds
    each). A plan holds `chunk` actions of `action_dim` numbers; the robot executes all of them before the
    policy is asked again.

    Raises:
        ValueError: a time is not a positive number, or `action_dim` or `chunk` is below 1.
    """
    if not (prefill_s >= 0 and token_s > 0 and action_dim >= 1 and chunk >= 1):
        raise ValueError(f"want {prefill_s=} >= 0, {token_s=} > 0, {action_dim=} >= 1 and {chunk=} >= 1")
    return chunk / (prefill_s + action_dim * chunk * token_s)
