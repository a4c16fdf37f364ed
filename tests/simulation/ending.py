"""How a schedule ends: nothing goes wrong any more, and all comes to rest."""

from tests.simulation.world import World

RESTARTS = 0.5
"""So often everybody recovers once more."""


def end(world: World, restarts: float = RESTARTS) -> None:
    """Let everything drain in peace; with the probability `restarts` all processes start again.

    Otherwise those who never fell are judged by what they have come to.
    """
    world.faults.end()
    if world.faults.chance(restarts):
        world.restart_all()
    else:
        # Whoever held back for its leader's mark looks at it again after a while.
        world.settle()
