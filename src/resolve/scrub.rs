//! Owns what of an upstream's answer belongs to the question. The rest, which is how whoever answers one question speaks of names that nobody
//! asked for, is neither kept nor passed on. Never reads a socket.
//!
//! The answer section is followed from QNAME along CNAME and DNAME records, and holds what was asked for there, the aliases, and their
//! signatures. Of the authority section stay SOA records of zones that these names are in, and the proofs of such zones (NSEC, NSEC3 and
//! signatures): what a negative answer, or a wildcard, needs. Name servers that nobody asked for go, as do all additional records: a stub has
//! no use for them, a resolver behind this one asks, and no policy looks at them. Unbound does the same towards clients by default
//! (`minimal-responses`).

use crate::dns::{
    CanonicalName, Class, Flags, HEADER, MAX_MESSAGE, Message, Rcode, Record, RecordType, Section,
    write_counts,
};

/// What stays of an answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Scrubbed {
    /// Written anew: something in the middle went, or aliases did not stand in their order.
    Anew(Vec<u8>),
    /// The first bytes, this many; records behind them are no longer counted.
    Begin(usize),
}

/// What is to be done about an answer.
enum Plan {
    Anew(Vec<u8>),
    Begin { end: usize, answers: u16, authorities: u16, rcode: Rcode },
}

/// Aliases in a row that are followed: more than any honest name has.
const ALIASES: usize = 16;

/// Scrubs an answer to a question in class IN. `None` where it cannot be read. One that has answers, all of them to other questions, becomes
/// a failure of its server: another may know better.
pub(super) fn scrub(bytes: &mut [u8]) -> Option<Scrubbed> {
    match plan(bytes)? {
        Plan::Anew(message) => Some(Scrubbed::Anew(message)),
        Plan::Begin { end, answers, authorities, rcode } => {
            let flags: &mut [u8; 2] = bytes.get_mut(2..)?.first_chunk_mut()?;
            *flags = (u16::from_be_bytes(*flags) & !Flags::RCODE | rcode.0).to_be_bytes();
            write_counts(bytes, [answers, authorities, 0])?;
            Some(Scrubbed::Begin(end))
        }
    }
}

/// The same of an answer that is its own.
pub(super) fn scrubbed(mut bytes: Vec<u8>) -> Option<Vec<u8>> {
    match scrub(&mut bytes)? {
        Scrubbed::Anew(message) => Some(message),
        Scrubbed::Begin(length) => {
            bytes.truncate(length);
            Some(bytes)
        }
    }
}

fn plan(bytes: &[u8]) -> Option<Plan> {
    let message = Message::new(bytes)?;
    let question_end = message.question_end()?;
    let kind = RecordType(u16::from_be_bytes(*bytes.get(question_end - 4..)?.first_chunk()?));
    let rcode = message.flags().rcode();
    let (mut end, mut answers, mut is_plain) = (question_end, 0, true);
    let mut records = message.records();
    for record in records.by_ref() {
        match record.section {
            Section::Answer => {
                is_plain &= is_at_question(bytes, &record)
                    && (record.record_type == kind || covered(bytes, &record) == Some(kind));
                (end, answers) = (record.rdata.end, answers + 1);
            }
            Section::Authority => is_plain &= !is_shown_beside(record.record_type),
            Section::Additional => {}
        }
    }
    if records.is_broken() {
        return None;
    }
    // Nearly always: nothing but what was asked for.
    if is_plain {
        return Some(Plan::Begin { end, answers, authorities: 0, rcode });
    }
    let belonging = Belonging::of(message, kind)?;
    let mut kept: Vec<(usize, Record)> = Vec::new();
    let mut is_begin = true;
    let (mut count, mut last) = (0, 0);
    for record in message.records() {
        if let Some(place) = belonging.place(&record) {
            is_begin &= kept.len() == count && place >= last;
            last = place;
            kept.push((place, record));
        }
        count += 1;
    }
    let of = |section| kept.iter().filter(|(_, record)| record.section == section).count() as u16;
    let (kept_answers, authorities) = (of(Section::Answer), of(Section::Authority));
    if answers > 0 && kept_answers == 0 && rcode == Rcode::NOERROR {
        let (answers, authorities) = (0, 0);
        return Some(Plan::Begin { end: question_end, answers, authorities, rcode: Rcode::SERVFAIL });
    }
    if is_begin {
        let end = kept.last().map_or(question_end, |(_, record)| record.rdata.end);
        return Some(Plan::Begin { end, answers: kept_answers, authorities, rcode });
    }
    // Many stubs read no further than aliases come in their order.
    kept.sort_by_key(|(place, _)| *place);
    let mut out = bytes.get(..question_end)?.to_vec();
    write_counts(&mut out, [kept_answers, authorities, 0])?;
    for (_, record) in &kept {
        message.write_out(record, &mut out)?;
    }
    (out.len() <= MAX_MESSAGE).then_some(Plan::Anew(out))
}

