//! Owns the kernel's table around the pairs: made when a group is first held to what it resolved, changed around the pairs with each generation,
//! put back when somebody changed it, and taken out when nobody is held. Never decides who is.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::dump::{chains, counters, fingerprint, read_chains, read_counters, rules};
use super::pairs::Pair;
use super::socket::{Kernel, Refusal};
use crate::egress::config::Hook;
use crate::egress::nftables::{
    Failure, Kept, Nft, RESOLVED, anew, around, is_looked_at, read_pairs, remove_resolved,
};
use crate::egress::plan::Plan;
use crate::egress::shown::Egress;

/// The table, as the keeper knows it.
#[derive(Debug, Default)]
pub(in crate::egress) struct Table {
    kernel: Option<Kernel>,
    /// What the kernel showed of it when it was last told; `None` while there is none.
    fingerprint: Option<[u8; 32]>,
    is_warned: bool,
}

impl Table {
    /// Puts it in force for a plan.
    pub(in crate::egress) async fn apply(
        &mut self,
        nft: &Nft,
        shown: &Egress,
        plan: &Plan,
        user: Option<u32>,
    ) -> Result<(), Failure> {
        // One that changes all the time is made anew like one that is not there.
        let chains = self.look(&chains())?.map(|answer| read_chains(&answer)).unwrap_or_default();
        if plan.guarded.is_empty() {
            self.fingerprint = None;
            return if chains.is_empty() { Ok(()) } else { nft.apply(&remove_resolved()).await };
        }
        let counters = self.look(&counters())?.map(|answer| read_counters(&answer)).unwrap_or_default();
        if !self.is_warned
            && shown.config.hooks.iter().any(|hook| *hook == Hook::Output && !is_looked_at(*hook, user))
        {
            self.is_warned = true;
            tracing::warn!(
                "what this host sends itself is not held to what was resolved: run as a user of its own ([server] user), so that its own questions are known"
            );
        }
        let changed = match chains.is_empty() {
            false => nft.apply(&around(plan, &shown.config, user, &chains, counters.keys())).await,
            true => Err(Failure::Refused(String::new())),
        };
        match changed {
            Ok(()) => {}
            Err(Failure::Refused(_)) => {
                // Nothing may be permitted between the look at the pairs and the end of the transaction.
                let _turn = shown.permits.turn.lock().await;
                let pairs = kept(shown);
                nft.apply(&anew(plan, &shown.config, user, &pairs)).await?;
            }
            Err(failure) => return Err(failure),
        }
        match self.look(&rules())?.as_deref().and_then(fingerprint) {
            Some(found) => self.fingerprint = Some(found),
            None => return Err(Failure::Refused("what was put in force is not there".to_owned())),
        }
        Ok(())
    }

    /// Sees whether it is as it was, and puts it back if not. Returns what its counters show.
    pub(in crate::egress) async fn check(
        &mut self,
        nft: &Nft,
        shown: &Egress,
        plan: &Plan,
        user: Option<u32>,
    ) -> Result<BTreeMap<String, (u64, u64)>, Failure> {
        let Some(known) = self.fingerprint else { return Ok(BTreeMap::new()) };
        // What changes all the time cannot be told from what was changed: the next look will.
        let Some(found) = self.look(&rules())? else { return Ok(BTreeMap::new()) };
        let found = fingerprint(&found);
        if found == Some(known) {
            return Ok(self.look(&counters())?.map(|answer| read_counters(&answer)).unwrap_or_default());
        }
        let what = if found.is_some() { "was changed" } else { "is gone" };
        tracing::warn!("the kernel's table of what clients were answered {what}: it is put back");
        self.apply(nft, shown, plan, user).await?;
        shown.counts.restored.fetch_add(1, Ordering::Relaxed);
        Ok(BTreeMap::new())
    }

    /// What the kernel says; nothing of a table that is not there.
    fn look(&mut self, request: &[u8]) -> Result<Option<Vec<u8>>, Failure> {
        let refused = |refusal: Refusal| match refusal {
            Refusal::Denied => Failure::Denied,
            refusal => Failure::Refused(refusal.to_string()),
        };
        let kernel = match self.kernel.take() {
            Some(kernel) => kernel,
            None => Kernel::open().map_err(|error| Failure::Refused(error.to_string()))?,
        };
        let answer = match kernel.ask(request) {
            Err(Refusal::Absent) => Ok(Some(Vec::new())),
            answer => answer,
        };
        // After a failure a new socket knows nothing of what is left of the answer.
        self.kernel = Some(kernel).filter(|_| answer.is_ok());
        answer.map_err(refused)
    }

    /// Takes over the pairs of a process before, so that a restart forgets none that the kernel knows.
    pub(in crate::egress) async fn take_over(nft: &Nft, shown: &Egress) {
        let Ok(Some(text)) = nft.list(RESOLVED).await else { return };
        let now = shown.permits.clock.now();
        let pairs = read_pairs(&text);
        let mut count = 0;
        for (client, address, seconds) in pairs.into_iter().take(shown.permits.most) {
            // Its second has begun.
            let left = Duration::from_secs(seconds.saturating_sub(1));
            let pair = Pair { client, address };
            if shown.permits.pairs.until(pair).is_none() && !address.is_unspecified() {
                shown.permits.pairs.put(pair, now + left);
                count += 1;
            }
        }
        if count > 0 {
            tracing::info!(
                pairs = count,
                "the kernel still permits what clients were answered before the start"
            );
        }
    }
}

/// What is permitted, for a table that is made anew.
fn kept(shown: &Egress) -> Vec<Kept> {
    let pairs = shown.permits.pairs.all(shown.permits.clock.now()).into_iter();
    let seconds = |left: Duration| left.as_secs() + 1;
    let kept: Vec<(IpAddr, IpAddr, u64)> =
        pairs.map(|(pair, left)| (pair.client, pair.address, seconds(left))).collect();
    kept
}
