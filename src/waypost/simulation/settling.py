"""What a world has before it begins: a tenant, its numbers, its subscribers; made through the store's own doors."""

from datetime import datetime

from waypost.simulation.plan import Plan
from waypost.simulation.provider import APP_SECRET, Line, Provider
from waypost.store import numbers, rehearsal, subscribers
from waypost.store.accounts import Belonging, account_of
from waypost.store.database import Store
from waypost.store.engine import single

TENANT = "ten_simulated"
_insert = single(numbers.insert)


async def settle(store: Store, plan: Plan, provider: Provider, now: datetime) -> list[tuple[str, int, bytes]]:
    """Make it all; gives each subscriber's id, its mark and its secret."""
    await store.write(rehearsal.add_tenant, rehearsal.NewTenant(TENANT, now))
    for place in range(plan.numbers):
        number = await store.write(_insert, _number(place, now))
        account = await store.read(account_of, TENANT, number.id)
        line = Line(number.id, number.phone_number_id, account.meta_waba_id, number.app_id)
        provider.lines[number.id] = line
    made = []
    for place, events_max in enumerate(plan.batches):
        secret = b"%032d" % place
        new = subscribers.NewSubscriber(
            TENANT,
            f"https://subscriber.invalid/{place}",
            "simulated",
            (),
            events_max,
            False,
            subscribers.NewSecret("v1", secret, None),
            "simulation",
            now,
        )
        added = await store.write(subscribers.add, new)
        made.append((added.id, added.position, secret))
    return made


def _number(place: int, now: datetime) -> numbers.AddNumber:
    belongs = Belonging(
        TENANT, "2001", "3001", "4001", APP_SECRET.decode(), "verify", None, "simulation", now
    )
    seen = numbers.NumberSeen(phone=f"+4930000000{place}")
    return numbers.AddNumber(
        TENANT,
        f"1000{place}",
        "simulated",
        "http://127.0.0.1:1",
        "v26.0",
        "Authorization: Bearer",
        "token",
        belongs,
        seen,
        None,
        "simulation",
        now,
    )
