"""What the shop sells. Both parts of the site import it, as they would share a database."""

import math
import time
from dataclasses import dataclass

__all__ = ["COFFEES", "Coffee", "prices"]


@dataclass(frozen=True, slots=True)
class Coffee:
    slug: str
    name: str
    origin: str
    notes: str
    cents: int
    colour: str


COFFEES = {
    coffee.slug: coffee
    for coffee in (
        Coffee("sidama", "Sidama", "Ethiopia", "jasmine, apricot, honey", 1290, "#c2562d"),
        Coffee("huila", "Huila", "Colombia", "caramel, red apple, cocoa", 1090, "#2f6d62"),
        Coffee("nyeri", "Nyeri", "Kenya", "blackcurrant, tomato, lime", 1450, "#7a2e4d"),
        Coffee("gayo", "Gayo", "Sumatra", "cedar, dark chocolate, clove", 1170, "#34526f"),
    )
}


def prices(moment: float | None = None) -> dict[str, int]:
    """Cents by slug, at ``moment`` (seconds since the epoch, now by default): every process works out the same ones."""
    now = time.time() if moment is None else moment

    def price(number: int, coffee: Coffee) -> int:
        swing = sum(math.sin(now / period + 2 * number) for period in (3, 7, 19))
        return round(coffee.cents * (1 + swing / 60))

    return {coffee.slug: price(number, coffee) for number, coffee in enumerate(COFFEES.values())}
