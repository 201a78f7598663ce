//! Owns one turn at answering: the policy, the moment and the counters that apply, and the steps that judge a query and
//! write its reply. Used by the listening threads and by answers that come later alike.

use super::engine::Engine;
use super::name_servers::NameServers;
use super::request::{Asker, Outcome, Transport};
use super::show::is_failure;
use super::sinkhole;
use super::told::Told;
use crate::cache::Entry;
use crate::clock::Moment;
use crate::dns::{Full, Name, Query, Rcode};
use crate::policy::{Action, Cause, Client, Identity, Snapshot, Trigger, Verdict};
use crate::telemetry::{Cell, Counter, Decision, Inbox, Origin, Path};

/// What applies to one query.
#[derive(Clone, Copy)]
pub(super) struct Turn<'t> {
    pub(super) engine: &'t Engine,
    pub(super) snapshot: &'t Snapshot,
    pub(super) cell: &'t Cell,
    pub(super) inbox: Option<&'t Inbox>,
    /// What the log will be told of the query.
    pub(super) told: &'t Told,
    /// Where an answer comes from that is shown now.
    pub(super) kept: Origin,
    pub(super) now: Moment,
    pub(super) wall_ms: i64,
}

/// An outcome, and the path it took if it is a reply.
#[derive(Clone, Copy, Debug)]
pub(super) struct Done {
    pub(super) outcome: Outcome,
    pub(super) path: Option<Path>,
    /// It was answered from what is kept, which is now to be fetched anew.
    pub(super) due: bool,
}

/// What the policy makes of a query.
#[derive(Debug)]
pub(super) enum Judged<'s> {
    /// Answered, or dropped.
    Done(Done),
    /// To be answered with another name's records.
    Redirect(&'s Name),
    /// To be resolved.
    Resolve(Screening),
}

/// What is to be done with an answer that has come.
#[derive(Debug)]
pub(super) enum Concluded<'s> {
    /// The query is answered, or dropped.
    Done(Done),
    /// It is to be answered with another name's records.
    Redirect(&'s Name),
}

/// What the policy makes of an answer.
#[derive(Debug)]
pub(super) enum Screened<'s> {
    /// It is replaced.
    Concluded(Concluded<'s>),
    /// It may be shown; `clean` when no rule was met.
    Passed { clean: bool },
}

/// How the answer to a query that may be resolved is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Screening {
    /// The query's name meets no rule: its answer is screened, and noted as passed when it meets none either.
    Allowed,
    /// The query's name, or the client, met a rule that decides unless the answer's addresses, or the servers behind it, meet one that stands
    /// before it.
    Awaited(Cause),
    /// The query's name met a rule that does not stop it: its answer is screened each time.
    Met,
    /// Something permitted the query: its answer is not screened.
    Permitted,
    /// The answer is that of a name the client is sent to: it is screened, and sends it nowhere else.
    Redirected,
}

impl Done {
    pub(super) fn drop() -> Self {
        Self { outcome: Outcome::Drop, path: None, due: false }
    }

    pub(super) fn later() -> Self {
        Self { outcome: Outcome::Later, path: None, due: false }
    }
}

impl<'t> Turn<'t> {
    /// Who asks, to this policy.
    #[inline]
    pub(super) fn client(&self, from: Asker) -> Client {
        if from.identity.is_none() { self.snapshot.client(from.address) } else { self.known_client(from) }
    }

    #[cold]
    fn known_client(&self, from: Asker) -> Client {
        let known = |identity: &Identity| self.snapshot.client_known_as(identity, from.address);
        let client = self.engine.parts.identities.with(from.identity, known);
        client.unwrap_or_else(|| self.snapshot.client(from.address))
    }

    /// The part of the buffer that the reply may use.
    pub(super) fn room<'b>(&self, query: &Query<'_>, from: Asker, reply: &'b mut [u8]) -> &'b mut [u8] {
        let room = match from.transport {
            Transport::Doh | Transport::Doq | Transport::Dot | Transport::Tcp => reply.len(),
            Transport::Udp => query.udp_limit(self.engine.parts.config.udp_payload).min(reply.len()),
        };
        reply.split_at_mut(room).0
    }

