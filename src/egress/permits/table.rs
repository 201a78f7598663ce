//! Owns the kernel's table around the pairs: made when a group is first held to what it resolved, changed around the pairs with each generation,
//! put back when somebody changed it, and taken out when nobody is held. Never decides who is.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::pairs::Pair;
use crate::egress::config::Hook;
use crate::egress::nftables::{
    Failure, Kept, Listing, Nft, RESOLVED, anew, around, is_looked_at, read_listing, read_pairs,
    remove_resolved,
};
use crate::egress::plan::Plan;
use crate::egress::shown::Egress;

/// The table, as the keeper knows it.
#[derive(Debug, Default)]
pub(in crate::egress) struct Table {
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
        let listing = list(nft).await?;
        if plan.guarded.is_empty() {
            self.fingerprint = None;
            return match listing {
                Some(_) => nft.apply(&remove_resolved()).await,
                None => Ok(()),
            };
        }
        if !self.is_warned
            && shown.config.hooks.iter().any(|hook| *hook == Hook::Output && !is_looked_at(*hook, user))
        {
            self.is_warned = true;
            tracing::warn!(
                "what this host sends itself is not held to what was resolved: run as a user of its own ([server] user), so that its own questions are known"
            );
        }
        let changed = match &listing {
            Some(listing) => nft.apply(&around(plan, &shown.config, user, listing)).await,
            None => Err(Failure::Refused(String::new())),
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
        let Some(listing) = list(nft).await? else {
            return Err(Failure::Refused("what was put in force is not there".to_owned()));
        };
        self.fingerprint = Some(listing.fingerprint);
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
        let Some(fingerprint) = self.fingerprint else { return Ok(BTreeMap::new()) };
        let listing = list(nft).await?;
        if listing.as_ref().is_some_and(|listing| listing.fingerprint == fingerprint) {
            return Ok(listing.map(|listing| listing.counters).unwrap_or_default());
        }
        let what = if listing.is_some() { "was changed" } else { "is gone" };
        tracing::warn!("the kernel's table of what clients were answered {what}: it is put back");
        self.apply(nft, shown, plan, user).await?;
        shown.counts.restored.fetch_add(1, Ordering::Relaxed);
        Ok(BTreeMap::new())
    }

    /// Takes over the pairs of a process before, so that a restart forgets none that the kernel knows.
    pub(in crate::egress) async fn take_over(nft: &Nft, shown: &Egress) {
        let Ok(Some(text)) = nft.list(RESOLVED, false).await else { return };
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

async fn list(nft: &Nft) -> Result<Option<Listing>, Failure> {
    let Some(text) = nft.list(RESOLVED, true).await? else { return Ok(None) };
    read_listing(&text).map(Some).ok_or_else(|| Failure::Refused("its list cannot be read".to_owned()))
}
