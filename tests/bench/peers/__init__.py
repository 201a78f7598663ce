"""Owns the list of servers that are measured. One file a server; what all have in common is in `peer`."""

from .bind import Bind
from .dnsdist import Dnsdist
from .dnsmasq import Dnsmasq
from .floor import Floor
from .hickory import Hickory
from .interdict import Interdict, InterdictLogged
from .knot import KnotResolver
from .pdns import PdnsRecursor
from .secondary import InterdictSecondary
from .unbound import Unbound

ALL = [Floor, Interdict, InterdictLogged, InterdictSecondary, Unbound, KnotResolver, PdnsRecursor, Dnsdist, Bind, Dnsmasq, Hickory]
