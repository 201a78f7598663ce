//! Owns recursion: answers from the authoritative servers themselves, from the root down (RFC 1034 section 5.3.3), through
//! Hickory's recursor with QNAME minimisation (RFC 9156) and bounds on the work of one question. Never asks a configured upstream.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::dnssec::Proof;
use hickory_resolver::proto::op::{Message, Query, ResponseCode};
use hickory_resolver::proto::rr::{Name, Record, RecordType};
use hickory_resolver::recursor::{DnssecConfig, DnssecPolicy, Recursor, RecursorError, RecursorOptions};

use super::forward::Failure;
use super::secure::{Anchors, ITERATIONS, Servers, blank, destination};

/// Resolves from the root.
pub(super) struct Recursion(Recursor<Servers>);

/// The root servers' addresses (IANA's `named.root` of 2026). They change once in some years, one at a time, and any one is enough:
/// what the root says of itself counts from then on.
const ROOT_IPV4: [[u8; 4]; 13] = [
    [198, 41, 0, 4],
    [170, 247, 170, 2],
    [192, 33, 4, 12],
    [199, 7, 91, 13],
    [192, 203, 230, 10],
    [192, 5, 5, 241],
    [192, 112, 36, 4],
    [198, 97, 190, 53],
    [192, 36, 148, 17],
    [192, 58, 128, 30],
    [193, 0, 14, 129],
    [199, 7, 83, 42],
    [202, 12, 27, 33],
];
const ROOT_IPV6: [[u16; 8]; 13] = [
    [0x2001, 0x503, 0xba3e, 0, 0, 0, 2, 0x30],
    [0x2801, 0x1b8, 0x10, 0, 0, 0, 0, 0xb],
    [0x2001, 0x500, 2, 0, 0, 0, 0, 0xc],
    [0x2001, 0x500, 0x2d, 0, 0, 0, 0, 0xd],
    [0x2001, 0x500, 0xa8, 0, 0, 0, 0, 0xe],
    [0x2001, 0x500, 0x2f, 0, 0, 0, 0, 0xf],
    [0x2001, 0x500, 0x12, 0, 0, 0, 0, 0xd0d],
    [0x2001, 0x500, 1, 0, 0, 0, 0, 0x53],
    [0x2001, 0x7fe, 0, 0, 0, 0, 0, 0x53],
    [0x2001, 0x503, 0xc27, 0, 0, 0, 2, 0x30],
    [0x2001, 0x7fd, 0, 0, 0, 0, 0, 1],
    [0x2001, 0x500, 0x9f, 0, 0, 0, 0, 0x42],
    [0x2001, 0xdc3, 0, 0, 0, 0, 0, 0x35],
];

/// Cap for a file of root hints.
const LONGEST: u64 = 1 << 20;
/// Answers that the recursor keeps for itself, on its way to others: delegations, keys, and what this resolver's own cache keeps
/// again. Some 1 KiB each.
const KEPT: u64 = 32_768;
/// Zones whose servers it remembers.
const ZONES: usize = 8192;

impl Recursion {
    /// A recursor that starts from `roots` and, if `anchors` are given, validates.
    pub(super) fn new(roots: &[IpAddr], anchors: Option<&Anchors>) -> Result<Self, String> {
        let mut options = RecursorOptions {
            ns_cache_size: ZONES,
            response_cache_size: KEPT,
            case_randomization: true,
            ..RecursorOptions::default()
        };
        // Where the root itself is a private one, so may be all that it delegates to. Elsewhere a server at a private address is a
        // mistake, or an attack on the inside.
        if roots.iter().all(is_private) {
            options.deny_server = Vec::new();
        }
        let policy = match anchors {
            None => DnssecPolicy::ValidationDisabled,
            Some(anchors) => {
                let mut config = DnssecConfig::default();
                config.trust_anchor = Some(Arc::clone(&anchors.all));
                config.nsec3_soft_iteration_limit = Some(ITERATIONS.0);
                config.nsec3_hard_iteration_limit = Some(ITERATIONS.1);
                DnssecPolicy::ValidateWithStaticKey(config)
            }
        };
        let recursor = Recursor::new(roots, policy, None, options, Servers::default());
        recursor.map(Self).map_err(|error| error.to_string())
    }

    /// True when answers are validated.
    pub(super) fn is_validating(&self) -> bool {
        self.0.is_validating()
    }

    /// The aliases at a question's name, and where they lead; `None` without one.
    pub(super) async fn alias(&self, query: &Query, began: Instant) -> Option<(Vec<Record>, Name)> {
        let query = Query::query(query.name.clone(), RecordType::CNAME);
        let (message, _) = self.ask(&query, began).await.ok()?;
        let any = Query::query(query.name.clone(), RecordType::ANY);
        let target = destination(&message, &any);
        (target != query.name).then_some((message.answers, target))
    }

