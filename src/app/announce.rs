//! Owns the line that the log begins with: where questions are taken, and what is enforced for whom. Never changes either.

use std::net::SocketAddr;

use crate::policy::{Mode, Snapshot};

/// One line that says what is enforced for whom.
pub(super) fn announce(snapshot: &Snapshot, addresses: &[SocketAddr]) {
    let groups: Vec<String> = snapshot
        .duties()
        .into_iter()
        .map(|(group, duties)| {
            let words: Vec<String> = duties
                .into_iter()
                .map(|(id, mode)| if mode == Mode::Enforce { id } else { format!("{id} ({mode})") })
                .collect();
            format!("{group}: {}", if words.is_empty() { "nothing".to_owned() } else { words.join(", ") })
        })
        .collect();
    tracing::info!(
        listening = ?addresses,
        generation = snapshot.generation(),
        rules = snapshot.rule_count(),
        "enforcing for {}",
        groups.join("; ")
    );
}
