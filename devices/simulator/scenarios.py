"""How people use a coffee machine by hour and weekday, and what goes wrong on the way. Pure figures."""

from dataclasses import dataclass

Hours = tuple[float, ...]  # 24 of them: cups in each hour of a day (UTC)

_NIGHT = (0.0,) * 6


@dataclass(frozen=True)
class Scenario:
    """Habits, and the chance of each trouble. Chances a day are of one unit; the others are of one upload."""

    weekday: Hours
    weekend: Hours
    cups_per_hopper: int = 40
    refill_below: float = 12.0  # percent; somebody notices sooner or later
    offline_a_day: float = 0.02
    offline_hours: float = 2.0  # on average
    reset_a_day: float = 0.0  # loses its count: a new epoch
    duplicate: float = 0.0  # the upload is sent again although it was answered
    unheard: float = 0.0  # the answer is lost: a crash between sending and noting
    aborted: float = 0.0  # the connection breaks while the upload is under way
    shuffled: float = 0.0  # the buffer is sent in any order
    old_news: float = 0.0  # an old reading is sent once more, with another time
    drift: float = 0.0  # seconds a day that a clock may run wrong
    clockless: float = 0.0  # share of units without a clock


OFFICE = Scenario(
    weekday=(*_NIGHT, 0.5, 2, 4, 3, 2.5, 2, 3, 3, 2, 1.5, 1, 0.5, 0.2, 0, 0, 0, 0, 0),
    weekend=(*_NIGHT, 0, 0, 0.1, 0.1, 0.1, 0.1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0),
    cups_per_hopper=80,
)
HOME = Scenario(
    weekday=(*_NIGHT, 0.8, 1.2, 0.4, 0.1, 0.1, 0.1, 0.2, 0.2, 0.1, 0.2, 0.3, 0.3, 0.4, 0.3, 0.1, 0, 0, 0),
    weekend=(*_NIGHT, 0.1, 0.4, 1.0, 1.2, 0.8, 0.3, 0.3, 0.4, 0.6, 0.5, 0.2, 0.2, 0.4, 0.3, 0.1, 0, 0, 0),
)
FAULTY = Scenario(
    weekday=HOME.weekday,
    weekend=HOME.weekend,
    offline_a_day=0.5,
    offline_hours=6.0,
    reset_a_day=0.05,
    duplicate=0.15,
    unheard=0.1,
    aborted=0.1,
    shuffled=0.3,
    old_news=0.1,
    drift=20.0,
    clockless=0.1,
)
SCENARIOS = {"office": OFFICE, "home": HOME, "faulty": FAULTY}