    /// Asks the policy about the client and the question's name, and answers if it blocks. `first` is false when the same
    /// query was judged before it waited for its answer: what does not block is then not counted twice. What meets nothing is logged
    /// when it is answered, as its answer may meet something.
    pub(super) fn judge(
        &self,
        query: &Query<'_>,
        from: Asker,
        client: Client,
        first: bool,
        reply: &mut [u8],
    ) -> Judged<'t> {
        let screening = match self.snapshot.decide_question(client, &query.name, query.record_type) {
            Verdict::Allow => Screening::Allowed,
            Verdict::Canary { depth } => {
                self.cell.bump(Counter::SpecialCanary);
                return Judged::Done(self.negative(query, Rcode::NXDOMAIN, usize::from(depth), reply));
            }
            Verdict::Deny(cause) => match self.snapshot.action(&cause) {
                // Over a connection the client has done what was asked of it.
                Action::TcpOnly if from.transport.is_connected() => Screening::Met,
                _ if self.awaits_answer(&cause, query) => Screening::Awaited(cause),
                // Who is sent to a name and asks for that name has arrived.
                Action::Redirect(target) if target.as_wire() == query.name.as_wire() => Screening::Met,
                Action::Redirect(target) => {
                    if first {
                        self.count(query, Decision::Blocked, cause);
                    }
                    self.note(Decision::Blocked, Some(cause));
                    return Judged::Redirect(target);
                }
                _ => return Judged::Done(self.deny(query, cause, reply)),
            },
            Verdict::Permit(cause) if self.awaits_answer(&cause, query) => Screening::Awaited(cause),
            Verdict::Permit(cause) => {
                if first {
                    self.cell.bump(Counter::Permitted);
                }
                self.note(Decision::Permitted, Some(cause));
                Screening::Permitted
            }
            Verdict::Shadow(cause) => {
                if first {
                    self.count(query, Decision::Shadow, cause);
                }
                self.note(Decision::Shadow, Some(cause));
                Screening::Met
            }
        };
        Judged::Resolve(screening)
    }

    /// The generation that need not be asked again about a query's name and client: they met nothing under it.
    pub(super) fn passed(&self, screening: Screening) -> Option<u64> {
        (screening == Screening::Allowed).then(|| self.snapshot.generation())
    }

    /// True when a rule that only the answer can meet stands before what was met.
    #[inline]
    fn awaits_answer(&self, cause: &Cause, query: &Query<'_>) -> bool {
        self.snapshot.awaits_addresses(cause, query.record_type) || self.snapshot.awaits_name_servers(cause)
    }

    /// True when an answer cannot be judged before it is known which servers are behind it.
    #[inline]
    pub(super) fn lacks_name_servers(&self, group: u16, entry: &Entry, screening: Screening) -> bool {
        self.snapshot.screens_name_servers(group)
            && screening != Screening::Permitted
            && !entry.is_passed(self.snapshot.generation(), group)
            && self.name_servers(entry).is_wanting()
    }

    #[cold]
    fn name_servers(&self, entry: &Entry) -> NameServers {
        let families = self.snapshot.asks_for_name_server_addresses();
        NameServers::behind(entry, &self.engine.parts.store, self.now, families)
    }

    /// Asks the policy about the servers behind an answer, after all else, which `found` is the outcome of. Also says whether they are known.
    #[cold]
    fn screen_name_servers(&self, group: u16, entry: &Entry, found: Verdict) -> (Verdict, bool) {
        let met = match &found {
            Verdict::Deny(cause) | Verdict::Permit(cause) if !self.snapshot.awaits_name_servers(cause) => {
                return (found, true);
            }
            Verdict::Deny(cause) | Verdict::Permit(cause) => Some(cause),
            _ => None,
        };
        let NameServers { names, addresses, is_whole, .. } = self.name_servers(entry);
        match self.snapshot.decide_name_servers(group, &names, &addresses, met) {
            Verdict::Allow => (found, is_whole),
            verdict => (verdict, is_whole),
        }
    }

    /// True when this policy was asked before for this group, and met nothing: neither the name nor what its answer leads
    /// to. A decision depends on nothing else but the client's own address, so a hit on such an answer costs the same however
    /// long the lists are.
    #[inline]
    pub(super) fn is_passed(&self, entry: &Entry, client: Client) -> bool {
        entry.is_passed(self.snapshot.generation(), client.group) && !client.is_ruled()
    }

    /// The reply to a query whose answer cannot be had, and which a rule waited for only to see whether another decides;
    /// `None` when the rule permits it.
    #[cold]
    pub(super) fn deny_without_answer(
        &self,
        query: &Query<'_>,
        awaited: Cause,
        reply: &mut [u8],
    ) -> Option<Done> {
        let denies = *self.snapshot.action(&awaited) != Action::Passthru;
        denies.then(|| self.deny(query, awaited, reply))
    }

    /// A fresh answer from the cache.
    pub(super) fn hit(
        &self,
        query: &Query<'_>,
        from: Asker,
        group: u16,
        entry: &Entry,
        screening: Screening,
        reply: &mut [u8],
    ) -> Concluded<'t> {
        self.cell.bump(Counter::CacheHit);
        self.conclude(query, from, group, entry, screening, false, reply)
    }

    /// A fresh answer from the cache that is noted as passed.
    #[inline]
    pub(super) fn passed_hit(&self, query: &Query<'_>, entry: &Entry, reply: &mut [u8]) -> Done {
        self.allowed();
        self.cell.bump(Counter::CacheHit);
        self.show(query, entry, reply)
    }

    /// Screens an answer and writes it.
    #[expect(
        clippy::too_many_arguments,
        reason = "each is a different fact about one query; a struct would only rename them"
    )]
    pub(super) fn conclude(
        &self,
        query: &Query<'_>,
        from: Asker,
        group: u16,
        entry: &Entry,
        screening: Screening,
        stale: bool,
        reply: &mut [u8],
    ) -> Concluded<'t> {
        match self.screen(query, from, group, entry, screening, reply) {
            Screened::Concluded(concluded) => concluded,
            Screened::Passed { .. } => {
                self.allowed();
                Concluded::Done(if stale || is_failure(entry) {
                    self.show_explained(query, entry, stale, reply)
                } else {
                    self.show(query, entry, reply)
                })
            }
        }
    }

    /// Asks the policy about an answer: about what it leads to, and, if no rule has a say, whether that is inside.
    pub(super) fn screen(
        &self,
        query: &Query<'_>,
        from: Asker,
        group: u16,
        entry: &Entry,
        screening: Screening,
        reply: &mut [u8],
    ) -> Screened<'t> {
        let screened = self.screen_targets(query, from, group, entry, screening, reply);
        if let Screened::Passed { clean } = screened {
            // Where a client is sent, whoever sends it there has said so.
            if screening != Screening::Redirected
                && let Some(refused) = self.refuse_inside(query, None, entry, reply)
            {
                return Screened::Concluded(Concluded::Done(refused));
            }
            // A failure is explained each time.
            if clean && !is_failure(entry) {
                entry.note_passed(self.snapshot.generation(), group);
            }
        }
        screened
    }

    /// Asks the policy about the names an answer leads to, in their order, and about its addresses.
    #[inline]
    fn screen_targets(
        &self,
        query: &Query<'_>,
        from: Asker,
        group: u16,
        entry: &Entry,
        screening: Screening,
        reply: &mut [u8],
    ) -> Screened<'t> {
        let mut clean = screening == Screening::Allowed;
        let mut targets = entry.targets();
        let mut found = match screening {
            Screening::Permitted => return Screened::Passed { clean },
            Screening::Awaited(cause) => self.snapshot.verdict_of(cause),
            _ if entry.is_passed(self.snapshot.generation(), group) => {
                return Screened::Passed { clean: false };
            }
            Screening::Allowed | Screening::Met | Screening::Redirected => {
                let mut found = Verdict::Allow;
                for target in targets.by_ref() {
                    match self.snapshot.decide_answer(group, &target) {
                        Verdict::Allow | Verdict::Canary { .. } => {}
                        Verdict::Deny(cause) if self.is_done(query, from, screening, cause) => clean = false,
                        // An exception for a name in the chain speaks for what lies behind it too.
                        verdict @ (Verdict::Deny(_) | Verdict::Permit(_)) => {
                            found = verdict;
                            break;
                        }
                        Verdict::Shadow(cause) => {
                            clean = false;
                            self.met(query, Decision::Shadow, cause);
                        }
                    }
                }
                found
            }
        };
        let screens_addresses = self.snapshot.screens_addresses(group);
        if screens_addresses {
            found = match found {
                // Addresses are those of the last name; what met an earlier one decides.
                Verdict::Deny(_) | Verdict::Permit(_) if targets.next().is_some() => found,
                Verdict::Deny(cause) | Verdict::Permit(cause)
                    if !self.snapshot.awaits_addresses(&cause, query.record_type) =>
                {
                    found
                }
                Verdict::Deny(cause) | Verdict::Permit(cause) => {
                    self.snapshot.decide_addresses(group, self.addresses(entry), Some(&cause))
                }
                _ => self.snapshot.decide_addresses(group, self.addresses(entry), None),
            };
        }
        if self.snapshot.screens_name_servers(group) {
            let (verdict, is_whole) = self.screen_name_servers(group, entry, found);
            found = verdict;
            clean &= is_whole;
        }
        match found {
            Verdict::Allow | Verdict::Canary { .. } => {}
            Verdict::Deny(cause) if self.is_done(query, from, screening, cause) => clean = false,
            Verdict::Deny(cause) => {
                self.cell.bump(Counter::ScreenDeny);
                return Screened::Concluded(match self.snapshot.action(&cause) {
                    Action::Redirect(target) => {
                        self.met(query, Decision::Blocked, cause);
                        Concluded::Redirect(target)
                    }
                    _ => Concluded::Done(self.deny(query, cause, reply)),
                });
            }
            Verdict::Permit(cause) if cause.trigger == Trigger::ResponseName => {}
            Verdict::Permit(cause) => {
                clean = false;
                self.cell.bump(Counter::Permitted);
                self.note(Decision::Permitted, Some(cause));
            }
            Verdict::Shadow(cause) => {
                clean = false;
                self.met(query, Decision::Shadow, cause);
            }
        }
        if screens_addresses || entry.has_targets() {
            self.cell.bump(Counter::ScreenPass);
        }
        Screened::Passed { clean }
    }

    /// True when the client has done what a rule asks of it: it came over TCP, or is where it was sent.
    pub(super) fn is_done(&self, query: &Query<'_>, from: Asker, screening: Screening, cause: Cause) -> bool {
        match self.snapshot.action(&cause) {
            Action::TcpOnly => from.transport.is_connected(),
            Action::Redirect(target) => {
                screening == Screening::Redirected || target.as_wire() == query.name.as_wire()
            }
            _ => false,
        }
    }

    /// Answers as the policy's action says, and counts it under its cause.
    pub(super) fn deny(&self, query: &Query<'_>, cause: Cause, reply: &mut [u8]) -> Done {
        self.met(query, Decision::Blocked, cause);
        match self.snapshot.action(&cause) {
            Action::Drop => {
                self.cell.bump(Counter::DropPolicy);
                Done::drop()
            }
            Action::TcpOnly => Done { path: Some(Path::Block), ..self.truncated(query, reply) },
            action => match sinkhole::write(self.snapshot, query, &cause, action, self.payload(), reply) {
                Ok((rcode, length)) => self.finish(rcode, Path::Block, length),
                Err(Full) => self.truncated(query, reply),
            },
        }
    }

    /// Counts a decision under its cause, and notes it for the log.
    pub(super) fn met(&self, query: &Query<'_>, decision: Decision, cause: Cause) {
        self.count(query, decision, cause);
        self.note(decision, Some(cause));
    }

    fn count(&self, query: &Query<'_>, decision: Decision, cause: Cause) {
        let number = self.snapshot.label_number(&cause);
        self.cell.bump_cause(number);
        if let (Decision::Shadow, Some(feed)) = (decision, &self.engine.parts.last_day) {
            feed.sight(number, &query.name);
        }
    }
}
