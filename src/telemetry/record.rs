//! Owns the record of one query for the log: fixed size, ids only. Never holds text but the name that was asked, and the
//! reply's bytes.

use std::borrow::Borrow;
use std::net::{IpAddr, Ipv6Addr};

use super::reply::{AsSent, Origin, Reply, Sent};
use crate::dns::{CanonicalName, MAX_NAME, RecordType};
use crate::policy::{Cause, IdentityNumber, Trigger};

/// One query worth a line in the log; its name and reply of its own, or where they stand while it is handed on.
#[derive(Clone, Debug)]
pub struct Record<N = CanonicalName, R = Reply> {
    /// When it was answered: wall time in milliseconds since 1970.
    pub time_ms: i64,
    /// Who asked.
    pub client: IpAddr,
    /// Who that is beside the address.
    pub identity: IdentityNumber,
    /// One of [`Self::TRANSPORTS`].
    pub transport: &'static str,
    /// What was asked.
    pub name: N,
    /// QTYPE.
    pub record_type: RecordType,
    /// What the policy said.
    pub decision: Decision,
    /// Why; ids of [`Record::generation`]. `None` when no rule was met.
    pub cause: Option<Cause>,
    /// The generation that decided.
    pub generation: u64,
    /// Microseconds from the query to its reply, where it waited for others to answer; 0 where it did not.
    pub took_us: u32,
    /// What was answered; `None` when nothing was, and of connections.
    pub reply: Option<R>,
}

/// Words of a record without name and reply.
const FIXED: usize = 8;

impl<N: Borrow<CanonicalName>, R: AsSent> Record<N, R> {
    /// Words of eight bytes that it is packed into.
    pub(super) fn words(&self) -> usize {
        let reply = self.reply.as_ref().map_or(0, |reply| reply.as_sent().bytes().len());
        FIXED + self.name.borrow().as_wire().len().div_ceil(8) + reply.div_ceil(8)
    }

    /// Gives those words, in their order: what is fixed, the name, the reply.
    pub(super) fn pack(&self, mut put: impl FnMut(u64)) {
        let Self { reply, decision, cause, .. } = self;
        let name = self.name.borrow().as_wire();
        let transport = Record::TRANSPORTS.iter().position(|known| *known == self.transport);
        let [address_high, address_low] = halves(match self.client {
            IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
            IpAddr::V6(address) => address.to_bits(),
        });
        let sent = reply.as_ref().map_or(Sent::new(&[], Origin::Cache), AsSent::as_sent);
        let kept = sent.bytes();
        let Cause { rule, kind, group, enforcement, trigger, depth, exact } = cause.unwrap_or(NO_CAUSE);
        let bits = [reply.is_some(), sent.is_cut(), cause.is_some(), exact];
        let bits = (0..).zip(bits).fold(0, |bits, (at, bit)| bits | u8::from(bit) << at);
        let small = [
            bits,
            *decision as u8,
            transport.unwrap_or(0) as u8,
            sent.origin() as u8,
            trigger as u8,
            depth,
            name.len() as u8,
            0,
        ];
        put(self.time_ms as u64);
        put(address_high);
        put(address_low);
        put(self.generation);
        put(u64::from_le_bytes(small));
        put(quarters([group, enforcement, self.record_type.0, kept.len() as u16]));
        put(u64::from(rule) << 32 | u64::from(kind));
        put(u64::from(self.took_us) << 32 | u64::from(self.identity.as_u32()));
        for bytes in [name, kept] {
            let (whole, rest) = bytes.as_chunks::<8>();
            whole.iter().for_each(|word| put(u64::from_le_bytes(*word)));
            if !rest.is_empty() {
                let mut word = [0; 8];
                word.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
                put(u64::from_le_bytes(word));
            }
        }
    }
}

impl Record {
    /// The transport of a connection that the kernel held: its name is that of the address.
    pub const EGRESS: &'static str = "egress";

