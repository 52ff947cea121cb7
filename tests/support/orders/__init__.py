"""Runs a scenario of several threads once for each order in which they can take their steps.

    def scenario(order: Order) -> Callable[[], None]:
        inbox = Inbox(...)              # made of the locks of the order
        order.spawn(something, "a name")
        return check                    # called when nobody can go on

    explore(scenario, inbox_module)

- ``scheduler``: who takes the next step, and going through all orders.
- ``stand_ins``: what stands in place of ``threading``, ``time`` and an event loop.
- ``fields``: who may touch which field of an object, as its module says.
"""

from .fields import Fields, guarded
from .scheduler import Check, Order, Scenario, explore, replay
from .stand_ins import Gate, Loop

__all__ = ["Check", "Fields", "Gate", "Loop", "Order", "Scenario", "explore", "guarded", "replay"]
