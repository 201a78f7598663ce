"""Owns the list of servers that are measured. One file a server; what all have in common is in `peer`."""

from .bind import Bind
from .dnsdist import Dnsdist
from .dnsmasq import Dnsmasq
from .floor import Floor
from .hickory import Hickory
from .interdict import Interdict, InterdictAll, InterdictLogged, InterdictOff
from .knot import KnotResolver
from .pdns import PdnsRecursor
from .secondary import InterdictSecondary
from .unbound import Unbound

ALL = [
    Floor, Interdict, InterdictOff, InterdictLogged, InterdictAll, InterdictSecondary, Unbound, KnotResolver, PdnsRecursor, Dnsdist, Bind,
    Dnsmasq, Hickory]
# Those that are interdict otherwise configured: measured only in rows that name them.
VARIANTS = {kind.name for kind in (InterdictOff, InterdictLogged, InterdictAll, InterdictSecondary)}
