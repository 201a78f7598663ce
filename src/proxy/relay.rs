//! Owns the moving of bytes between two connections, each direction at the pace of its reader and to its own end. Never sees a byte of it.

use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::net::Shutdown;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, Interest, ReadBuf};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};

use super::door::Door;
use super::line::Line;
use super::metrics::Statistics;
use crate::clock::{Clock, Moment};
use crate::net::tls::Stream;
use crate::net::{Pipes, send};

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// One side broke.
    Broken,
    /// Both sides had said everything.
    Done,
    /// Nothing moved for too long.
    Idle,
}

/// Times that a direction moves bytes before others have their turn.
const TURNS: u32 = 16;
/// Bytes taken at once where the kernel cannot move them: a record of TLS.
const ROOM: usize = 16 << 10;
/// Bytes that are handed on rather than spliced: copying as many costs less than what a pipe does.
const FEW: usize = 4 << 10;

/// Moves bytes both ways until both ends are done, one breaks, or nothing moves for too long.
pub(super) async fn relay(client: &mut Line, origin: &mut TcpStream, door: &Door) -> Ended {
    let moved = Moved {
        last: AtomicU64::new(door.clock.now().nanoseconds()),
        is_half: AtomicBool::new(false),
        clock: &door.clock,
        pipes: &door.pipes,
    };
    let both = async {
        let Statistics { up, down, .. } = &*door.statistics;
        match client {
            Line::Clear(client) => {
                let ((client_says, client_hears), (origin_says, origin_hears)) =
                    (client.split(), origin.split());
                let up = one_way(client_says, origin_hears, &moved, up);
                tokio::try_join!(up, one_way(origin_says, client_hears, &moved, down))
            }
            Line::Encrypted(stream) => Box::pin(copy(stream, origin, &moved, (up, down))).await,
        }
    };
    tokio::select! {
        ended = both => if ended.is_ok() { Ended::Done } else { Ended::Broken },
        () = moved.nothing_for(door.config.idle) => Ended::Idle,
    }
}

/// What both directions share.
struct Moved<'d> {
    last: AtomicU64,
    /// Whether one direction has reached its end.
    is_half: AtomicBool,
    clock: &'d Clock,
    pipes: &'d Pipes,
}

impl Moved<'_> {
    fn note(&self) {
        self.last.store(self.clock.now().nanoseconds(), Ordering::Relaxed);
    }

    /// Notes that a direction has reached its end, and says whether the other has too: both connections are closed then.
    fn is_last(&self) -> bool {
        self.is_half.swap(true, Ordering::Relaxed)
    }

    /// Ends when nothing has moved for so long.
    async fn nothing_for(&self, idle: Duration) {
        loop {
            let last = Moment::START.plus(Duration::from_nanos(self.last.load(Ordering::Relaxed)));
            match idle.checked_sub(self.clock.now().since(last)).filter(|left| !left.is_zero()) {
                Some(left) => tokio::time::sleep(left).await,
                None => return,
            }
        }
    }
}

/// Moves bytes both ways where one side is encrypted, which the kernel cannot.
async fn copy(
    client: &mut Stream,
    origin: &mut TcpStream,
    moved: &Moved<'_>,
    (up, down): (&AtomicU64, &AtomicU64),
) -> io::Result<((), ())> {
    let (client_says, client_hears) = tokio::io::split(client);
    let (origin_says, origin_hears) = origin.split();
    let up = copy_one_way(client_says, origin_hears, moved, up);
    tokio::try_join!(up, copy_one_way(origin_says, client_hears, moved, down))
}

async fn copy_one_way(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    moved: &Moved<'_>,
    count: &AtomicU64,
) -> io::Result<()> {
    let mut came = Vec::new();
    loop {
        poll_fn(|context| receive(Pin::new(&mut from), context, &mut came)).await?;
        if came.is_empty() {
            return to.shutdown().await;
        }
        to.write_all(&came).await?;
        to.flush().await?;
        count.fetch_add(came.len() as u64, Ordering::Relaxed);
        moved.note();
        came.clear();
    }
}

