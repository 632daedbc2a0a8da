"""The learner's function as a check calls it: each call is watched, limited in time, and must leave its input alone."""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import update_wrapper
from typing import Any

from vla_course.checks import snapshot
from vla_course.checks.claims import Claim, first_wrong, show, show_short
from vla_course.checks.feedback import CheckFailed, CodeFailed, message
from vla_course.checks.kinds import kind_problem
from vla_course.checks.time_limit import TookTooLong, time_limit

LIMIT_S = 10.0
"""How long one call may take. Exercises take milliseconds; a slow loop of a right answer takes a third of a second."""


@dataclass(frozen=True)
class Rules:
    """What holds for every call of one exercise's function.

    `returns` is an example of what it returns, whose kind each result must have (shapes do not matter; a list of one item
    says what every item is). `may_change` names parameters that it may change, `self` among them. `draws_from` names the
    source of chance that it must use ("`rng`"), so that using a global generator is a mistake.
    """

    returns: Any = None
    may_change: tuple[str, ...] = ()
    draws_from: str = ""


NO_RULES = Rules()
"""A call must still end, and leave its input as it was."""


@dataclass
class Call:
    """One call as it is printed, and what it returned."""

    text: str
    result: Any = None
    returned: bool = False


@dataclass
class Watched:
    """The learner's function or method, with every call of it in order."""

    function: Callable[..., Any]
    name: str
    rules: Rules = NO_RULES
    calls: list[Call] = field(default_factory=list)

    def __post_init__(self) -> None:
        update_wrapper(self, self.function)

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        """As a method of a class: `self` goes first, as for a plain function."""
        return self if instance is None else lambda *args, **kwargs: self(instance, *args, **kwargs)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call it, and refuse a result of the wrong kind, changed input, and a global generator."""
        call = Call(self._text(args, kwargs))
        self.calls.append(call)
        given = self._given(args, kwargs)
        before = snapshot.copied(given)
        generators = snapshot.global_generators() if self.rules.draws_from else {}
        try:
            call.result = self._within_limit(call, args, kwargs)
            call.returned = True
            self._refuse_kind(call)
            self._refuse_changes(call, given, before)
            self._refuse_global_generators(call, generators)
        except BaseException:
            snapshot.restore(
                given, before
            )  # they may be constants of the day: the next run must find them as they were
            raise
        return call.result

    def _within_limit(self, call: Call, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        try:
            with time_limit(LIMIT_S):
                return self.function(*args, **kwargs)
        except TookTooLong:
            raise CodeFailed(self._endless(call)) from None

    def _text(self, args: Sequence[Any], kwargs: dict[str, Any]) -> str:
        mine = args[1:] if "." in self.name else args
        shown = [show_short(value) for value in mine]
        shown += [f"{key}={show_short(value)}" for key, value in kwargs.items()]
        return f"{self.name}({', '.join(shown)})"

    def _given(self, args: Sequence[Any], kwargs: dict[str, Any]) -> dict[str, Any]:
        """What it is given, by the names that its own signature has."""
        try:
            given = dict(inspect.signature(self.function).bind(*args, **kwargs).arguments)
        except (TypeError, ValueError):  # a wrong signature: the call itself says so
            given = {f"argument {place}": value for place, value in enumerate(args, start=1)} | kwargs
        if "." in self.name and args and given:  # whatever the learner calls `self`
            given = {"self" if value is args[0] else name: value for name, value in given.items()}
        return {name: value for name, value in given.items() if name not in self.rules.may_change}

    def _endless(self, call: Call) -> str:
        return message(
            f"your {self.name} did not end within {LIMIT_S:g} s, so it was interrupted",
            [
                ("call", call.text),
                (
                    "hint",
                    "is there a loop that never ends? Print what its condition depends on, once a round",
                ),
            ],
        )

    def _refuse_kind(self, call: Call) -> None:
        problem = (
            None
            if self.rules.returns is None
            else kind_problem(call.result, self.rules.returns, shapes=False)
        )
        if problem:
            rows = [("call", call.text), ("got", show(call.result)), ("hint", problem)]
            raise CheckFailed(message("what it returns is of the right kind", rows))

    def _refuse_changes(self, call: Call, given: dict[str, Any], before: dict[str, Any]) -> None:
        for name, value in given.items():
            found = snapshot.changes(name, value, before[name])
            if found:
                what, how = found
                hint = (
                    f"`{what}` is changed in place: {how}. Whoever called still needs it as it was, so compute a new value, "
                    "or work on a copy"
                )
                rows = [("call", call.text), ("hint", hint)]
                raise CheckFailed(message("a call leaves what it is given as it was", rows))

    def _refuse_global_generators(self, call: Call, before: dict[str, Any]) -> None:
        source, name = self.rules.draws_from, snapshot.drawn_from(before)
        if name:
            hint = (
                f"a generator was used that all code shares, {name}: what else is drawn or seeded there would change your "
                f"result. Draw from {source} and from no other source of chance"
            )
            raise CheckFailed(message(f"chance comes from {source}", [("call", call.text), ("hint", hint)]))


def watch_class(cls: type, method: str, watched: Watched) -> type:
    """A class like the learner's, each call of whose method is watched."""
    return type(cls.__name__, (cls,), {method: watched, "__doc__": cls.__doc__})


def last_call(function: Any) -> str:
    """The last call of a watched function, or of a class's watched method, as it is printed.

    For a claim that comes after other calls: `call = last_call(f)` right after the call, then `Claim(…, call=call)`.
    """
    candidates = vars(function).values() if inspect.isclass(function) else [function]
    watched = next((found for found in candidates if isinstance(found, Watched)), None)
    return watched.calls[-1].text if watched and watched.calls else ""


def judged_call(claim: Claim, calls: Sequence[Call]) -> str:
    """The call to print with a claim: the one that gave the value it judges."""
    if claim.call or not calls:
        return claim.call
    for value in (first_wrong(claim.got, claim.expected, claim.tolerance), claim.got):
        # Python keeps one object for True, so finding that object again says nothing.
        if value is not None and not isinstance(value, bool):
            for call in reversed(calls):
                if call.returned and call.result is value:
                    return call.text
    return calls[-1].text
