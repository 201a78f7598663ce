//! Owns the reading of a response to AXFR or IXFR (RFC 5936, RFC 1995), message by message: what each may be, which form
//! the response has, where it ends. Bytes in; a zone, differences, or a fault out. Bounded in bytes and records, and the
//! caller bounds the time. Never connects, never verifies a signature.

use super::record;
use super::soa::Soa;
use super::zone::{Changes, Lines, Mismatch};
use crate::dns::{Class, Flags, HEADER, Message, Name, RecordType, Section, is_newer_serial};
use crate::formats::Text;

/// A request for a zone.
#[derive(Clone, Copy, Debug)]
pub struct Request<'z> {
    /// Its id.
    pub id: u16,
    /// The zone.
    pub zone: &'z Name,
    /// The SOA record at hand, to be told the differences since (IXFR); without one, for all of it (AXFR).
    pub known: Option<&'z Soa>,
}

/// Reads a response.
#[derive(Debug)]
pub struct Reader<'z> {
    request: Request<'z>,
    cap: u64,
    state: State,
    /// The first record: version and line.
    soa: Option<(Soa, Vec<u8>)>,
    lines: Lines,
    changes: Changes,
    records: u64,
    line: Vec<u8>,
}

/// What a response brought.
#[derive(Debug)]
pub enum Received {
    /// Differences; to be applied to the text at hand.
    Changes(Differences),
    /// The version at hand is the newest.
    Unchanged,
    /// The whole zone: its version, its text.
    Whole(Soa, Text),
}

/// Differences between the version at hand and a newer one.
#[derive(Debug)]
pub struct Differences {
    soa: Vec<u8>,
    changes: Changes,
}

/// What is wrong with a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// A message does not parse, or a record's value does not.
    #[error("a message or record is malformed")]
    Broken,
    /// So many differences that the whole zone is the shorter way.
    #[error("more differences than are worth applying")]
    Many,
    /// The differences are not of the version at hand.
    #[error("the differences do not fit the version at hand")]
    Mismatch,
    /// Records outside the zone.
    #[error("a record lies outside the zone")]
    Outside,
    /// The primary says no, with this code.
    #[error("the primary answered {}", rcode_name(*.0))]
    Rcode(u16),
    /// Versions that do not follow one another.
    #[error("the versions in it do not follow one another")]
    Sequence,
    /// It does not begin and end with the zone's SOA record.
    #[error("it does not begin and end with the zone's SOA record")]
    Soa,
    /// Only an older version.
    #[error("the primary has serial {offered}, older than serial {known} in use")]
    Older {
        /// The primary's.
        offered: u32,
        /// The one at hand.
        known: u32,
    },
    /// Not a response to this request.
    #[error("a message is no response to this request")]
    Stranger,
    /// Over the cap.
    #[error("too large")]
    TooLarge,
    /// Records behind the end.
    #[error("records follow behind its end")]
    Trailing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Nothing yet.
    Start,
    /// One SOA record.
    First,
    /// Records of the whole zone.
    Whole,
    /// Records taken out of this version.
    Deleting(u32),
    /// Records put in for this version.
    Adding(u32),
    End(End),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Changes,
    Unchanged,
    Whole,
}

/// Most records that change: some 150 MB while they are applied. A whole zone takes less for each.
const MOST_CHANGES: usize = 2_000_000;
/// Most records: far more than fit the largest list.
const MOST_RECORDS: u64 = 50_000_000;

