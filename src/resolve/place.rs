//! Owns one socket to an upstream and the tries that went out from it: ids, matching, patience, wear. Never chooses a
//! socket.

use std::io;
use std::net::UdpSocket;
use std::sync::Arc;
use std::time::Duration;

use super::answer::{self, Content};
use super::question::{Case, PACKET, Question};
use super::random::unpredictable;
use crate::clock::Moment;

/// Questions from one socket. Opening one costs some 5 µs, so that a question's share is 0.04 µs.
const USES: u32 = 128;
/// How long a socket is used. Finding out a port from afar takes a second or more.
const LIFE: Duration = Duration::from_secs(5);
/// Datagrams that answer nothing after which a socket is closed: more than chance brings, too few to guess an id.
const STRAYS: u32 = 8;
/// Tries in flight from one socket, those past their patience included. Ids must stay easy to draw.
const CROWD: usize = 1024;
/// Ids remembered after their try left, so that a late or doubled answer is not taken for forged.
const REMEMBERED: usize = 64;

/// A question that was sent.
#[derive(Clone, Debug)]
pub(super) struct Try {
    pub(super) question: Arc<Question>,
    /// Which try of the question.
    pub(super) number: u8,
    pub(super) edns: bool,
    /// How the letters of its name were written.
    pub(super) case: Case,
    pub(super) sent: Moment,
    /// When the next server is tried. An answer is welcome until the question's deadline all the same.
    pub(super) patient_until: Moment,
}

/// What a socket had to read.
#[derive(Debug)]
pub(super) enum Received {
    /// The answer to a try.
    Answer(Try, Content),
    /// One datagram too many that answers nothing: somebody guesses. The socket is closed; these tries were under way.
    Forged(Vec<Try>),
    /// Nothing, or an answer that came before or is no longer waited for.
    Nothing,
    /// The upstream's port is closed, most likely. The socket is closed; these tries were under way.
    Refused(Vec<Try>),
    /// A datagram that answers nothing.
    Stray,
}

/// Room for one socket and the tries that went out from it.
#[derive(Debug, Default)]
pub(super) struct Place {
    socket: Option<Socket>,
    /// The ids in use, and their tries in the same order.
    ids: Vec<u16>,
    flights: Vec<Flight>,
}

#[derive(Debug)]
struct Socket {
    udp: UdpSocket,
    opened: Moment,
    asked: u32,
    strays: u32,
    /// No more questions; closed when the last try has left.
    closing: bool,
    /// The network said no while a question was sent; the tries before it are to be told.
    refused: bool,
    departed: Departed,
}

#[derive(Debug)]
struct Flight {
    tried: Try,
    /// Its patience ended.
    late: bool,
}

/// The ids that left last.
#[derive(Debug)]
struct Departed {
    ids: [u16; REMEMBERED],
    count: usize,
}

impl Place {
    /// Puts a fresh socket into an empty place.
    pub(super) fn fill(&mut self, udp: UdpSocket, now: Moment) {
        let departed = Departed { ids: [0; REMEMBERED], count: 0 };
        self.socket =
            Some(Socket { udp, opened: now, asked: 0, strays: 0, closing: false, refused: false, departed });
    }

    /// True when there is no socket. One that has had its share, and whose tries have all left, is closed first.
    pub(super) fn is_empty(&mut self, now: Moment) -> bool {
        if let Some(socket) = &mut self.socket
            && (socket.asked >= USES || now.since(socket.opened) >= LIFE)
        {
            socket.closing = true;
            self.close_if_done();
        }
        self.socket.is_none()
    }

    /// True when there is a socket that has not had its share.
    pub(super) fn is_fresh(&self) -> bool {
        self.can_send() && self.socket.as_ref().is_some_and(|socket| !socket.closing)
    }

    /// True when there is a socket with ids left.
    pub(super) fn can_send(&self) -> bool {
        self.socket.is_some() && self.flights.len() < CROWD
    }

