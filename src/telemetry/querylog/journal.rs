//! Owns the sending of entries to systemd's journal in its native protocol: a datagram each of fields, a value of several lines with its length in
//! front. Never chooses which queries are told.

use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;

use serde_json::Value;

use super::line::{Event, fields};
use super::output::{Batch, Output, Written};
use super::syslog::{FACILITY, PATIENCE, severity};
use crate::dns::Class;

/// A journal's socket, while it is there.
#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    socket: Option<UnixDatagram>,
}

/// A record as an entry: a sentence for people in `MESSAGE`, and every field of a line as `INTERDICT_` and its name in capitals.
pub(super) fn entry(event: Event<'_>) -> Vec<u8> {
    let mut entry = Vec::new();
    let out = &mut entry;
    field("MESSAGE", &sentence(event), out);
    field("PRIORITY", &severity(event.record).to_string(), out);
    field("SYSLOG_FACILITY", &FACILITY.to_string(), out);
    field("SYSLOG_IDENTIFIER", "interdict", out);
    for (name, value) in fields(event) {
        let name = format!("INTERDICT_{}", name.to_ascii_uppercase());
        match value {
            Value::String(text) if !text.is_empty() => field(&name, &text, out),
            Value::Bool(_) | Value::Number(_) => field(&name, &value.to_string(), out),
            // A field may stand more than once.
            Value::Array(values) => values.iter().for_each(|value| field(&name, &member(event, value), out)),
            _ => {}
        }
    }
    entry
}

/// A word of a list, or a record as in a zone file, with what a line leaves out of it.
fn member(event: Event<'_>, value: &Value) -> String {
    let word = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let Some(record) = value.as_object() else { return word(value) };
    let part = |key: &str| record.get(key).map(word);
    let parts = [
        part("name").unwrap_or_else(|| event.record.name.to_string()),
        part("ttl").unwrap_or_default(),
        part("class").unwrap_or_else(|| Class::IN.to_string()),
        part("type").unwrap_or_default(),
        part("data").unwrap_or_default(),
    ];
    parts.join(" ")
}

/// What a person reads who looks at a journal without asking for fields.
fn sentence(event: Event<'_>) -> String {
    let Event { record, described, shown, .. } = event;
    let words = &described.words;
    let (verdict, name, record_type) = (record.decision.as_str(), &record.name, record.record_type);
    let mut out = format!("{verdict} {name} {record_type}");
    for (before, word) in [
        (" for ", shown.client.unwrap_or("")),
        (": ", &*words.app),
        (", ", &*words.instrument),
        (", group ", &*described.group),
    ] {
        if !word.is_empty() {
            out.push_str(before);
            out.push_str(word);
        }
    }
    out
}

fn field(name: &str, value: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(name.as_bytes());
    if value.contains('\n') {
        out.push(b'\n');
        out.extend_from_slice(&(value.len() as u64).to_le_bytes());
    } else {
        out.push(b'=');
    }
    out.extend_from_slice(value.as_bytes());
    out.push(b'\n');
}

impl Journal {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, socket: None }
    }

    fn send(&mut self, entry: &[u8]) -> io::Result<()> {
        let socket = match self.socket.take() {
            Some(socket) => socket,
            None => {
                let socket = UnixDatagram::unbound()?;
                socket.set_write_timeout(Some(PATIENCE))?;
                socket.connect(&self.path)?;
                socket
            }
        };
        let sent = socket.send(entry);
        if sent.as_ref().is_ok_and(|length| *length == entry.len()) || sent.as_ref().is_err_and(is_too_large)
        {
            self.socket = Some(socket);
        }
        sent.map(drop)
    }
}

/// More than a datagram holds: some 200 KB, far from what a query has to say.
fn is_too_large(error: &io::Error) -> bool {
    error.raw_os_error() == Some(nix::errno::Errno::EMSGSIZE as i32)
}

impl Output for Journal {
    fn write(&mut self, batch: &Batch) -> Written {
        for (records, entry) in batch.records().enumerate() {
            // A journal that was restarted has a new socket at the same place.
            let had_one = self.socket.is_some();
            let sent = self.send(entry).or_else(|error| {
                let is_another = had_one && error.kind() == io::ErrorKind::ConnectionRefused;
                if is_another { self.send(entry) } else { Err(error) }
            });
            if let Err(error) = sent {
                return Written { records, dropped: usize::from(is_too_large(&error)), error: Some(error) };
            }
        }
        Written::all(batch)
    }

    fn tries_again(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_of_several_lines_cannot_end_its_field() {
        let mut out = Vec::new();
        field("ONE", "a=b", &mut out);
        field("TWO", "x\nPRIORITY=0", &mut out);
        assert_eq!(out, b"ONE=a=b\nTWO\n\x0c\0\0\0\0\0\0\0x\nPRIORITY=0\n");
    }

    #[test]
    fn one_entry_that_is_too_large_is_dropped_and_the_next_goes_out() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let reader = UnixDatagram::bind(&path).unwrap();
        let mut journal = Journal::new(path);
        let mut batch = Batch::default();
        for entry in [&b"first"[..], &[b'x'; 1 << 20], b"last"] {
            batch.put(entry);
            batch.end_record();
        }
        let written = journal.write(&batch);
        assert_eq!((written.records, written.dropped), (1, 1));
        let rest = batch.without_first(2);
        assert_eq!(journal.write(&rest).records, 1);
        let mut room = [0; 16];
        for wanted in [&b"first"[..], b"last"] {
            let length = reader.recv(&mut room).unwrap();
            assert_eq!(&room[..length], wanted);
        }
    }
}