impl Request<'_> {
    /// The request as a message.
    pub fn message(&self) -> Vec<u8> {
        let mut out = self.id.to_be_bytes().to_vec();
        out.extend([0, 0, 0, 1, 0, 0, 0, u8::from(self.known.is_some()), 0, 0]);
        out.extend(self.zone.as_wire());
        out.extend(self.record_type().0.to_be_bytes());
        out.extend(Class::IN.0.to_be_bytes());
        if let Some(soa) = self.known {
            // The record at hand, as far as the primary looks at it: owner and serial (RFC 1995 section 3).
            out.extend([0xC0, HEADER as u8]);
            out.extend(RecordType::SOA.0.to_be_bytes());
            out.extend(Class::IN.0.to_be_bytes());
            out.extend([0, 0, 0, 0, 0, 22, 0, 0]);
            out.extend(soa.serial.to_be_bytes());
            out.extend([0; 16]);
        }
        out
    }

    fn record_type(&self) -> RecordType {
        if self.known.is_some() { RecordType::IXFR } else { RecordType::AXFR }
    }

    /// Whether `message` answers this request. The question may be left out behind the first message.
    fn is_answered_by(&self, message: Message<'_>, first: bool) -> bool {
        let flags = message.flags();
        if message.id() != self.id || !flags.has(Flags::QR) || flags.0 & (Flags::OPCODE | Flags::TC) != 0 {
            return false;
        }
        let Some(end) = message.question_end() else { return !first && message.question_count() == 0 };
        let tail = [self.record_type().0.to_be_bytes(), Class::IN.0.to_be_bytes()].concat();
        message.name_at(HEADER).is_some_and(|name| name.as_wire() == self.zone.as_wire())
            && message.bytes().get(end - 4..end) == Some(&tail)
    }
}

impl<'z> Reader<'z> {
    /// Reads the response to `request`, of at most `cap` bytes as text.
    pub fn new(request: Request<'z>, cap: u64) -> Self {
        Self {
            request,
            cap,
            state: State::Start,
            soa: None,
            lines: Lines::default(),
            changes: Changes::default(),
            records: 0,
            line: Vec::new(),
        }
    }

    /// Reads the next message; true when it is the last.
    pub fn read(&mut self, bytes: &[u8]) -> Result<bool, Fault> {
        let message = Message::new(bytes).ok_or(Fault::Broken)?;
        if message.id() == self.request.id && message.flags().has(Flags::QR) {
            match message.flags().rcode().0 {
                0 => {}
                // Servers that do not know the type need not echo the question.
                rcode => return Err(Fault::Rcode(rcode)),
            }
        }
        if !self.request.is_answered_by(message, self.state == State::Start) {
            return Err(Fault::Stranger);
        }
        let count = usize::from(message.record_count(Section::Answer));
        let mut read = 0;
        for record in message.transferred().take(count) {
            read += 1;
            self.records += 1;
            if self.records > MOST_RECORDS {
                return Err(Fault::TooLarge);
            }
            if record.class != Class::IN {
                return Err(Fault::Broken);
            }
            self.line.clear();
            let mut line = std::mem::take(&mut self.line);
            let inside = record::write(message, &record, self.request.zone, &mut line);
            let step = match inside {
                None => Err(self.outside(message, record.owner)),
                Some(()) if record.record_type == RecordType::SOA => {
                    let soa = record::soa(message, &record);
                    match soa.filter(|_| record::is_apex(message, &record, self.request.zone)) {
                        Some(soa) => self.version(soa, &line),
                        None => Err(Fault::Soa),
                    }
                }
                Some(()) => self.record(&line),
            };
            self.line = line;
            step?;
            if self.state == State::End(End::Unchanged) {
                return Ok(true);
            }
        }
        if read < count {
            return Err(Fault::Broken);
        }
        if count == 0 {
            return Err(if self.state == State::Start { Fault::Soa } else { Fault::Broken });
        }
        Ok(matches!(self.state, State::End(_)))
    }

    /// What the response brought; `None` when it is not at its end.
    pub fn finish(self) -> Option<Received> {
        let (soa, line) = self.soa?;
        match self.state {
            State::End(End::Unchanged) => Some(Received::Unchanged),
            State::End(End::Changes) => {
                Some(Received::Changes(Differences { soa: line, changes: self.changes }))
            }
            State::End(End::Whole) => {
                Some(Received::Whole(soa, self.lines.into_text(self.request.zone, &line)))
            }
            _ => None,
        }
    }

