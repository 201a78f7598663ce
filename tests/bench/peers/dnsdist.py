"""Owns dnsdist's configuration: a suffix tree of the listed names, a packet cache, one pool with the upstream."""

from .peer import Peer


class Dnsdist(Peer):
    name = "dnsdist"
    program = "dnsdist"
    package = "dnsdist"
    connected_modes = ("tcp", "dot", "doh")
    # It forwards them: a load balancer does not look at RD.
    without_recursion = {"NOERROR", "EMPTY", "NXDOMAIN"}

    def configure(self):
        listen = "".join(
            f'addLocal("{address}:{self.port}", {{ reusePort = true }})\n'
            for address in ("127.0.0.1", "[::1]") for _ in range(self.bed.workers))
        if self.bed.certificate:
            pair = f'"{self.bed.certificate}", "{self.bed.key}"'
            listen += f'addTLSLocal("127.0.0.1:{self.dot_port}", {pair})\n'
            listen += f'addDOHLocal("127.0.0.1:{self.doh_port}", {pair}, "/dns-query", {{ numberOfStoredSessions=0 }})\n'
            listen += "setMaxTCPConnectionsPerClient(0)\n"
            listen += "setTCPRecvTimeout(600)\nsetMaxTCPConnectionDuration(0)\nsetMaxTCPQueriesPerConnection(0)\n"
        path = self.write("dnsdist.conf", f"""
{listen}
setACL({{ "127.0.0.0/8", "::1/128" }})
setSecurityPollSuffix("")
setMaxUDPOutstanding(65535)
setRingBuffersSize(100, 1)
newServer({{ address = "{self.bed.upstream}", sockets = {self.bed.workers} }})
getPool(""):setCache(newPacketCache(500000, {{ maxTTL = 86400, numberOfShards = {20 * self.bed.workers} }}))
local listed = newSuffixMatchNode()
for name in io.lines("{self.bed.domains()}") do
  listed:add(name)
end
addAction(SuffixMatchNodeRule(listed), RCodeAction(DNSRCode.NXDOMAIN))
""")
        return [[self.path(), "--supervised", "--disable-syslog", "-C", path]]