/// Takes what there is; nothing at the end. A connection with nothing to say holds no room.
fn receive(
    from: Pin<&mut impl AsyncRead>,
    context: &mut Context<'_>,
    came: &mut Vec<u8>,
) -> Poll<io::Result<()>> {
    let mut room = [0; ROOM];
    let mut room = ReadBuf::new(&mut room);
    let polled = from.poll_read(context, &mut room);
    if polled.is_pending() {
        *came = Vec::new();
    }
    came.extend_from_slice(room.filled());
    polled
}

/// Moves everything that `from` says to `to`, and then says that this was all.
async fn one_way(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    moved: &Moved<'_>,
    count: &AtomicU64,
) -> io::Result<()> {
    let mut much = false;
    loop {
        let is_end = if much {
            // Apart, so that connections that have nothing to say are small.
            let bytes = Box::pin(splice(from.as_ref(), to.as_ref(), moved, count)).await?;
            much = bytes.is_some_and(|bytes| bytes >= FEW);
            bytes.is_none()
        } else {
            let mut rest = Vec::new();
            let (bytes, is_end) = poll_fn(|context| hand_on(&mut from, &to, context, &mut rest)).await?;
            if !rest.is_empty() {
                Box::pin(to.write_all(&rest)).await?;
            }
            drop(rest);
            count.fetch_add(bytes as u64, Ordering::Relaxed);
            moved.note();
            much = bytes == FEW;
            is_end
        };
        if is_end {
            // One that is gone already needs not be told; where both ends have been reached, what follows tells it.
            if !moved.is_last() {
                let _gone = SockRef::from(to.as_ref()).shutdown(Shutdown::Write).is_err();
            }
            return Ok(());
        }
    }
}

/// Takes a few bytes and hands them on at once; the rest is left in `rest` when not all are taken. How many, and whether they are the last. Most responses are
/// short: two calls less than by a pipe, and a connection with nothing to say holds nothing.
fn hand_on(
    from: &mut ReadHalf<'_>,
    to: &WriteHalf<'_>,
    context: &mut Context<'_>,
    rest: &mut Vec<u8>,
) -> Poll<io::Result<(usize, bool)>> {
    let mut room = [MaybeUninit::uninit(); FEW];
    let mut room = ReadBuf::uninit(&mut room);
    ready!(Pin::new(&mut *from).poll_read(context, &mut room))?;
    let first = room.filled().len();
    // Asks the kernel only where the end was announced together with what came before it.
    let is_end = first == 0
        || room.remaining() > 0
            && Pin::new(from).poll_read(context, &mut room)?.is_ready()
            && room.filled().len() == first;
    let bytes = room.filled();
    if !bytes.is_empty() {
        let to = to.as_ref();
        let sent = match to.try_io(Interest::WRITABLE, || send(to, bytes, is_end)) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
            sent => sent?,
        };
        rest.extend_from_slice(bytes.get(sent..).unwrap_or(&[]));
    }
    Poll::Ready(Ok((bytes.len(), is_end)))
}

/// Has the kernel move what there is: how many bytes; `None` at the end.
async fn splice(
    from: &TcpStream,
    to: &TcpStream,
    moved: &Moved<'_>,
    count: &AtomicU64,
) -> io::Result<Option<usize>> {
    from.readable().await?;
    // Taken only now, so that a silent connection holds none.
    let mut pipe = moved.pipes.take()?;
    let (mut turns, mut total) = (0, 0);
    let is_end = loop {
        match from.try_io(Interest::READABLE, || pipe.fill(from)) {
            Ok(0) => break true,
            Ok(bytes) => total += bytes,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break false,
            Err(error) => return Err(error),
        }
        while !pipe.is_empty() {
            match to.try_io(Interest::WRITABLE, || pipe.empty_into(to)) {
                Ok(bytes) => {
                    count.fetch_add(bytes as u64, Ordering::Relaxed);
                    moved.note();
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => to.writable().await?,
                Err(error) => return Err(error),
            }
        }
        turns += 1;
        if turns % TURNS == 0 {
            tokio::task::yield_now().await;
        }
    };
    moved.pipes.give(pipe);
    Ok((!is_end).then_some(total))
}
