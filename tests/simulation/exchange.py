"""The whole exchange: gateways and their clients join the shards."""

import random

from tests.simulation.clients import Clients
from tests.simulation.gateway import Gateway
from tests.simulation.load import Traffic, users_of
from tests.simulation.opening import opening
from tests.simulation.sizes import Size
from tests.simulation.world import World

GATEWAYS = 2


def with_clients(world: World, size: Size) -> Clients:
    """Let an exchange be set up, and traders use it through gateways."""
    opening().put_into(world)
    gateways = [Gateway(world) for _ in range(GATEWAYS)]
    symbols = Traffic(random.Random(0)).market_symbols
    users = [user for ledger in size.ledgers for user in users_of(ledger)]
    chosen = world.faults.rng.sample(users, min(size.users, len(users)))
    clients = Clients(world, gateways, [symbols[each] for each in size.matchers], chosen)
    world.members += [*gateways, clients]
    return clients
