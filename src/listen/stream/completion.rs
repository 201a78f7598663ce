//! Owns what is added to a reply because of how its query came: how long the connection may idle, and padding. Never decides
//! what a reply says.

use std::borrow::Cow;

use crate::dns::{MAX_MESSAGE, Requested};

/// How a reply is completed before it is sent.
#[derive(Clone, Copy, Debug)]
pub(in crate::listen) struct Completion {
    /// What the query asked for.
    pub(in crate::listen) requested: Requested,
    /// How long the connection may idle, in tenths of a second, where clients are told.
    pub(in crate::listen) idle: Option<u16>,
    /// Whether nobody else can read it.
    pub(in crate::listen) encrypted: bool,
}

impl Completion {
    /// Completes the reply in the first `length` bytes of `buffer`; returns its new length.
    pub(in crate::listen) fn apply(self, buffer: &mut [u8], length: usize) -> usize {
        self.requested.complete(buffer, length, self.idle, self.encrypted)
    }

    /// The completed reply.
    pub(in crate::listen) fn whole(self, reply: &[u8]) -> Cow<'_, [u8]> {
        if self.requested == Requested::default() {
            return reply.into();
        }
        /// The most that completing adds: an idle time, and padding to a whole block.
        const ADDED: usize = 6 + 4 + 468;
        let mut whole = reply.to_vec();
        whole.resize((reply.len() + ADDED).min(MAX_MESSAGE), 0);
        let length = self.apply(&mut whole, reply.len());
        whole.truncate(length);
        whole.into()
    }
}
