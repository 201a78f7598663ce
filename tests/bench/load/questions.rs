//! Owns the questions: lines of a file as packets ready to send, and the check that a reply answers one. Never a socket.

use std::io::{self, BufRead, BufReader};
use std::path::Path;

/// What every query has besides its question.
#[derive(clap::Args, Clone, Debug)]
pub struct Options {
    /// Send an OPT record.
    #[arg(long)]
    pub edns: bool,
    /// Send an OPT record with the DO bit.
    #[arg(long)]
    pub dnssec_ok: bool,
    /// Send an OPT record with a client cookie.
    #[arg(long)]
    pub cookie: bool,
    /// Do not ask for recursion.
    #[arg(long)]
    pub no_recursion: bool,
    /// Replace a first label of eight zeros by a number counted from here in hexadecimal: no name comes twice.
    #[arg(long)]
    pub unique_from: Option<u32>,
    /// Begin at this line.
    #[arg(long, default_value_t = 0)]
    pub skip: usize,
}

/// What a reply should be, as the file says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Any,
    Blocked,
    Empty,
    Found,
    Gone,
}

pub const KINDS: [(&str, Kind); 5] = [
    ("any", Kind::Any),
    ("blocked", Kind::Blocked),
    ("empty", Kind::Empty),
    ("found", Kind::Found),
    ("gone", Kind::Gone),
];

struct Line {
    start: u32,
    end: u32,
    kind: Kind,
}

pub struct Questions {
    lines: Vec<Line>,
    /// Questions in wire form, one behind the other.
    bytes: Vec<u8>,
    head: [u8; 10],
    tail: Vec<u8>,
    next: usize,
    once: bool,
    unique: Option<u32>,
}

/// Digits of a number in place of a first label.
const DIGITS: usize = 8;

impl Questions {
    pub fn read(path: &Path, options: &Options, once: bool) -> io::Result<Self> {
        let (mut lines, mut bytes) = (Vec::new(), Vec::new());
        for line in BufReader::new(std::fs::File::open(path)?).lines() {
            let line = line?;
            let words: Vec<&str> = line.split_ascii_whitespace().collect();
            let [name, record_type, kind] = words[..] else { return Err(bad(&line)) };
            let start = bytes.len() as u32;
            for label in name.split('.') {
                bytes.push(label.len() as u8);
                bytes.extend_from_slice(label.as_bytes());
            }
            let record_type = match record_type {
                "A" => 1,
                "AAAA" => 28,
                "HTTPS" => 65,
                _ => return Err(bad(&line)),
            };
            bytes.extend_from_slice(&[0, 0, record_type, 0, 1]);
            let kind = KINDS.iter().find(|(word, _)| *word == kind).ok_or_else(|| bad(&line))?.1;
            lines.push(Line { start, end: bytes.len() as u32, kind });
        }
        let mut tail = Vec::new();
        if options.edns || options.dnssec_ok || options.cookie {
            tail.extend_from_slice(&[
                0,
                0,
                41,
                0x04,
                0xD0,
                0,
                0,
                if options.dnssec_ok { 0x80 } else { 0 },
                0,
            ]);
            let options: &[u8] = if options.cookie { b"\0\x0C\0\x0A\0\x08interdct" } else { b"\0\0" };
            tail.extend_from_slice(options);
        }
        let flags = if options.no_recursion { 0 } else { 1 };
        let head = [flags, 0, 0, 1, 0, 0, 0, 0, 0, u8::from(!tail.is_empty())];
        let next = if lines.is_empty() { return Err(bad("no line")) } else { options.skip % lines.len() };
        Ok(Self { lines, bytes, head, tail, next, once, unique: options.unique_from })
    }

    /// The next line's number; `None` at the end when each is asked once. With numbered names the number of the name
    /// stands in for the line.
    pub fn next_line(&mut self) -> Option<u32> {
        if let Some(number) = &mut self.unique {
            let line = *number;
            *number = number.wrapping_add(1);
            return Some(line);
        }
        if self.next == self.lines.len() {
            if self.once {
                return None;
            }
            self.next = 0;
        }
        self.next += 1;
        Some(self.next as u32 - 1)
    }

    pub fn is_over(&self) -> bool {
        self.once && self.next == self.lines.len()
    }

    fn line(&self, number: u32) -> &Line {
        &self.lines[number as usize % self.lines.len()]
    }

    /// Writes a query; returns its length.
    pub fn write(&self, number: u32, id: u16, room: &mut [u8]) -> usize {
        let line = self.line(number);
        let question = &self.bytes[line.start as usize..line.end as usize];
        let end = 12 + question.len();
        room[..2].copy_from_slice(&id.to_be_bytes());
        room[2..12].copy_from_slice(&self.head);
        room[12..end].copy_from_slice(question);
        if self.unique.is_some() {
            room[13..13 + DIGITS].copy_from_slice(&digits(number));
        }
        room[end..end + self.tail.len()].copy_from_slice(&self.tail);
        end + self.tail.len()
    }

    /// True when `reply` is a response that repeats the question.
    pub fn is_answered_by(&self, number: u32, reply: &[u8]) -> bool {
        let line = self.line(number);
        let question = &self.bytes[line.start as usize..line.end as usize];
        let Some(echoed) = reply.get(12..12 + question.len()) else { return false };
        let same = if self.unique.is_some() {
            echoed[1..=DIGITS] == digits(number) && echoed[1 + DIGITS..] == question[1 + DIGITS..]
        } else {
            echoed == question
        };
        same && reply[2] & 0x80 != 0
    }

    pub fn kind(&self, number: u32) -> Kind {
        self.line(number).kind
    }
}

fn digits(number: u32) -> [u8; DIGITS] {
    std::array::from_fn(|at| b"0123456789abcdef"[(number >> (28 - 4 * at)) as usize & 15])
}

fn bad(line: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("not `name type kind`: {line}"))
}
