//! Owns one question from the moment it is asked until somebody was told what came of it: its bytes, its tries, its one
//! outcome. Never chooses an upstream and never sends.

use std::fmt;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::clock::Moment;
use crate::dns::{HEADER, MAX_NAME, OPT_FIXED, padded_query, write_query};

use super::forward::Failure;
use super::random::unpredictable_bits;

/// The largest query that is sent: header, question, OPT record.
pub(super) const PACKET: usize = HEADER + MAX_NAME + 4 + OPT_FIXED;

/// Which letters of a name are capitals: one more thing that a forger must guess (draft-vixie-dnsext-dns0x20), where a server keeps them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Case(u64);

impl Case {
    /// None.
    pub(super) const PLAIN: Self = Self(0);

    /// As nobody can guess.
    pub(super) fn mixed() -> io::Result<Self> {
        unpredictable_bits().map(Self)
    }

    /// Those whose bits are set.
    pub(super) fn of_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// The byte at `at` of a name whose letters are small. Lengths of labels are no letters.
    pub(super) fn of(self, at: usize, byte: u8) -> u8 {
        let is_capital = self.0 >> (at % 64) & 1 == 1;
        if is_capital { byte.to_ascii_uppercase() } else { byte }
    }
}

/// What was answered.
#[derive(Clone, Copy, Debug)]
pub struct Response<'m> {
    /// Without OPT record and with a zero id, never truncated.
    pub message: &'m [u8],
    /// Which upstream said so, by its place among [`super::Resolver::upstreams`]; `None` where it is none's own: in recursion, and of what is
    /// known from validating others.
    pub upstream: Option<u16>,
}

/// Told once, from any thread and with no lock held: an answer, or why there is none.
pub type Then = Box<dyn FnOnce(Result<Response<'_>, Failure>) + Send>;

/// A question under way.
pub(super) struct Question {
    /// The query with a zero id and an OPT record.
    packet: Vec<u8>,
    /// Which servers may be asked.
    pub(super) servers: usize,
    /// When everybody gives up.
    pub(super) deadline: Moment,
    /// `None` once somebody was told.
    progress: Mutex<Option<Progress>>,
}

/// How far a question has come.
pub(super) struct Progress {
    pub(super) then: Then,
    /// Servers that failed in this round, or are late. Takes no memory while the first one asked answers in time.
    pub(super) failed: Vec<u16>,
    /// The server that is being asked.
    pub(super) asked: Option<u16>,
    pub(super) rounds: u8,
    /// Tries so far.
    pub(super) tries: u8,
    /// The number of the try that is waited for.
    pub(super) latest: u8,
    /// That of another which is waited for beside it.
    pub(super) beside: Option<u8>,
    /// The server that was late and the number of the try that went to another for it.
    pub(super) hedged: Option<(u16, u8)>,
    /// What the last try that failed died of.
    pub(super) failure: Failure,
    /// An answer that is no help (SERVFAIL and the like), and whose it is, to be passed on when no server has a better one.
    pub(super) unhelpful: Option<(u16, Box<[u8]>)>,
}

impl Question {
    /// `question` is QNAME, QTYPE and QCLASS in wire form.
    pub(super) fn new(
        question: &[u8],
        dnssec_ok: bool,
        checking_disabled: bool,
        servers: usize,
        deadline: Moment,
        then: Then,
    ) -> Self {
        let progress = Progress {
            then,
            failed: Vec::new(),
            asked: None,
            rounds: 0,
            tries: 0,
            latest: 0,
            beside: None,
            hedged: None,
            failure: Failure::NoUpstream,
            unhelpful: None,
        };
        Self {
            packet: write_query(0, question, dnssec_ok, checking_disabled, true),
            servers,
            deadline,
            progress: Mutex::new(Some(progress)),
        }
    }

    /// QNAME, QTYPE and QCLASS.
    pub(super) fn wire(&self) -> &[u8] {
        self.packet.get(HEADER..self.end()).unwrap_or(&[])
    }

    /// Writes the query under `id`, with an OPT record if `edns`, and with the letters of its name as `case` says.
    pub(super) fn write<'b>(
        &self,
        id: u16,
        edns: bool,
        case: Case,
        buffer: &'b mut [u8; PACKET],
    ) -> &'b [u8] {
        let whole = if edns { &self.packet } else { self.packet.get(..self.end()).unwrap_or(&[]) };
        let Some(out) = buffer.get_mut(..whole.len()) else { return &[] };
        out.copy_from_slice(whole);
        if let Some([high, low, _, _, _, _, _, _, _, _, _, additional]) = out.first_chunk_mut::<HEADER>() {
            [*high, *low] = id.to_be_bytes();
            *additional = u8::from(edns);
        }
        if let Some(name) = out.get_mut(HEADER..self.end() - 4).filter(|_| case != Case::PLAIN) {
            for (at, byte) in name.iter_mut().enumerate() {
                *byte = case.of(at, *byte);
            }
        }
        out
    }

    /// The query under `id` for servers inside of TLS: padded (RFC 8467) where it has an OPT record.
    pub(super) fn padded(&self, id: u16, edns: bool) -> Vec<u8> {
        let mut packet = [0; PACKET];
        let query = self.write(id, edns, Case::PLAIN, &mut packet);
        if edns { padded_query(query) } else { query.to_vec() }
    }

    /// How far it has come; `None` once it is over.
    pub(super) fn progress(&self) -> MutexGuard<'_, Option<Progress>> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// True once somebody was told.
    pub(super) fn is_over(&self) -> bool {
        self.progress().is_none()
    }

    /// Where the question ends in the packet.
    fn end(&self) -> usize {
        self.packet.len() - OPT_FIXED
    }

    /// Ends it: whoever gets what there was tells who asked.
    pub(super) fn conclude(&self) -> Option<Progress> {
        self.progress().take()
    }
}

impl Progress {
    /// Counts a try, from now on the one that is waited for.
    pub(super) fn begin(&mut self) -> u8 {
        self.tries = self.tries.wrapping_add(1);
        self.latest = self.tries;
        self.latest
    }

    /// True when try `number` is waited for.
    pub(super) fn awaits(&self, number: u8) -> bool {
        self.latest == number || self.beside == Some(number)
    }

    /// Waits for try `number` no longer. True when another is still under way.
    pub(super) fn leave(&mut self, number: u8) -> bool {
        match self.beside.take() {
            Some(beside) => {
                if self.latest == number {
                    self.latest = beside;
                }
                true
            }
            None => false,
        }
    }
}

impl fmt::Debug for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Question").field("servers", &self.servers).finish_non_exhaustive()
    }
}
