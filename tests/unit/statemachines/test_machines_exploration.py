"""The exploration finds nothing in the real machines, and finds every invariant broken once.

Each invariant is broken by a changed table or rule; the story of how is short and can be read.
"""

from __future__ import annotations

import runpy
import sys

import attrs
import pytest

from statemachines import (
    batch,
    diagrams,
    environment,
    exploration,
    host,
    operation,
    repository,
    session,
    target,
)
from statemachines.encoding import Move, Step
from statemachines.environment import FAIR, AgentRules
from statemachines.exploration import explore
from statemachines.operation import OperatorRules
from statemachines.table import Arc
from statemachines.world import (
    JOB,
    PARALLEL,
    SEQUENTIAL,
    SIDECAR,
    Config,
    Session,
    Target,
    is_unfinished,
)

ONE_SIDECAR = Config(PARALLEL, (SIDECAR,))
ONE_JOB = Config(PARALLEL, (JOB,))
TWO_JOBS = Config(PARALLEL, (JOB, JOB))
MIXED = Config(PARALLEL, (SIDECAR, JOB))
IN_TURN = Config(SEQUENTIAL, (JOB, SIDECAR))
HOOKED_SIDECAR = Config(PARALLEL, (SIDECAR,), hooks=True)
HOOKED_JOB = Config(PARALLEL, (JOB,), hooks=True)


def guarded(table, **changes):
    """``table`` with other guards in place of those with these names."""
    arcs = (attrs.evolve(a, guard=changes.get(a.guard.__name__, a.guard)) for a in table.arcs)
    return attrs.evolve(table, arcs=tuple(arcs))


def intending(table, name, intents):
    """``table`` with other intents for one state."""
    states = (attrs.evolve(s, intents=intents) if s.name == name else s for s in table.states)
    return attrs.evolve(table, states=tuple(states))


def always(world):
    """Whatever the world says."""
    return True


def a_target_failed_already(world):
    """Some target has failed, whatever the others do."""
    return world.some_target_failed


def it_has_failed(world):
    """A host has failed, whatever its hooks do."""
    return world.some_host_failed if world.all_hosts_reported else world.given_up


def a_runner_is_ready_now(world):
    """A pod stands ready; one that has begun does not count."""
    return world.some_runner_ready


def there_is_no_report(world):
    """The runner is dead or overdue; the deadline does not count."""
    lost = world.runner_dead or (world.runner_overdue and not world.claimed)
    return world.report is host.Report.NONE and lost


EAGER_SESSION = attrs.evolve(
    session.TABLE,
    arcs=(Arc("Pending", always, "Running", "it asks nobody"), *session.TABLE.arcs),
)


def skipped_by_age_alone(frame, number):
    """The rule that of two sessions the older one runs, even if the other one runs already."""
    own, other = frame.sessions[number], frame.sessions[1 - number]
    if frame.batch != "live" or (frame.paused and own.slot):
        return True
    return is_unfinished(other) and (number == 0) == frame.second_is_older


LOCKED_AND_LISTING = (repository.EXCLUSIVE_LOCK, repository.SESSIONS_MAY_BE_LISTED)

