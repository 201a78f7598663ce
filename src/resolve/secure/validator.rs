//! Owns the validation of what upstreams answer. Never trusts that they did it, and never passes on what is bogus.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use hickory_resolver::net::dnssec::DnssecDnsHandle;
use hickory_resolver::net::xfer::{DnsHandle as _, FirstAnswer as _};
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::dnssec::Proof;
use hickory_resolver::proto::op::{DnsRequestOptions, Message, Query};

use super::super::forward::{Failure, Forwarder};
use super::anchors::Anchors;
use super::asked::{Asked, trouble};
use crate::clock::Clock;

/// Asks upstreams and looks whether what they answer is what its zone signed.
pub(in crate::resolve) struct Validator(DnssecDnsHandle<Asked>);

/// Iterations of NSEC3 hashes above which a zone counts as unsigned, and above which its proofs are refused (RFC 9276 section 3.2 lets a
/// resolver do either). As all resolvers do since CVE-2023-50868; published zones have long gone to zero.
pub(in crate::resolve) const ITERATIONS: (u16, u16) = (50, 150);

impl Validator {
    pub(in crate::resolve) fn new(forwarder: Arc<Forwarder>, anchors: &Anchors, clock: Clock) -> Self {
        let asked = Asked::new(forwarder, clock);
        /// A day at most: a signature may end before its record's TTL does.
        const LONGEST: Duration = Duration::from_secs(86_400);
        let handle = DnssecDnsHandle::with_trust_anchor(asked, Arc::clone(&anchors.all))
            .nsec3_iteration_limits(Some(ITERATIONS.0), Some(ITERATIONS.1))
            .positive_validation_ttl(Duration::ZERO..=LONGEST)
            // What failed is looked at again soon: a zone that is mended is to be back.
            .negative_validation_ttl(Duration::ZERO..=Duration::from_secs(30));
        Self(handle)
    }

    /// What upstreams say, each set of records with what came of its signatures; and what Hickory made of the proof that something
    /// does not exist, where it was not content.
    pub(in crate::resolve) async fn ask(&self, query: &Query) -> Result<(Message, Option<Proof>), Failure> {
        let mut options = DnsRequestOptions::default();
        options.use_edns = true;
        options.edns_set_dnssec_ok = true;
        match self.0.lookup(query.clone(), options).first_answer().await {
            Ok(response) => Ok((response.into_message(), None)),
            Err(NetError::Dns(DnsError::Nsec { response, proof, .. })) => {
                Ok((response.into_message(), Some(proof)))
            }
            Err(_) => Err(trouble().unwrap_or(Failure::Network)),
        }
    }
}

impl fmt::Debug for Validator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Validator").finish_non_exhaustive()
    }
}