    /// How a query, or a connection that nobody asked a question for, came.
    pub const TRANSPORTS: [&'static str; 7] = ["udp", "dot", "doh", "doq", "tcp", "proxy", Self::EGRESS];

    /// When it was asked: wall time in milliseconds since 1970.
    pub(super) fn asked_ms(&self) -> i64 {
        self.time_ms.saturating_sub(i64::from(self.took_us / 1000))
    }

    /// Room for one.
    pub(super) fn blank() -> Self {
        Self {
            time_ms: 0,
            client: Ipv6Addr::UNSPECIFIED.into(),
            identity: IdentityNumber::NONE,
            transport: Self::EGRESS,
            name: CanonicalName::root(),
            record_type: RecordType(0),
            decision: Decision::Allowed,
            cause: None,
            generation: 0,
            took_us: 0,
            reply: None,
        }
    }

    /// Becomes what was packed into the words that `next` gives one by one, where it stands: a record is a kilobyte, and each time it is handed on
    /// costs as much as a line's name. `None` when they are no record; then it is some record.
    pub(super) fn unpack(&mut self, mut next: impl FnMut() -> u64) -> Option<()> {
        self.time_ms = next() as i64;
        let address = u128::from(next()) << 64 | u128::from(next());
        self.client = Ipv6Addr::from_bits(address).to_canonical();
        self.generation = next();
        let [bits, decision, transport, origin, trigger, depth, name_length, _] = next().to_le_bytes();
        let shorts = next();
        let [group, enforcement, record_type, length] = [48, 32, 16, 0].map(|shift| (shorts >> shift) as u16);
        let numbers = next();
        let last = next();
        let bit = |at: u8| bits >> at & 1 == 1;
        self.identity = IdentityNumber::from_u32(last as u32);
        self.took_us = (last >> 32) as u32;
        self.transport = Self::TRANSPORTS.get(usize::from(transport))?;
        self.record_type = RecordType(record_type);
        self.decision = *Decision::ALL.get(usize::from(decision))?;
        let cause = Cause {
            rule: (numbers >> 32) as u32,
            kind: numbers as u32,
            group,
            enforcement,
            trigger: *Trigger::ALL.get(usize::from(trigger))?,
            depth,
            exact: bit(3),
        };
        self.cause = bit(2).then_some(cause);
        let mut wire = [0; MAX_NAME.next_multiple_of(8)];
        self.name.read_over(filled(&mut wire, name_length.into(), &mut next)?)?;
        if bit(0) {
            let origin = *Origin::ALL.get(usize::from(origin))?;
            let reply = self.reply.get_or_insert_with(|| Reply::new(&[], origin));
            reply.keep_over(length, origin, bit(1), |room| filled(room, length.into(), next).map(drop))?;
        } else {
            self.reply = None;
        }
        Some(())
    }
}

/// Stands where there is no cause.
const NO_CAUSE: Cause = Cause {
    rule: 0,
    kind: 0,
    group: 0,
    enforcement: 0,
    trigger: Trigger::ClientAddress,
    depth: 0,
    exact: false,
};

fn halves(whole: u128) -> [u64; 2] {
    [(whole >> 64) as u64, whole as u64]
}

fn quarters([first, second, third, fourth]: [u16; 4]) -> u64 {
    u64::from(first) << 48 | u64::from(second) << 32 | u64::from(third) << 16 | u64::from(fourth)
}

/// The first `length` bytes of `room`, out of words.
fn filled(room: &mut [u8], length: usize, mut next: impl FnMut() -> u64) -> Option<&[u8]> {
    for to in room.get_mut(..length.next_multiple_of(8))?.as_chunks_mut::<8>().0 {
        *to = next().to_le_bytes();
    }
    room.get(..length)
}

/// What the policy said, as the log shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Decision {
    /// No rule was met.
    Allowed,
    /// Blocked.
    Blocked,
    /// Let pass by an exception or a passthru rule.
    Permitted,
    /// No rule was met, but the answer leads inside.
    Refused,
    /// Would have been blocked.
    Shadow,
}

impl Decision {
    /// All of them, each where its number says.
    const ALL: [Self; 5] = [Self::Allowed, Self::Blocked, Self::Permitted, Self::Refused, Self::Shadow];

    /// True when the client did not get what it asked for.
    pub fn is_denial(self) -> bool {
        matches!(self, Self::Blocked | Self::Refused)
    }

