//! The load generator of the benchmark: asks as fast as answers come, or at a fixed rate, and checks every reply's id and
//! question and counts its response code. Prints one line of JSON. Not part of the product.
#![allow(unsafe_code, clippy::unwrap_used, clippy::expect_used, reason = "a yardstick, not the product")]
#![allow(dead_code, missing_docs, unreachable_pub, reason = "shares a file with the other programs")]
#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "it measures time and prints what it found"
)]

#[path = "../batch.rs"]
mod batch;
mod histogram;
mod questions;
mod report;

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use batch::{BATCH, Batch};
use clap::Parser;
use histogram::Histogram;
use questions::{Options, Questions};
use report::Report;

/// Asks a DNS server and checks what it says.
#[derive(Parser)]
struct Arguments {
    /// The server.
    server: SocketAddr,
    /// Lines of name, type and what to expect: `blocked`, `found`, `gone`, `empty` or `any`.
    file: std::path::PathBuf,
    /// How long to ask.
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// Queries under way, as long as no rate is given: full batches, and no more than a socket of default size holds.
    #[arg(long, default_value_t = 160)]
    window: usize,
    /// Queries a second, whatever comes back; latency then counts from when a query was due.
    #[arg(long)]
    rate: Option<f64>,
    /// The address to ask from.
    #[arg(long)]
    from: Option<IpAddr>,
    /// Ports to ask from.
    #[arg(long, default_value_t = 8)]
    sockets: usize,
    /// Ask every line once instead of for a time, and again what got no reply.
    #[arg(long)]
    once: bool,
    /// Seconds after which a query counts as lost.
    #[arg(long, default_value_t = 1.0)]
    timeout: f64,
    /// Wait without using the processor, for what else runs there.
    #[arg(long)]
    patient: bool,
    #[command(flatten)]
    questions: Options,
}

/// A query under way.
#[derive(Clone, Copy, Default)]
struct Slot {
    /// Nanoseconds since the start.
    asked: u64,
    line: u32,
    id: u16,
    busy: bool,
}

/// Most queries under way on one port; ids run through all 65,536.
const SLOTS: usize = 16_384;

/// One port, and the queries under way on it.
struct Port {
    socket: UdpSocket,
    slots: Box<[Slot]>,
    next: u64,
    oldest: u64,
    busy: usize,
}

impl Port {
    fn slot(&mut self, number: u64) -> &mut Slot {
        &mut self.slots[number as usize % SLOTS]
    }

    /// Passes over what was answered, and gives up what is older than `deadline`; calls `lost` with its line.
    fn expire(&mut self, deadline: u64, mut lost: impl FnMut(u32)) {
        while self.oldest < self.next {
            let slot = self.slot(self.oldest);
            if slot.busy {
                if slot.asked >= deadline {
                    break;
                }
                slot.busy = false;
                let line = slot.line;
                self.busy -= 1;
                lost(line);
            }
            self.oldest += 1;
        }
    }
}

struct Load {
    questions: Questions,
    ports: Vec<Port>,
    out: Batch,
    back: Batch,
    report: Report,
    latency: Histogram,
    start: Instant,
    timeout: u64,
    /// Lines to ask before any other.
    again: Vec<u32>,
    keep_lost: bool,
}

impl Load {
    fn now(&self) -> u64 {
        self.start.elapsed().as_nanos() as u64
    }

    /// Sends up to `count` queries over `port`; returns how many.
    fn ask(&mut self, port: usize, count: usize, mut due: impl FnMut() -> u64) -> usize {
        let port = &mut self.ports[port];
        let mut asked = 0;
        while asked < count.min(BATCH) && port.next - port.oldest < SLOTS as u64 {
            let Some(line) = self.again.pop().or_else(|| self.questions.next_line()) else { break };
            let Some(room) = self.out.next_room() else { break };
            let id = port.next as u16;
            let length = self.questions.write(line, id, room);
            self.out.push(length);
            *port.slot(port.next) = Slot { asked: due(), line, id, busy: true };
            port.next += 1;
            asked += 1;
        }
        port.busy += asked;
        self.report.sent += self.out.flush(&port.socket) as u64;
        asked
    }

    /// Takes replies from `port`; returns how many.
    fn take(&mut self, port: usize) -> usize {
        let count = self.back.receive(&self.ports[port].socket, false);
        if count == 0 {
            return 0;
        }
        let now = self.now();
        for index in 0..count {
            let reply = self.back.bytes(index);
            let port = &mut self.ports[port];
            let id = reply.first_chunk().map_or(0, |id| u16::from_be_bytes(*id));
            let slot = &mut port.slots[usize::from(id) % SLOTS];
            if !slot.busy || slot.id != id {
                self.report.late += 1;
            } else if !self.questions.is_answered_by(slot.line, reply) {
                self.report.mismatched += 1;
            } else {
                slot.busy = false;
                port.busy -= 1;
                self.report.count(self.questions.kind(slot.line), reply);
                self.latency.add(now.saturating_sub(slot.asked));
            }
        }
        count
    }