/// What a signature covers (RFC 4034 section 3.1.1).
fn covered(bytes: &[u8], record: &Record) -> Option<RecordType> {
    let rdata = bytes.get(record.rdata.clone()).filter(|_| record.record_type == RecordType::RRSIG)?;
    rdata.first_chunk().map(|covered| RecordType(u16::from_be_bytes(*covered)))
}

/// True when a record's owner is a pointer to QNAME, as nearly all are, and its class the question's.
fn is_at_question(bytes: &[u8], record: &Record) -> bool {
    record.class == Class::IN && bytes.get(record.owner..record.owner + 2) == Some(&[0xC0, HEADER as u8])
}

/// What may stand in the authority section.
fn is_shown_beside(kind: RecordType) -> bool {
    matches!(kind, RecordType::NSEC | RecordType::NSEC3 | RecordType::RRSIG | RecordType::SOA)
}

/// What records belong to.
struct Belonging<'m> {
    message: Message<'m>,
    kind: RecordType,
    /// QNAME, and the names it is an alias of, in their order.
    names: Vec<CanonicalName>,
    /// Zones that some of these are in, by what stands in the authority section.
    zones: Vec<CanonicalName>,
}

impl<'m> Belonging<'m> {
    fn of(message: Message<'m>, kind: RecordType) -> Option<Self> {
        let names = vec![message.name_at(HEADER)?];
        let mut belonging = Self { message, kind, names, zones: Vec::new() };
        while belonging.names.len() <= ALIASES && kind != RecordType::CNAME && !belonging.is_any() {
            match belonging.names.last().and_then(|name| belonging.destination(name)) {
                Some(next) if !belonging.is_named(&next) => belonging.names.push(next),
                _ => break,
            }
        }
        let beside = |record: &Record| record.section == Section::Authority && record.class == Class::IN;
        for record in message.records().filter(beside) {
            if let Some(zone) = belonging.zone(&record)
                && belonging.names.iter().any(|name| name.is_within(&zone))
                && !belonging.zones.iter().any(|known| is_same(known, &zone))
            {
                belonging.zones.push(zone);
            }
        }
        Some(belonging)
    }

    /// Where `name` leads to: by a CNAME record of its own, which a server makes of a DNAME record too, or by such a record alone.
    fn destination(&self, name: &CanonicalName) -> Option<CanonicalName> {
        let aliases = |kind: RecordType| {
            let answers = self.message.records().take_while(|record| record.section == Section::Answer);
            answers.filter(move |record| record.record_type == kind && record.class == Class::IN)
        };
        let target = |record: &Record| self.message.name_at(record.rdata.start);
        let mut owners = aliases(RecordType::CNAME).filter_map(|record| Some((self.owner(&record)?, record)));
        if let Some((_, record)) = owners.find(|(owner, _)| is_same(owner, name)) {
            return target(&record);
        }
        let mut owners = aliases(RecordType::DNAME).filter_map(|record| Some((self.owner(&record)?, record)));
        let (owner, record) = owners.find(|(owner, _)| is_below(name, owner))?;
        // RFC 6672 section 2.2: the suffix is replaced.
        let front = name.as_wire().strip_suffix(owner.as_wire())?;
        CanonicalName::read(&[front, target(&record)?.as_wire()].concat())
    }

    /// The zone that a record of the authority section speaks for.
    fn zone(&self, record: &Record) -> Option<CanonicalName> {
        match record.record_type {
            RecordType::SOA => self.owner(record),
            RecordType::RRSIG => self.signer(record).filter(|zone| {
                let covered = covered(self.message.bytes(), record);
                let is_proof = covered.is_some_and(|kind| kind != RecordType::RRSIG && is_shown_beside(kind));
                is_proof && self.owner(record).is_some_and(|owner| owner.is_within(zone))
            }),
            _ => None,
        }
    }

    /// Where among the names a record belongs; behind them all what stands in the authority section. `None` for what belongs nowhere.
    fn place(&self, record: &Record) -> Option<usize> {
        if record.class != Class::IN {
            return None;
        }
        let covered = covered(self.message.bytes(), record).filter(|_| self.kind != RecordType::RRSIG);
        let kind = covered.unwrap_or(record.record_type);
        match record.section {
            Section::Answer => {
                let owner = self.owner(record)?;
                let at_name = || self.names.iter().position(|name| is_same(name, &owner));
                let above_name = || self.names.iter().position(|name| is_below(name, &owner));
                let is_wanted = kind == self.kind || kind == RecordType::CNAME || self.is_any();
                let place = if is_wanted { at_name() } else { None };
                if kind == RecordType::DNAME { place.or_else(above_name) } else { place }
            }
            Section::Authority => {
                let is_in_zone = |name: &CanonicalName| self.zones.iter().any(|zone| name.is_within(zone));
                let belongs = match record.record_type {
                    RecordType::RRSIG | RecordType::SOA => {
                        let own = self.zone(record)?;
                        self.zones.iter().any(|zone| is_same(zone, &own))
                    }
                    RecordType::NSEC | RecordType::NSEC3 => is_in_zone(&self.owner(record)?),
                    _ => false,
                };
                belongs.then_some(self.names.len())
            }
            Section::Additional => None,
        }
    }