    /// A record that makes no line: elsewhere, or malformed.
    fn outside(&self, message: Message<'_>, owner: usize) -> Fault {
        let below = message.name_at(owner).is_some_and(|name| {
            (0..=name.label_count()).any(|at| name.suffix(at) == self.request.zone.as_wire())
        });
        match (below, self.state) {
            (true, _) => Fault::Broken,
            (false, State::Start) => Fault::Soa,
            (false, _) => Fault::Outside,
        }
    }

    /// The zone's SOA record, wherever it stands.
    fn version(&mut self, soa: Soa, line: &[u8]) -> Result<(), Fault> {
        let known = self.request.known.map(|soa| soa.serial);
        let Some((target, target_line)) = &self.soa else {
            self.soa = Some((soa, line.to_vec()));
            self.state = match known {
                Some(known) if soa.serial == known => State::End(End::Unchanged),
                Some(known) if !is_newer_serial(soa.serial, known) => {
                    return Err(Fault::Older { offered: soa.serial, known });
                }
                _ => State::First,
            };
            return Ok(());
        };
        let is_target = *target_line == line;
        self.state = match (self.state, known) {
            // Two of the same: a zone of nothing else.
            (State::First | State::Whole, _) if is_target => State::End(End::Whole),
            (State::First, Some(known)) if soa.serial == known => State::Deleting(known),
            (State::Deleting(from), _) if is_newer_serial(soa.serial, from) => State::Adding(soa.serial),
            (State::Adding(version), _) if version == target.serial && is_target => State::End(End::Changes),
            (State::Adding(version), _) if soa.serial == version && version != target.serial => {
                State::Deleting(version)
            }
            (State::Deleting(_) | State::Adding(_), _) => return Err(Fault::Sequence),
            (State::First | State::Whole, _) => return Err(Fault::Soa),
            (State::Start | State::End(_), _) => return Err(Fault::Trailing),
        };
        Ok(())
    }

    /// Any other record.
    fn record(&mut self, line: &[u8]) -> Result<(), Fault> {
        let mismatch = |Mismatch| Fault::Mismatch;
        match self.state {
            State::Start => return Err(Fault::Soa),
            State::First | State::Whole => {
                self.state = State::Whole;
                self.lines.push(line);
            }
            State::Deleting(_) => self.changes.delete(line).map_err(mismatch)?,
            State::Adding(_) => self.changes.add(line).map_err(mismatch)?,
            State::End(_) => return Err(Fault::Trailing),
        }
        if self.changes.count() > MOST_CHANGES {
            return Err(Fault::Many);
        }
        // Ends of lines count too.
        if self.lines.bytes() + self.changes.bytes + self.records > self.cap {
            return Err(Fault::TooLarge);
        }
        Ok(())
    }
}

impl Differences {
    /// The text of the zone after them; `text` is that of the version at hand.
    pub fn apply(self, text: &Text, zone: &Name) -> Result<Text, Fault> {
        self.changes.apply(text, zone, &self.soa).map_err(|Mismatch| Fault::Mismatch)
    }
}