    /// The word in the log.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Blocked => "blocked",
            Self::Permitted => "permitted",
            Self::Refused => "refused",
            Self::Shadow => "shadow",
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn records() -> impl Strategy<Value = Record> {
        let cause =
            (any::<u32>(), any::<u32>(), any::<u16>(), any::<u16>(), 0..7_usize, any::<u8>(), any::<bool>());
        let cause = cause.prop_map(|(rule, kind, group, enforcement, trigger, depth, exact)| Cause {
            rule,
            kind,
            group,
            enforcement,
            trigger: Trigger::ALL[trigger],
            depth,
            exact,
        });
        let client = prop_oneof![
            any::<[u8; 4]>().prop_map(IpAddr::from),
            any::<[u8; 16]>().prop_map(|bytes| IpAddr::from(bytes).to_canonical()),
        ];
        let name = proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..=63), 0..4);
        let name = name.prop_map(|labels| {
            let wire = labels
                .iter()
                .flat_map(|label| std::iter::once(label.len() as u8).chain(label.iter().copied()));
            CanonicalName::read(&wire.chain([0]).collect::<Vec<_>>()).unwrap_or_else(CanonicalName::root)
        });
        let reply = (proptest::collection::vec(any::<u8>(), 0..600), 0..5_usize)
            .prop_map(|(bytes, origin)| Reply::new(&bytes, Origin::ALL[origin]));
        let numbers = (any::<i64>(), any::<[u32; 2]>(), 0..7_usize, any::<u16>(), 0..5_usize, any::<u64>());
        let option = proptest::option::of::<BoxedStrategy<Reply>>;
        (client, name, proptest::option::of(cause), option(reply.boxed()), numbers).prop_map(
            |(
                client,
                name,
                cause,
                reply,
                (time_ms, [identity, took_us], transport, record_type, decision, generation),
            )| Record {
                time_ms,
                client,
                identity: IdentityNumber::from_u32(identity),
                transport: Record::TRANSPORTS[transport],
                name,
                record_type: RecordType(record_type),
                decision: Decision::ALL[decision],
                cause,
                generation,
                took_us,
                reply,
            },
        )
    }

    fn shown(record: &Record) -> String {
        format!("{record:?} {:?}", record.reply.as_ref().map(Reply::bytes))
    }

    proptest! {
        #[test]
        fn what_is_packed_is_unpacked_as_it_was(before in records(), record in records()) {
            let (mut unpacked, mut words) = (before, Vec::new());
            record.pack(|word| words.push(word));
            prop_assert_eq!(words.len(), record.words());
            let mut words = words.into_iter();
            unpacked.unpack(|| words.next().unwrap()).unwrap();
            prop_assert_eq!(shown(&unpacked), shown(&record));
            prop_assert_eq!(words.next(), None);
        }
    }

    #[test]
    fn what_has_a_number_stands_where_that_says() {
        assert!((0..).zip(Decision::ALL).all(|(number, decision)| decision as u8 == number));
        assert!((0..).zip(Origin::ALL).all(|(number, origin)| origin as u8 == number));
        assert!((0..).zip(Trigger::ALL).all(|(number, trigger)| trigger as u8 == number));
    }

    /// Half of it is the reply's: a record that points to it would need memory on a query's thread.
    #[test]
    fn a_record_has_room_for_sixteen_cache_lines_and_a_usual_one_takes_four() {
        assert!(size_of::<Record>() <= 1024, "{}", size_of::<Record>());
        let reply = Reply::new(&[0; 120], Origin::Cache);
        let name = CanonicalName::read(b"\x03www\x07example\x03com\0").unwrap();
        let usual = Record {
            time_ms: 0,
            client: [192, 0, 2, 1].into(),
            identity: IdentityNumber::NONE,
            transport: "udp",
            name,
            record_type: RecordType::A,
            decision: Decision::Allowed,
            cause: None,
            generation: 1,
            took_us: 0,
            reply: Some(reply),
        };
        assert!(usual.words() < 4 * 8, "{}", usual.words());
    }
}
