"""The whole exchange: gateways and their clients join the shards."""

import random

from tests.simulation.clients import Clients
from tests.simulation.gateway import Gateway
from tests.simulation.load import Traffic
from tests.simulation.opening import opening
from tests.simulation.world import World

GATEWAYS = 2


def with_clients(world: World) -> Clients:
    """Let an exchange be set up, and traders use it through gateways."""
    opening().put_into(world)
    gateways = [Gateway(world) for _ in range(GATEWAYS)]
    symbols = Traffic(random.Random(0)).market_symbols
    clients = Clients(world, gateways, symbols)
    world.members += [*gateways, clients]
    return clients
