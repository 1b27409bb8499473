"""What the outbox's tests share: outcomes by name, attempts as stored, receipts as told."""

from waypost.domain.outcomes import Failed, Sent
from waypost.store import messages
from waypost.store.receipts import ReceiptItem

OK = Sent("auto")
STUMBLE = Failed(131000, "retry", "Something went wrong", "try later")
REFUSED = Failed(131026, "fail_contact", "Message undeliverable", "not on WhatsApp")
PAIR = Failed(131056, "wait_pair", "pair rate limit", "slow down")
THROTTLED = Failed(130429, "wait_number", "rate limit", "slow down")
STOPPED = Failed(190, "stop_lane", "Access token has expired", "renew it")


async def attempts(store, number, message_id):
    return await store.read(messages.attempts_of, number.tenant_id, message_id)


def receipt(number, clock, status, *, echo=None, wamid="wamid.1", failure=None):
    return ReceiptItem(
        number.tenant_id, number.number_id, wamid, echo, status, clock.now(), failure, None, clock.now()
    )