MUTATIONS = [
    (
        "a session that asks nobody",
        1,
        "at_most_one_session_runs",
        ONE_JOB,
        {"session": EAGER_SESSION},
    ),
    (
        "a session that yields to an older one alone",
        1,
        "at_most_one_session_runs",
        ONE_JOB,
        {"must_be_skipped": skipped_by_age_alone, "may_be_listed": lambda *_: True},
    ),
    (
        "a session with a random name",
        1,
        "a_slot_makes_one_session",
        ONE_JOB,
        {"name_is_lock": False},
    ),
    (
        "a report that replaces one",
        2,
        "a_final_target_stays",
        ONE_JOB,
        {"may_report": lambda _: True},
    ),
    (
        "a session that fails with its first target",
        2,
        "a_session_is_the_fold_of_its_targets",
        TWO_JOBS,
        {"session": guarded(session.TABLE, a_target_or_a_hook_failed=a_target_failed_already)},
    ),
    (
        "a target that gives up with another one",
        3,
        "a_target_ends_by_its_own_hosts",
        TWO_JOBS,
        {"is_given_up": lambda own, _, targets: any(t.claim == "dead" for t in targets)},
    ),
    (
        "a target that does not wait for its turn",
        3,
        "only_its_turn_holds_a_target_back",
        IN_TURN,
        {"has_its_turn": lambda before, order: True},
    ),
    (
        "a batch that takes sidecars out as soon as they are in",
        4,
        "one_change_makes_one_rollout",
        ONE_SIDECAR,
        {"batch": intending(batch.TABLE, "Scheduled", (batch.NOTHING_LEFT,))},
    ),
    (
        "a batch that does not inject",
        4,
        "sidecars_are_as_wanted",
        ONE_SIDECAR,
        {"batch": intending(batch.TABLE, "Injecting", (batch.CRON_JOB,))},
    ),
    (
        "a session that does not look whether its batch is paused",
        5,
        "nothing_starts_unwanted",
        ONE_JOB,
        {"must_be_skipped": lambda frame, number: frame.sessions[1 - number].listed},
    ),
    (
        "a deleted batch that does not wait for its session",
        5,
        "a_running_session_keeps_its_runners",
        ONE_SIDECAR,
        {"may_be_torn_down": lambda frame: True},
    ),
    (
        "a target that is never given up",
        6,
        "every_session_ends",
        ONE_JOB,
        {"is_given_up": lambda *_: False},
    ),
    (
        "a host without a deadline",
        6,
        "every_session_ends",
        ONE_JOB,
        {"host": guarded(host.TABLE, it_is_given_up=there_is_no_report)},
    ),
    (
        "an agent that always reports success",
        7,
        "a_recovery_point_is_a_good_backup",
        ONE_JOB,
        {"reports": lambda target: "Succeeded"},
    ),
    (
        "a retention that keeps nothing",
        7,
        "retention_keeps_the_last_good_snapshot",
        ONE_JOB,
        {"retention_keeps": lambda target: False},
    ),
    (
        "a repository that lists sessions while it is maintained",
        8,
        "exclusive_work_is_alone",
        ONE_JOB,
        {"repository": intending(repository.TABLE, "Maintaining", LOCKED_AND_LISTING)},
    ),
    (
        "a runner that begins after the deadline",
        8,
        "exclusive_work_is_alone",
        TWO_JOBS,
        {"may_claim": lambda target: target.claim == "none" and target.report == "none"},
    ),
    (
        "a lock that is given back while its Job runs",
        8,
        "a_lock_goes_with_its_owner",
        ONE_JOB,
        {"is_released": lambda frame: frame.job != "none"},
    ),
    (
        "an operator that writes what is so",
        9,
        "nothing_is_written_twice",
        ONE_JOB,
        {"writes_what_is_so": True},
    ),
    (
        "a target that forgets who has begun",
        10,
        "a_lost_status_comes_back",
        ONE_JOB,
        {"target": guarded(target.TABLE, a_runner_is_ready=a_runner_is_ready_now)},
    ),
    (
        "a target that does not wait for the post hook of a dead runner",
        11,
        "a_final_target_owes_no_hook",
        HOOKED_SIDECAR,
        {"target": guarded(target.TABLE, it_failed_or_is_given_up=it_has_failed)},
    ),
    (
        "a session that does not wait for its hooks",
        11,
        "a_final_session_owes_no_hook",
        HOOKED_SIDECAR,
        {"waits_for_hooks": False},
    ),
    (
        "targets that do not wait for the pre hook",
        11,
        "nothing_begins_before_the_pre_hook",
        HOOKED_JOB,
        {"may_begin": lambda _: True},
    ),
    (
        "a post hook that does not wait for the pre hook",
        11,
        "the_post_hook_is_last",
        HOOKED_JOB,
        {"may_thaw": lambda _: True},
    ),
]


def rules(changes):
    agent = {field.name for field in attrs.fields(AgentRules)}
    return {
        "operator": OperatorRules(**{k: v for k, v in changes.items() if k not in agent}),
        "agent": AgentRules(**{k: v for k, v in changes.items() if k in agent}),
    }


@pytest.mark.parametrize(
    ("number", "name", "config", "changes"),
    [case[1:] for case in MUTATIONS],
    ids=[case[0] for case in MUTATIONS],
)
def test_every_invariant_can_be_broken_and_the_story_says_how(number, name, config, changes):
    (trace,) = explore(config, **rules(changes)).violations
    assert trace.invariant.number == number
    assert trace.invariant.holds.__name__ == name
    story = trace.story().splitlines()
    assert story[0] == f"A batch is created: {config}."
    assert story[-1] == f"This breaks {trace.invariant}"
    assert 3 <= len(story) <= 25
    assert all("{" not in line for line in story)


def test_each_of_the_eleven_invariants_is_broken_by_some_mutation():
    assert {case[1] for case in MUTATIONS} == set(range(1, 12))


def test_a_story_is_the_shortest_and_can_be_read():
    (trace,) = explore(ONE_JOB, **rules({"reports": lambda target: "Succeeded"})).violations
    assert f"{trace.story()}\n" == STORY