fn rcode_name(rcode: u16) -> String {
    match rcode {
        1 => "FORMERR".to_owned(),
        2 => "SERVFAIL".to_owned(),
        3 => "NXDOMAIN".to_owned(),
        4 => "NOTIMP".to_owned(),
        5 => "REFUSED".to_owned(),
        9 => "NOTAUTH".to_owned(),
        other => format!("response code {other}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ZONE: &str = "rpz.example";

    /// A record of the zone: owner relative to it, type, value.
    #[derive(Clone, Debug)]
    struct Rr(&'static str, RecordType, Vec<u8>);

    fn soa(serial: u32) -> Rr {
        let mut rdata = b"\x02ns\xC0\x0C\x07contact\0".to_vec();
        for field in [serial, 3600, 600, 86_400, 60] {
            rdata.extend(field.to_be_bytes());
        }
        Rr("", RecordType::SOA, rdata)
    }

    fn block(owner: &'static str) -> Rr {
        Rr(owner, RecordType::CNAME, vec![0])
    }

    fn known(serial: u32) -> Soa {
        Soa::of_fields([serial, 3600, 600, 86_400])
    }

    /// A message with these records in the answer section, behind a question of that type, or none.
    fn message(flags: u16, question: Option<RecordType>, records: &[Rr]) -> Vec<u8> {
        let mut out = b"\0\x07".to_vec();
        out.extend((0x8400 | flags).to_be_bytes());
        out.extend(u16::from(question.is_some()).to_be_bytes());
        out.extend((records.len() as u16).to_be_bytes());
        out.extend([0; 4]);
        let zone: Name = ZONE.parse().unwrap();
        if let Some(question) = question {
            out.extend(zone.as_wire());
            out.extend(question.0.to_be_bytes());
            out.extend(b"\0\x01");
        }
        for Rr(owner, record_type, rdata) in records {
            let mut name = Vec::new();
            for label in owner.split('.').filter(|label| !label.is_empty()) {
                name.push(label.len() as u8);
                name.extend(label.as_bytes());
            }
            out.extend(name);
            let mut rdata = rdata.clone();
            match question {
                Some(_) => out.extend(b"\xC0\x0C"),
                None => {
                    out.extend(zone.as_wire());
                    // There is no name at byte 12 to point to.
                    if let Some(at) = rdata.windows(2).position(|pair| pair == b"\xC0\x0C") {
                        rdata.splice(at..at + 2, zone.as_wire().iter().copied());
                    }
                }
            }
            out.extend(record_type.0.to_be_bytes());
            out.extend(b"\0\x01\0\0\0\x3C");
            out.extend((rdata.len() as u16).to_be_bytes());
            out.extend(rdata);
        }
        out
    }

    fn text(serial: u32, owners: &[&str]) -> String {
        let mut owners = owners.to_vec();
        owners.sort_unstable();
        let lines: String = owners.iter().map(|owner| format!("{owner} 60 CNAME .\n")).collect();
        format!("$ORIGIN {ZONE}.\n@ 60 SOA ns.{ZONE}. contact. {serial} 3600 600 86400 60\n{lines}")
    }

    /// Reads `records`, `size` of them a message, as the response to AXFR or, with a serial at hand, IXFR. What came, as text
    /// of the zone; `held` is what the differences are applied to.
    fn respond(have: Option<u32>, records: &[Rr], size: usize, held: &str) -> Result<Option<String>, Fault> {
        let zone: Name = ZONE.parse().unwrap();
        let soa = have.map(known);
        let request = Request { id: 7, zone: &zone, known: soa.as_ref() };
        let mut reader = Reader::new(request, 1 << 20);
        let question = Some(request.record_type());
        for (number, records) in records.chunks(size).enumerate() {
            let question = question.filter(|_| number % 2 == 0);
            if reader.read(&message(0, question, records))? {
                break;
            }
        }
        let text = |text: Text| Some(String::from_utf8(text.bytes().into_owned()).unwrap());
        Ok(match reader.finish() {
            None => panic!("not at its end"),
            Some(Received::Unchanged) => None,
            Some(Received::Whole(_, whole)) => text(whole),
            Some(Received::Changes(differences)) => {
                text(differences.apply(&Text::whole(held.as_bytes().to_vec()), &zone)?)
            }
        })
    }

    #[test]
    fn a_request_is_what_other_libraries_read() {
        use hickory_proto::op::Message;
        let zone: Name = ZONE.parse().unwrap();
        let soa = known(7);
        for known in [None, Some(&soa)] {
            let request = Request { id: 0xABCD, zone: &zone, known };
            let bytes = request.message();
            let message = Message::from_vec(&bytes).unwrap();
            assert_eq!((message.metadata.id, message.queries.len()), (0xABCD, 1));
            assert_eq!(
                message.queries[0].query_type().to_string(),
                if known.is_some() { "IXFR" } else { "AXFR" }
            );
            assert_eq!(message.authorities.len(), usize::from(known.is_some()));
            if let Some(record) = message.authorities.first() {
                assert!(record.to_string().contains(" 7 0 0 0 0"), "{record}");
            }
        }
    }

    #[test]
    fn every_form_of_a_response_is_read_however_it_is_cut() {
        let whole = [soa(9), block("b"), block("*.a"), block("b"), soa(9)];
        let steps = [
            soa(9),
            soa(7),
            block("old"),
            block("*.a"),
            soa(8),
            block("mid"),
            soa(8),
            block("mid"),
            soa(9),
            block("new"),
            soa(9),
        ];
        // A difference that only takes out, and one that only puts in.
        let shrink = [soa(9), soa(7), block("old"), soa(9), soa(9)];
        let grow = [soa(9), soa(7), soa(9), block("new"), soa(9)];
        let held = text(7, &["*.a", "old"]);
        for size in 1..12 {
            assert_eq!(respond(None, &whole, size, ""), Ok(Some(text(9, &["*.a", "b"]))), "{size}");
            assert_eq!(respond(Some(7), &whole, size, &held), Ok(Some(text(9, &["*.a", "b"]))), "{size}");
            assert_eq!(respond(Some(7), &steps, size, &held), Ok(Some(text(9, &["new"]))), "{size}");
            assert_eq!(respond(Some(7), &shrink, size, &held), Ok(Some(text(9, &["*.a"]))), "{size}");
            assert_eq!(
                respond(Some(7), &grow, size, &held),
                Ok(Some(text(9, &["*.a", "new", "old"]))),
                "{size}"
            );
            assert_eq!(respond(Some(9), &whole, size, ""), Ok(None), "up to date, though it sends all");
        }
        assert_eq!(respond(Some(9), &[soa(9)], 1, ""), Ok(None));
        assert_eq!(respond(None, &[soa(9), soa(9)], 1, ""), Ok(Some(text(9, &[]))), "nothing but itself");
        let round = [soa(3), soa(u32::MAX), soa(3), block("new"), soa(3)];
        assert_eq!(respond(Some(u32::MAX), &round, 2, &text(u32::MAX, &[])), Ok(Some(text(3, &["new"]))));
    }

    #[test]
    fn a_response_that_is_not_one_is_told_by_what_is_wrong_with_it() {
        let held = text(7, &["old"]);
        let other = |mut record: Rr| {
            record.2[1] = b'm';
            record
        };
        for (have, records, fault) in [
            (None, vec![block("a"), soa(9)], Fault::Soa),
            (None, vec![soa(9), block("a"), soa(10)], Fault::Soa),
            (None, vec![soa(9), block("a"), other(soa(9))], Fault::Soa),
            (None, vec![soa(9), block("a"), soa(9), block("b")], Fault::Trailing),
            (None, vec![soa(9), block("a"), Rr("a", RecordType::SOA, soa(9).2), soa(9)], Fault::Soa),
            (None, vec![soa(9), Rr("a", RecordType::A, vec![1, 2, 3])], Fault::Broken),
            (Some(7), vec![soa(6)], Fault::Older { offered: 6, known: 7 }),
            (
                Some(7),
                vec![soa(7u32.wrapping_add(1 << 31))],
                Fault::Older { offered: 7 + (1 << 31), known: 7 },
            ),
            (Some(7), vec![soa(9), soa(6), soa(9), soa(9)], Fault::Soa),
            (Some(7), vec![soa(9), soa(7), soa(7), soa(9)], Fault::Sequence),
            (Some(7), vec![soa(9), soa(7), soa(6), soa(9)], Fault::Sequence),
            (Some(7), vec![soa(9), soa(7), soa(8), soa(7), soa(9)], Fault::Sequence),
            (Some(7), vec![soa(9), soa(7), soa(9), other(soa(9))], Fault::Sequence),
            (Some(7), vec![soa(9), soa(7), block("no"), soa(9), soa(9)], Fault::Mismatch),
            (Some(7), vec![soa(9), soa(7), soa(9), block("old"), soa(9)], Fault::Mismatch),
            (Some(7), vec![soa(9), soa(7), block("old"), block("old"), soa(9)], Fault::Mismatch),
            (Some(7), vec![soa(9), soa(7), soa(9), soa(9), block("a")], Fault::Trailing),
        ] {
            let size = records.len();
            assert_eq!(respond(have, &records, size, &held), Err(fault), "{records:?}");
        }
    }

    #[test]
    fn messages_that_are_no_response_are_refused() {
        let zone: Name = ZONE.parse().unwrap();
        let fresh = || Reader::new(Request { id: 7, zone: &zone, known: None }, 1 << 20);
        let good = message(0, Some(RecordType::AXFR), &[soa(9), block("a"), soa(9)]);
        assert_eq!(fresh().read(&good), Ok(true));
        let changed = |at: usize, to: u8| {
            let mut bytes = good.clone();
            bytes[at] = to;
            fresh().read(&bytes)
        };
        assert_eq!(changed(1, 8), Err(Fault::Stranger), "another id");
        assert_eq!(changed(2, 0x04), Err(Fault::Stranger), "a request");
        assert_eq!(changed(2, 0x86), Err(Fault::Stranger), "truncated");
        assert_eq!(changed(3, 5), Err(Fault::Rcode(5)));
        assert_eq!(changed(14, b'x'), Err(Fault::Stranger), "another zone's question");
        assert_eq!(fresh().read(&message(0, Some(RecordType::IXFR), &[soa(9)])), Err(Fault::Stranger));
        assert_eq!(
            fresh().read(&message(0, None, &[soa(9)])),
            Err(Fault::Stranger),
            "no question in the first"
        );
        assert_eq!(fresh().read(&message(0, Some(RecordType::AXFR), &[])), Err(Fault::Soa), "nothing");
        for end in 0..good.len() {
            assert!(fresh().read(&good[..end]).is_err(), "cut at {end}");
        }
        // A later message without a record: a stream of those would never end.
        let mut reader = fresh();
        assert_eq!(reader.read(&message(0, Some(RecordType::AXFR), &[soa(9)])), Ok(false));
        assert_eq!(reader.read(&message(0, None, &[])), Err(Fault::Broken));
        // Another zone's records behind the right question.
        let mut elsewhere = message(0, Some(RecordType::AXFR), &[]);
        elsewhere[7] = 1;
        elsewhere.extend(b"\x05other\0\0\x06\0\x01\0\0\0\x3C\0\x16\0\0");
        elsewhere.extend([0; 20]);
        assert_eq!(fresh().read(&elsewhere), Err(Fault::Soa));
    }

    #[test]
    fn a_stream_without_an_end_is_cut_off_at_the_cap() {
        let zone: Name = ZONE.parse().unwrap();
        let soa_at_hand = known(7);
        for (have, begin) in [
            (None, vec![soa(9)]),
            (Some(&soa_at_hand), vec![soa(9), soa(7)]),
            (Some(&soa_at_hand), vec![soa(9), soa(7), soa(8)]),
        ] {
            let request = Request { id: 7, zone: &zone, known: have };
            let mut reader = Reader::new(request, 10_000);
            reader.read(&message(0, Some(request.record_type()), &begin)).unwrap();
            let mut bytes = 0;
            let fault = (0u16..).find_map(|number| {
                let text = number.to_be_bytes().to_vec();
                let records = vec![Rr("a", RecordType(65_400), text); 1];
                let next = message(0, None, &records);
                bytes += next.len();
                reader.read(&next).err()
            });
            assert_eq!(fault, Some(Fault::TooLarge));
            assert!(bytes < 40_000, "{bytes}");
        }
    }
}
