//! Owns the moving of bytes between two connections, each direction at the pace of its reader and to its own end. Never sees a byte of it.

use std::io;
use std::net::Shutdown;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use socket2::SockRef;
use tokio::io::Interest;
use tokio::net::TcpStream;

use super::door::Door;
use crate::clock::{Clock, Moment};
use crate::net::Pipes;

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

/// Moves bytes both ways until both ends are done, one breaks, or nothing moves for too long.
pub(super) async fn relay(client: &TcpStream, origin: &TcpStream, door: &Door) -> Ended {
    let moved = Moved {
        last: AtomicU64::new(door.clock.now().nanoseconds()),
        clock: &door.clock,
        pipes: &door.pipes,
    };
    let both = async {
        let up = one_way(client, origin, &moved, &door.statistics.up);
        let down = one_way(origin, client, &moved, &door.statistics.down);
        tokio::try_join!(up, down)
    };
    tokio::select! {
        ended = both => if ended.is_ok() { Ended::Done } else { Ended::Broken },
        () = moved.nothing_for(door.config.idle) => Ended::Idle,
    }
}

/// What both directions share.
struct Moved<'d> {
    last: AtomicU64,
    clock: &'d Clock,
    pipes: &'d Pipes,
}

impl Moved<'_> {
    fn note(&self) {
        self.last.store(self.clock.now().nanoseconds(), Ordering::Relaxed);
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

/// Moves everything that `from` says to `to`, and then says that this was all.
async fn one_way(from: &TcpStream, to: &TcpStream, moved: &Moved<'_>, count: &AtomicU64) -> io::Result<()> {
    loop {
        from.readable().await?;
        // Taken only now, so that a silent connection holds none.
        let mut pipe = moved.pipes.take()?;
        let mut turns = 0;
        let is_end = loop {
            match from.try_io(Interest::READABLE, || pipe.fill(from)) {
                Ok(0) => break true,
                Ok(_) => {}
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
        if is_end {
            // One that is gone already needs not be told.
            let _gone = SockRef::from(to).shutdown(Shutdown::Write).is_err();
            return Ok(());
        }
    }
}