    /// Counts, or asks again, what got no reply in time.
    fn expire(&mut self) {
        let deadline = self.now().saturating_sub(self.timeout);
        let (again, report, keep) = (&mut self.again, &mut self.report, self.keep_lost);
        for port in &mut self.ports {
            port.expire(deadline, |line| {
                report.lost += 1;
                if keep {
                    again.push(line);
                }
            });
        }
    }

    fn busy(&self) -> usize {
        self.ports.iter().map(|port| port.busy).sum()
    }

    /// As many queries under way as the window allows, until `end`.
    fn closed(&mut self, window: usize, end: u64, patient: bool) {
        let share = (window / self.ports.len()).max(1);
        while self.now() < end {
            let mut moved = 0;
            for port in 0..self.ports.len() {
                moved += self.take(port);
                let free = share.saturating_sub(self.ports[port].busy);
                // Few and full system calls: the cheaper the load, the fuller the server's batches.
                if free >= (share / 2).min(BATCH / 2) {
                    let now = self.now();
                    moved += self.ask(port, free, || now);
                }
            }
            self.expire();
            if moved == 0 {
                self.rest(patient);
                if self.busy() == 0 && self.questions.is_over() && self.again.is_empty() {
                    return;
                }
            }
        }
    }

    /// `rate` queries a second, whatever comes back, until `end`.
    fn open(&mut self, rate: f64, end: u64, patient: bool) {
        let (mut asked, mut port) = (0u64, 0);
        let ports = self.ports.len();
        loop {
            let now = self.now();
            if now >= end {
                return;
            }
            let due = (now as f64 * rate / 1e9) as u64;
            let mut moved = 0;
            if due > asked {
                let count = (due - asked).min(BATCH as u64) as usize;
                let mut number = asked;
                let sent = self.ask(port, count, || {
                    number += 1;
                    (number as f64 * 1e9 / rate) as u64
                });
                // With every slot taken the query counts as asked and lost: the rate is the rate.
                self.report.lost += (count - sent) as u64;
                asked += count as u64;
                moved += sent;
                port = (port + 1) % ports;
            }
            for port in 0..ports {
                moved += self.take(port);
            }
            self.expire();
            if moved == 0 {
                self.rest(patient);
            }
        }
    }

    /// Waits for the replies under way.
    fn drain(&mut self, patient: bool) {
        while self.busy() > 0 {
            let mut moved = 0;
            for port in 0..self.ports.len() {
                moved += self.take(port);
            }
            self.expire();
            if moved == 0 {
                self.rest(patient);
            }
        }
    }

    /// Nothing came: lets the server work without touching the sockets' queues for a moment.
    fn rest(&self, patient: bool) {
        if !patient {
            let began = self.now();
            while self.now() < began + PAUSE {
                std::hint::spin_loop();
            }
            return;
        }
        let mut waiting: Vec<libc::pollfd> = self
            .ports
            .iter()
            .map(|port| libc::pollfd { fd: port.socket.as_raw_fd(), events: libc::POLLIN, revents: 0 })
            .collect();
        // SAFETY: the array holds as many entries as are named.
        let _count = unsafe { libc::poll(waiting.as_mut_ptr(), waiting.len() as _, 1) };
    }
}

/// Nanoseconds.
const PAUSE: u64 = 2_000;

fn main() {
    let arguments = Arguments::parse();
    let questions =
        Questions::read(&arguments.file, &arguments.questions, arguments.once).expect("the questions");
    let port = || Port {
        socket: batch::connected(arguments.server, arguments.from).expect("a socket"),
        slots: vec![Slot::default(); SLOTS].into(),
        next: 0,
        oldest: 0,
        busy: 0,
    };
    let mut load = Load {
        questions,
        ports: (0..arguments.sockets).map(|_| port()).collect(),
        out: Batch::new(),
        back: Batch::new(),
        report: Report::default(),
        latency: Histogram::default(),
        start: Instant::now(),
        timeout: Duration::from_secs_f64(arguments.timeout).as_nanos() as u64,
        again: Vec::new(),
        keep_lost: arguments.once,
    };
    let end = if arguments.once { u64::MAX } else { (arguments.seconds * 1e9) as u64 };
    match arguments.rate {
        Some(rate) => load.open(rate, end, arguments.patient),
        None => load.closed(arguments.window, end, arguments.patient),
    }
    let asked_for = load.start.elapsed();
    load.drain(arguments.patient);
    println!("{}", load.report.json(asked_for, &load.latency));
}