    /// Sends a question's query under a random id.
    pub(super) fn send(&mut self, tried: Try) -> io::Result<()> {
        let mut id = unpredictable()?;
        // At most one id in 64 is taken, so that this ends.
        while self.ids.contains(&id) {
            id = unpredictable()?;
        }
        let Some(socket) = &mut self.socket else { return Err(io::ErrorKind::NotConnected.into()) };
        let mut packet = [0; PACKET];
        let query = tried.question.write(id, tried.edns, tried.case, &mut packet);
        let mut sent = socket.udp.send(query);
        if sent.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused) {
            // That was the answer to an earlier query, and this one was not sent.
            socket.refused = true;
            sent = socket.udp.send(query);
        }
        match sent {
            Ok(_) => {}
            // The way out is full: as good as lost on the way, and tried again like any other.
            Err(error) if is_passing(&error) => {}
            Err(error) => {
                // The machine's addresses may have changed: a new socket finds the new ones.
                socket.closing = true;
                self.close_if_done();
                return Err(error);
            }
        }
        socket.asked += 1;
        self.ids.push(id);
        self.flights.push(Flight { tried, late: false });
        Ok(())
    }

    /// Reads one datagram.
    pub(super) fn receive(&mut self, buffer: &mut [u8]) -> Received {
        let Some(socket) = &self.socket else { return Received::Nothing };
        let received = match socket.udp.recv(buffer) {
            Ok(length) => buffer.get_mut(..length).unwrap_or(&mut []),
            Err(error) if is_passing(&error) => return Received::Nothing,
            Err(_) => return Received::Refused(self.give_up()),
        };
        if let Some((tried, content)) = self.match_up(received) {
            self.close_if_done();
            return Received::Answer(tried, content);
        }
        let Some(socket) = &mut self.socket else { return Received::Nothing };
        if socket.departed.has(received) {
            return Received::Nothing;
        }
        socket.strays += 1;
        if socket.strays < STRAYS { Received::Stray } else { Received::Forged(self.give_up()) }
    }

    /// Finds the tries whose patience ended since the last sweep, and those whose network failed; forgets those past
    /// their deadline.
    pub(super) fn sweep(&mut self, now: Moment, overdue: &mut Vec<Try>, refused: &mut Vec<Try>) {
        if self.socket.as_ref().is_some_and(|socket| socket.refused) {
            refused.append(&mut self.give_up());
        }
        let mut at = 0;
        while let Some(flight) = self.flights.get_mut(at) {
            if !flight.late && now >= flight.tried.patient_until {
                flight.late = true;
                overdue.push(flight.tried.clone());
            }
            let question = &flight.tried.question;
            if flight.late && (now >= question.deadline || question.is_over()) {
                drop(self.remove(at));
            } else {
                at += 1;
            }
        }
        let _empty = self.is_empty(now);
    }

    /// The try that `received` answers; it leaves.
    fn match_up(&mut self, received: &mut [u8]) -> Option<(Try, Content)> {
        let id = u16::from_be_bytes(*received.first_chunk::<2>()?);
        let at = self.ids.iter().position(|known| *known == id)?;
        let tried = &self.flights.get(at)?.tried;
        let content = answer::read(received, id, tried.question.wire(), tried.case)?;
        Some((self.remove(at), content))
    }

    fn remove(&mut self, at: usize) -> Try {
        let id = self.ids.swap_remove(at);
        if let Some(socket) = &mut self.socket {
            socket.departed.note(id);
        }
        self.flights.swap_remove(at).tried
    }

    /// Closes the socket; returns the tries that were neither answered nor overdue.
    fn give_up(&mut self) -> Vec<Try> {
        self.socket = None;
        self.ids.clear();
        self.flights.drain(..).filter(|flight| !flight.late).map(|flight| flight.tried).collect()
    }

    fn close_if_done(&mut self) {
        if self.flights.is_empty() && self.socket.as_ref().is_some_and(|socket| socket.closing) {
            self.socket = None;
        }
    }
}

impl Departed {
    fn note(&mut self, id: u16) {
        if let Some(slot) = self.ids.get_mut(self.count % REMEMBERED) {
            *slot = id;
        }
        self.count += 1;
    }

    /// True when `received` carries the id of a try that left.
    fn has(&self, received: &[u8]) -> bool {
        let Some(id) = received.first_chunk::<2>() else { return false };
        self.ids.iter().take(self.count).any(|departed| *departed == u16::from_be_bytes(*id))
    }
}

/// Nothing to read or no room to send just now, as opposed to a network that says no.
fn is_passing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}