STORY = """\
A batch is created: Parallel job.
1. The operator makes the CronJob active.
2. A slot fires and creates session 1.
3. The operator lists as active: session 1.
4. The operator writes the status of session 1 (Running).
5. The operator creates the Job of target 1 (job).
6. A runner of target 1 (job) becomes ready.
7. The operator writes the status of session 1 (Running).
8. The runner of target 1 (job) claims its host and begins.
9. The backup of target 1 (job) fails.
10. The runner of target 1 (job) reports Succeeded.
This breaks invariant 7 (recovery points): A recovery point is the snapshot of a good backup.
"""


@pytest.mark.parametrize("config", [ONE_SIDECAR, ONE_JOB, MIXED, IN_TURN, HOOKED_SIDECAR], ids=str)
def test_nothing_is_broken_in_any_order_of_up_to_two_faults(config):
    result = explore(config)
    assert result.violations == ()
    assert result.transitions > result.states > 1000


@pytest.mark.parametrize("config", [ONE_SIDECAR, ONE_JOB, HOOKED_JOB], ids=str)
def test_what_is_tidied_away_hides_nothing(config):
    tidy, untidy = explore(config), explore(config, tidy=False)
    assert untidy.violations == ()
    assert untidy.states > tidy.states


def test_an_exploration_is_the_same_every_time():
    assert explore(ONE_JOB) == explore(ONE_JOB)


def test_without_faults_a_session_just_succeeds():
    result = explore(Config(PARALLEL, (SIDECAR, JOB), faults=0))
    assert result.violations == ()
    assert result.states < 1000


def test_every_mix_of_up_to_three_targets_is_explored():
    configs = [config for config in exploration.configurations() if not config.hooks]
    parallel = [config.kinds for config in configs if config.order == PARALLEL]
    sequential = [config.kinds for config in configs if config.order == SEQUENTIAL]
    assert len(parallel) == len(set(parallel)) == 2 + 3 + 4
    assert len(sequential) == len(set(sequential)) == 2 + 4 + 8
    assert {config.faults for config in configs} == {2}


def test_the_command_prints_a_table_of_all_configurations(monkeypatch, capsys):
    monkeypatch.setattr(exploration, "configurations", lambda most: (ONE_JOB,) * most)
    assert exploration.main(["1"]) == 0
    head, line, total = capsys.readouterr().out.splitlines()
    assert head.split() == ["configuration", "states", "transitions", "violations"]
    assert line.startswith("Parallel job ")
    assert line.endswith("none")
    assert total.split()[-3:] == line.split()[-3:]


def test_the_command_tells_the_story_of_a_violation(monkeypatch, capsys):
    def broken(config):
        return explore(config, **rules({"writes_what_is_so": True}))

    monkeypatch.setattr(exploration, "configurations", lambda most: (ONE_JOB,) * most)
    monkeypatch.setattr(exploration, "explore", broken)
    assert exploration.main([]) == 1
    assert "This breaks invariant 9 (nothing twice)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("number", "config", "changes"),
    [(case[1], case[3], case[4]) for case in MUTATIONS if len(case[3].kinds) == 1],
    ids=[case[0] for case in MUTATIONS if len(case[3].kinds) == 1],
)
def test_what_is_tidied_away_is_not_what_shows_a_violation(number, config, changes):
    (trace,) = explore(config, **rules(changes), tidy=False).violations
    assert trace.invariant.number == number


class Pendulum:
    """A space of two states, each of which leads to the other one for ever."""

    config = ONE_JOB

    def start(self):
        return (0,)

    def canonical(self, state):
        return state

    def steps(self, state, faults=0):
        other = (1 - state[0],)
        return [Step(Move("it swings", FAIR), other, other, None)]

    def tell(self, state, step):
        return step.move.story


def test_what_never_comes_to_rest_is_a_violation():
    trace = exploration._Search(Pendulum()).run()
    assert trace.invariant.number == 6
    assert trace.steps == ("the same things happen again for ever",)


def test_a_session_that_waits_has_nothing_to_rebuild():
    seen = operation.SessionSeen(
        number=0,
        order=PARALLEL,
        own=Session("Pending", slot=1),
        owns_targets=False,
        targets_are_free=True,
        must_be_skipped=False,
        pre="off",
        post="off",
    )
    targets = (operation.see_target(Target(JOB)),)
    assert operation.rebuild(OperatorRules(), seen, targets) == ("Pending", targets)


def test_a_move_that_is_no_business_of_a_target_leaves_it_the_same():
    assert environment.same(Target(JOB)) == Target(JOB)


def test_the_commands_can_be_run_as_modules(monkeypatch, capsys):
    for module, arguments, said in ((exploration, ["1"], "none"), (diagrams, [], "## Batch")):
        monkeypatch.setattr(sys, "argv", [module.__file__, *arguments])
        with pytest.raises(SystemExit) as caught:
            runpy.run_path(module.__file__, run_name="__main__")
        assert caught.value.code == 0
        assert said in capsys.readouterr().out
