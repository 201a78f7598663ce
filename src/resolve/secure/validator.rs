//! Owns the validation of what upstreams answer. Never trusts that they did it, and never passes on what is bogus.

use std::cell::Cell;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use hickory_resolver::net::dnssec::DnssecDnsHandle;
use hickory_resolver::net::xfer::{DnsHandle as _, FirstAnswer as _};
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::{DnsRequestOptions, Query};

use super::super::forward::{Failure, Forwarder};
use super::anchors::Anchors;
use super::asked::{Asked, TROUBLE};
use super::judgement::{Judgement, judge};
use crate::clock::Clock;

/// Asks upstreams and looks whether what they answer is what its zone signed.
pub(in crate::resolve) struct Validator(DnssecDnsHandle<Asked>);

/// Iterations of NSEC3 hashes above which a proof counts as none was given, and above which it is refused (RFC 9276 section 3.2 lets
/// a resolver do either from 100 on; published zones have long gone to zero, and each one costs a hash a label).
pub(in crate::resolve) const ITERATIONS: (u16, u16) = (100, 150);

impl Validator {
    pub(in crate::resolve) fn new(forwarder: Arc<Forwarder>, anchors: &Anchors, clock: Clock) -> Self {
        let asked = Asked::new(forwarder, clock);
        /// A day at most: a signature may end before its record's TTL does.
        const LONGEST: Duration = Duration::from_secs(86_400);
        let handle = DnssecDnsHandle::with_trust_anchor(asked, Arc::clone(&anchors.0))
            .nsec3_iteration_limits(Some(ITERATIONS.0), Some(ITERATIONS.1))
            .positive_validation_ttl(Duration::ZERO..=LONGEST)
            // What failed is looked at again soon: a zone that is mended is to be back.
            .negative_validation_ttl(Duration::ZERO..=Duration::from_secs(30));
        Self(handle)
    }

    /// Resolves a question.
    pub(in crate::resolve) async fn resolve(&self, query: Query, now: u32) -> Result<Judgement, Failure> {
        let mut options = DnsRequestOptions::default();
        options.use_edns = true;
        options.edns_set_dnssec_ok = true;
        let asked = async {
            let answer = self.0.lookup(query.clone(), options).first_answer().await;
            (answer, TROUBLE.with(Cell::get))
        };
        let (answer, trouble) = TROUBLE.scope(Cell::new(None), asked).await;
        let judged = match answer {
            Ok(response) => judge(response.into_message(), None, &query, now),
            Err(NetError::Dns(DnsError::Nsec { response, proof, .. })) => {
                judge(response.into_message(), Some(proof), &query, now)
            }
            Err(_) => return Err(trouble.unwrap_or(Failure::Network)),
        };
        match (judged, trouble) {
            // What a chain of trust lacks because nobody answered is nobody's forgery.
            (Judgement::Bogus(..), Some(trouble)) => Err(trouble),
            (judged, _) => Ok(judged),
        }
    }
}

impl fmt::Debug for Validator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Validator").finish_non_exhaustive()
    }
}
