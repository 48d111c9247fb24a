"""Several addresses that serve one model: the least busy is asked, one that fails rests while others go on."""

import logging
import threading
from collections.abc import Collection, Sequence
from itertools import count
from time import monotonic

import openai

log = logging.getLogger(__name__)


class Address:
    """One server."""

    def __init__(self, client: openai.OpenAI) -> None:
        self.client = client
        # A password in the address is a secret as well.
        self.url = str(client.base_url.copy_with(userinfo=b"")).rstrip("/")
        self.in_flight = 0
        self.turn = 0
        """Number of the latest request that was sent here."""
        self.back = 0.0
        """Time (monotonic) from which it is asked again."""


class Rotation:
    """Who is asked next; shared by threads."""

    def __init__(self, addresses: Sequence[Address]) -> None:
        self.addresses = tuple(addresses)
        self._turns = count(1)
        self._lock = threading.Lock()

    def take(self, avoid: Collection[Address] = ()) -> Address:
        """The least busy address that does not rest; of equally busy ones that which has waited longest.

        Where all rest, or are to be avoided, there is an answer all the same: a server that may be back is
        better than none. Give it back with `release`.
        """
        with self._lock:
            among = [address for address in self.addresses if address not in avoid] or self.addresses
            now = monotonic()
            awake = [address for address in among if address.back <= now]
            if awake:
                chosen = min(awake, key=lambda address: (address.in_flight, address.turn))
            else:
                chosen = min(among, key=lambda address: address.back)
            chosen.in_flight += 1
            chosen.turn = next(self._turns)
            return chosen

    def release(self, address: Address, *, answered: bool) -> None:
        """The request is over; an answer ends a rest."""
        with self._lock:
            address.in_flight -= 1
            if answered:
                address.back = 0.0

    def rest(self, address: Address, seconds: float, reason: str) -> None:
        """Leave an address out for a while; with no other there is nothing to be left out of."""
        with self._lock:
            now = monotonic()
            if len(self.addresses) > 1 and address.back <= now:
                log.warning("%s: the other addresses go on without it for %.0f s", reason, seconds)
            address.back = max(address.back, now + seconds)

    def another(self, tried: Collection[Address]) -> bool:
        """Whether there is an address outside `tried` that does not rest."""
        with self._lock:
            now = monotonic()
            return any(address.back <= now for address in self.addresses if address not in tried)
