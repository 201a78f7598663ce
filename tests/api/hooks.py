"""What schemathesis cannot know by itself: what the interface's own formats of texts look like."""

import schemathesis
from hypothesis import strategies as st

LABEL = st.from_regex(r"\A[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?\Z")

schemathesis.openapi.format("domain-name", st.lists(LABEL, min_size=1, max_size=5).map(".".join))
schemathesis.openapi.format("ip-address", st.ip_addresses().map(str))
schemathesis.openapi.format("record-type", st.sampled_from(["A", "AAAA", "HTTPS", "TXT", "TYPE65", "MX"]))
schemathesis.openapi.format(
    "identity", st.tuples(st.sampled_from(["certificate", "path", "server-name"]), LABEL).map(":".join)
)
schemathesis.openapi.format("date-of-report", st.sampled_from(["2026-11-27", "2024-02-29", "2026-01-01"]))
schemathesis.openapi.format("past-time", st.sampled_from(["2020-01-01T00:00:00Z", "2026-11-20T14:00:00Z"]))
schemathesis.openapi.format("earlier-time", st.sampled_from(["2020-01-01T00:00:00Z", "2020-02-29"]))
schemathesis.openapi.format("later-time", st.sampled_from(["2100-01-01T00:00:00+01:00", "2100-12-31"]))
schemathesis.openapi.format("page-reference", st.sampled_from(["7-1a22e18b21b-ae49", "12-1a22e18b21c-0001"]))
schemathesis.openapi.format("name-of-sink", st.just("file"))
schemathesis.openapi.format("cursor-of-search", st.sampled_from(["2026-11-20T14:00:00Z_0", "2026-11-30T14:00:00.123Z_7"]))