    fn owner(&self, record: &Record) -> Option<CanonicalName> {
        self.message.name_at(record.owner)
    }

    /// Who made a signature: never a pointer (RFC 4034 section 3.1.7).
    fn signer(&self, record: &Record) -> Option<CanonicalName> {
        const SIGNER: usize = 18;
        CanonicalName::read(self.message.bytes().get(record.rdata.clone())?.get(SIGNER..)?)
    }

    /// True for MAILB, MAILA and ANY (RFC 1035 section 3.2.3), which are answered with other types.
    fn is_any(&self) -> bool {
        (RecordType::MAILB..=RecordType::ANY).contains(&self.kind)
    }

    fn is_named(&self, name: &CanonicalName) -> bool {
        self.names.iter().any(|known| is_same(known, name))
    }
}

fn is_same(one: &CanonicalName, other: &CanonicalName) -> bool {
    one.as_wire() == other.as_wire()
}

fn is_below(name: &CanonicalName, zone: &CanonicalName) -> bool {
    name.label_count() > zone.label_count() && name.is_within(zone)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_point_into_what_goes_are_written_out() {
        // `a.example MX?`: `a.example A`, `mX.evil.test A`, and the exchange in `a.example MX` points to the latter's owner.
        let mut bytes = b"\0\0\x81\x80\0\x01\0\x03\0\0\0\0\x01a\x07example\0\0\x0F\0\x01".to_vec();
        bytes.extend(b"\xC0\x0C\0\x01\0\x01\0\0\0\x1E\0\x04\xC0\0\x02\x01");
        let owner = bytes.len() as u8;
        bytes.extend(b"\x02mX\x04evil\x04test\0\0\x01\0\x01\0\0\0\x1E\0\x04\xC0\0\x02\x02");
        bytes.extend(b"\xC0\x0C\0\x0F\0\x01\0\0\0\x1E\0\x04\0\x0A\xC0");
        bytes.push(owner);
        let scrubbed = scrubbed(bytes).unwrap();
        assert_eq!(scrubbed[6..12], [0, 1, 0, 0, 0, 0]);
        assert!(scrubbed.ends_with(b"\xC0\x0C\0\x0F\0\x01\0\0\0\x1E\0\x10\0\x0A\x02mX\x04evil\x04test\0"));
    }

    #[test]
    fn a_zone_of_another_class_has_no_proofs() {
        let header = b"\0\0\x81\x83\0\x01\0\0\0\x02\0\0\x01a\x07example\0\0\x01\0\x01";
        let soa = |class: u8| [b"\xC0\x0E\0\x06\0", &[class][..], b"\0\0\0\x1E\0\x16\0\0", &[0; 20]].concat();
        let nsec = b"\xC0\x0E\0\x2F\0\x01\0\0\0\x1E\0\x04\0\0\x01\x40";
        for (class, kept) in [(1, 2), (3, 0)] {
            let once = scrubbed([&header[..], &soa(class), nsec].concat()).unwrap();
            assert_eq!(Message::new(&once).unwrap().record_count(Section::Authority), kept, "class {class}");
            assert_eq!(scrubbed(once.clone()).unwrap(), once);
        }
    }

    #[test]
    fn what_breaks_off_is_no_answer_however_it_is_cut() {
        let mut bytes = b"\0\0\x81\x80\0\x01\0\x01\0\0\0\x01\x01a\x07example\0\0\x01\0\x01".to_vec();
        bytes.extend(b"\xC0\x0C\0\x01\0\x01\0\0\0\x1E\0\x04\xC0\0\x02\x01");
        bytes.extend(b"\xC0\x0C\0\x01\0\x01\0\0\0\x1E\0\x04\xC0\0\x02\x02");
        for cut in 0..bytes.len() {
            assert!(scrubbed(bytes[..cut].to_vec()).is_none(), "cut at {cut}");
        }
        assert_eq!(scrubbed(bytes.clone()).unwrap().len(), bytes.len() - 16);
    }

    #[test]
    fn a_long_row_of_aliases_ends_in_time() {
        let mut bytes = b"\0\0\x81\x80\0\x01\0\0\0\0\0\0\x01a\0\0\x01\0\x01".to_vec();
        let name = |number: u16| [b"\x02".as_slice(), &number.to_be_bytes(), b"\0"].concat();
        bytes.extend(b"\xC0\x0C\0\x05\0\x01\0\0\0\x1E\0\x04");
        bytes.extend(name(0));
        let mut count = 1u16;
        // The other way round, so that each is looked for through all.
        for number in (0..3000u16).rev() {
            bytes.extend(name(number));
            bytes.extend(b"\0\x05\0\x01\0\0\0\x1E\0\x04");
            bytes.extend(name(number + 1));
            count += 1;
        }
        bytes[6..8].copy_from_slice(&count.to_be_bytes());
        let scrubbed = scrubbed(bytes).unwrap();
        let answers = Message::new(&scrubbed).unwrap().record_count(Section::Answer);
        assert_eq!(usize::from(answers), ALIASES + 1);
    }
}