    /// What the recursor finds; and what it made of the proof that something does not exist, where it was not content.
    pub(super) async fn ask(
        &self,
        query: &Query,
        began: Instant,
    ) -> Result<(Message, Option<Proof>), Failure> {
        match self.0.resolve(query.clone(), began, true).await {
            Ok(message) => Ok((message, None)),
            Err(RecursorError::Negative(data)) => {
                let code = if data.is_nx_domain() { ResponseCode::NXDomain } else { ResponseCode::NoError };
                let soa = data.soa.map(|soa| soa.into_record_of_rdata());
                Ok((negative(query, code, soa, data.authorities.as_deref()), None))
            }
            Err(RecursorError::Net(NetError::Dns(DnsError::NoRecordsFound(none)))) => {
                let soa = none.soa.map(|soa| soa.into_record_of_rdata());
                Ok((negative(query, none.response_code, soa, none.authorities.as_deref()), None))
            }
            Err(RecursorError::Net(NetError::Dns(DnsError::Nsec { response, proof, .. }))) => {
                Ok((response.into_message(), Some(proof)))
            }
            Err(error) => {
                tracing::debug!(%query, %error, "not resolved");
                Err(failure(&error))
            }
        }
    }
}

fn negative(
    query: &Query,
    code: ResponseCode,
    soa: Option<Record>,
    authorities: Option<&[Record]>,
) -> Message {
    let mut message = blank(query.clone());
    message.metadata.response_code = code;
    for record in soa.into_iter().chain(authorities.unwrap_or_default().iter().cloned()) {
        if !message.authorities.contains(&record) {
            message.add_authority(record);
        }
    }
    message
}

fn failure(error: &RecursorError) -> Failure {
    match error {
        RecursorError::Timeout | RecursorError::Net(NetError::Timeout) => Failure::Timeout,
        RecursorError::RecursionLimitExceeded { .. }
        | RecursorError::QueryBudgetExceeded
        | RecursorError::MaxRecordLimitExceeded { .. } => Failure::Limit,
        _ => Failure::Network,
    }
}

/// The addresses of the root's servers: those in the file, the A and AAAA records of IANA's `named.root` form; without one, the
/// world's. Of a kind of address that this host has no way to, none.
pub(super) fn roots(file: Option<&Path>) -> Result<Vec<IpAddr>, String> {
    let all: Vec<IpAddr> = match file {
        None => {
            let ipv4 = ROOT_IPV4.iter().map(|octets| IpAddr::from(Ipv4Addr::from(*octets)));
            let ipv6 = ROOT_IPV6.iter().map(|segments| IpAddr::from(Ipv6Addr::from(*segments)));
            let (has_ipv4, has_ipv6) = (has_way(ROOT_IPV4[0].into()), has_way(ROOT_IPV6[0].into()));
            let ipv4 = ipv4.filter(|_| has_ipv4 || !has_ipv6);
            ipv4.chain(ipv6.filter(|_| has_ipv6)).collect()
        }
        Some(path) => {
            let shown = path.display();
            let text = read(path).map_err(|error| format!("{shown} cannot be read: {error}"))?;
            text.lines().filter_map(address).collect()
        }
    };
    match (all.is_empty(), file) {
        (true, Some(path)) => Err(format!("{} holds no address of a root server", path.display())),
        _ => Ok(all),
    }
}

fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(LONGEST).read_to_string(&mut text)?;
    Ok(text)
}

/// The address in a line `a.root-servers.net. 3600000 A 198.41.0.4`.
fn address(line: &str) -> Option<IpAddr> {
    let words: Vec<&str> = line.split(';').next()?.split_whitespace().collect();
    let at =
        words.iter().position(|word| word.eq_ignore_ascii_case("A") || word.eq_ignore_ascii_case("AAAA"))?;
    words.get(at + 1)?.parse().ok()
}

/// Whether packets to that address would leave; nothing is sent.
fn has_way(to: IpAddr) -> bool {
    let any: IpAddr = if to.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    UdpSocket::bind((any, 0)).and_then(|socket| socket.connect((to, 53))).is_ok()
}

fn is_private(address: &IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_private() || address.is_loopback() || address.is_link_local(),
        IpAddr::V6(address) => {
            address.is_unique_local() || address.is_loopback() || address.is_unicast_link_local()
        }
    }
}

impl fmt::Debug for Recursion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recursion").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_hints_are_read() {
        for (line, found) in [
            ("A.ROOT-SERVERS.NET.      3600000      A     198.41.0.4", Some("198.41.0.4")),
            ("a.root. 60 IN AAAA ::1 ; here", Some("::1")),
            (".                        3600000      NS    A.ROOT-SERVERS.NET.", None),
            ("; a comment A 192.0.2.1", None),
            ("", None),
        ] {
            assert_eq!(address(line).map(|address| address.to_string()).as_deref(), found, "{line}");
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("named.root");
        assert!(roots(Some(&path)).unwrap_err().contains("cannot be read"));
        std::fs::write(&path, "<html>").unwrap();
        assert!(roots(Some(&path)).unwrap_err().contains("holds no address"));
        assert!(!roots(None).unwrap().is_empty());
    }
}
