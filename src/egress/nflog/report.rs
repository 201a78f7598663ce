//! Owns the way from a held packet to a record of the query log: whose it was, as what it was held, and by which policy. Never counts: the kernel
//! does, and tells of few.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::message::Held;
use super::socket::Listener;
use crate::clock::Clock;
use crate::dns::{CanonicalName, RecordType};
use crate::egress::shown::Egress;
use crate::policy::{Live, reverse_name};
use crate::telemetry::{Decision, Entry, Inbox, Record};

/// What records are made of, and where they go.
pub(in crate::egress) struct Report {
    pub(in crate::egress) shown: Arc<Egress>,
    pub(in crate::egress) live: Live,
    pub(in crate::egress) clock: Clock,
    pub(in crate::egress) inbox: Inbox,
    pub(in crate::egress) stop: watch::Receiver<bool>,
}

/// What a rule writes in front of the packets that it logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::egress) struct Label {
    pub(in crate::egress) generation: u64,
    /// Numbers of the plan's.
    pub(in crate::egress) group: usize,
    pub(in crate::egress) part: usize,
    pub(in crate::egress) is_enforced: bool,
    pub(in crate::egress) is_outward: bool,
}

/// What a rule writes in front of the packets of a client that is held to what it resolved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::egress) struct UnresolvedLabel {
    pub(in crate::egress) generation: u64,
    /// A number of the plan's.
    pub(in crate::egress) group: usize,
    pub(in crate::egress) is_enforced: bool,
}

/// Seconds between a failure and the next attempt.
const PAUSE: u32 = 60;

impl Report {
    /// Listens to a group of the kernel's log until the stop. For a thread of its own.
    pub(in crate::egress) fn run(self, group: u16) {
        let mut is_said = false;
        while !self.is_stopped() {
            let Err(error) = self.listen(group) else { return };
            self.shown.counts.failed("log");
            if !is_said {
                is_said = true;
                tracing::warn!(%error, group, "the kernel's log of held packets cannot be read; the query log does without");
            }
            for _ in 0..PAUSE {
                if self.is_stopped() {
                    return;
                }
                std::thread::sleep(Duration::from_secs(1));
            }
        }
    }

    fn listen(&self, group: u16) -> io::Result<()> {
        let listener = Listener::open(group)?;
        while !self.is_stopped() {
            let held = listener.next()?;
            let held = held.iter().filter_map(|held| self.entry(held));
            held.for_each(|entry| self.inbox.push(entry.with(&entry.name, None)));
        }
        Ok(())
    }

    fn is_stopped(&self) -> bool {
        *self.stop.borrow()
    }

    /// The record of a packet; `None` for one of an earlier policy, or of somebody else's rule.
    fn entry(&self, held: &Held) -> Option<Entry<CanonicalName, ()>> {
        if let Some(label) = UnresolvedLabel::read(&held.prefix) {
            return self.unresolved(label, held);
        }
        let label = Label::read(&held.prefix)?;
        let snapshot = self.live.load();
        if snapshot.generation() != label.generation {
            return None;
        }
        let (client, there) = if label.is_outward { (held.from, held.to) } else { (held.to, held.from) };
        let (client, there): (IpAddr, IpAddr) = (client.to_canonical(), there.to_canonical());
        let state = self.shown.state();
        let plan = state.plan.as_ref().filter(|plan| plan.generation == label.generation)?;
        let part = plan.parts.get(label.part)?;
        let mut known = state.learned.all().filter(|(title, at, _)| *title == part.title && *at == there);
        let name =
            known.find_map(|(.., entry)| entry.names.first().cloned()).or_else(|| reverse_name(there))?;
        Some(Entry {
            time_ms: self.clock.wall().as_millisecond(),
            client,
            identity: Default::default(),
            transport: Record::EGRESS,
            name: CanonicalName::from(&name),
            record_type: if there.is_ipv4() { RecordType::A } else { RecordType::AAAA },
            decision: if label.is_enforced { Decision::Blocked } else { Decision::Shadow },
            cause: snapshot.cause_of_holding(u16::try_from(label.group).ok()?, &part.title),
            generation: label.generation,
            took_us: None,
            reply: None,
        })
    }
}

impl Report {
    /// The record of a connection to an address that its client was not answered.
    fn unresolved(&self, label: UnresolvedLabel, held: &Held) -> Option<Entry<CanonicalName, ()>> {
        let there = held.to.to_canonical();
        Some(Entry {
            time_ms: self.clock.wall().as_millisecond(),
            client: held.from.to_canonical(),
            identity: Default::default(),
            transport: Record::EGRESS,
            name: CanonicalName::from(&reverse_name(there)?),
            record_type: if there.is_ipv4() { RecordType::A } else { RecordType::AAAA },
            decision: if label.is_enforced { Decision::Blocked } else { Decision::Shadow },
            // No rule names it: that is why.
            cause: None,
            generation: label.generation,
            took_us: None,
            reply: None,
        })
    }
}

impl UnresolvedLabel {
    /// As the kernel is to write it.
    pub(in crate::egress) fn text(self) -> String {
        let Self { generation, group, is_enforced } = self;
        let mode = if is_enforced { "enforce" } else { "shadow" };
        format!("interdict-resolved {generation} {group} {mode}")
    }

    fn read(text: &str) -> Option<Self> {
        let mut words = text.trim_end().strip_prefix("interdict-resolved ")?.split(' ');
        let label = Self {
            generation: words.next()?.parse().ok()?,
            group: words.next()?.parse().ok()?,
            is_enforced: words.next()? == "enforce",
        };
        (label.text() == text.trim_end()).then_some(label)
    }
}

impl Label {
    /// As the kernel is to write it: at most 127 bytes.
    pub(in crate::egress) fn text(self) -> String {
        let Self { generation, group, part, is_enforced, is_outward } = self;
        let mode = if is_enforced { "enforce" } else { "shadow" };
        let way = if is_outward { "out" } else { "in" };
        format!("interdict {generation} {group} {part} {mode} {way}")
    }

    fn read(text: &str) -> Option<Self> {
        let mut words = text.trim_end().split(' ');
        if words.next() != Some("interdict") {
            return None;
        }
        let label = Self {
            generation: words.next()?.parse().ok()?,
            group: words.next()?.parse().ok()?,
            part: words.next()?.parse().ok()?,
            is_enforced: words.next()? == "enforce",
            is_outward: words.next()? == "out",
        };
        (label.text() == text.trim_end()).then_some(label)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_comes_back_and_others_words_do_not() {
        for (is_enforced, is_outward) in [(true, true), (true, false), (false, true), (false, false)] {
            let label = Label { generation: u64::MAX, group: 3, part: 70, is_enforced, is_outward };
            assert_eq!(Label::read(&label.text()), Some(label));
            assert!(label.text().len() < 127);
        }
        for is_enforced in [true, false] {
            let label = UnresolvedLabel { generation: 7, group: 3, is_enforced };
            assert_eq!(UnresolvedLabel::read(&label.text()), Some(label));
            assert_eq!(Label::read(&label.text()), None);
        }
        for text in [
            "",
            "interdict",
            "interdict 1 2",
            "interdict 1 2 3 enforce",
            "mine 1 2 3 enforce out",
            "interdict 1 2 3 enforce out x",
        ] {
            assert_eq!(Label::read(text), None, "{text}");
        }
    }
}
