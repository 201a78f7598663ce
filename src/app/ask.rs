//! Owns the asking of this process's own resolver by its own proxy: a client's question, handled as if the client had asked it. Never decides
//! anything itself.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{oneshot, watch};

use crate::dns::{CanonicalName, Class, MAX_MESSAGE, Message, RecordType, write_query};
use crate::proxy::{Caller, Resolve};
use crate::query::{Asker, Engine, Outcome, Transport, Worker};

/// Time that an answer may take: as long as a client's own resolver waits.
const PATIENCE: Duration = Duration::from_secs(5);

/// A worker, and room for its replies.
struct Equipped {
    worker: Worker,
    reply: Box<[u8]>,
}

/// Asks `engine` for addresses. Its worker lets go of old policies until `stop` changes.
pub(super) fn resolve(engine: &Arc<Engine>, mut stop: watch::Receiver<bool>) -> Resolve {
    let equipped = Equipped { worker: engine.thread_worker(), reply: vec![0; MAX_MESSAGE].into() };
    let equipped = Arc::new(Mutex::new(equipped));
    let idle = Arc::clone(&equipped);
    let _ends_with_the_runtime = tokio::spawn(async move {
        let mut second = tokio::time::interval(Duration::from_secs(1));
        loop {
            tokio::select! {
                _ = second.tick() => {}
                _ = stop.changed() => return,
            }
            idle.lock().unwrap_or_else(PoisonError::into_inner).worker.begin_batch();
        }
    });
    Arc::new(move |caller, name, is_ipv6| {
        let asked = ask(&equipped, caller, name, is_ipv6);
        Box::pin(async move {
            match asked {
                Asked::Answered(found) => found,
                Asked::Later(found) => match tokio::time::timeout(PATIENCE, found).await {
                    Ok(Ok(found)) => found,
                    _ => Vec::new(),
                },
            }
        })
    })
}

enum Asked {
    Answered(Vec<IpAddr>),
    Later(oneshot::Receiver<Vec<IpAddr>>),
}

fn ask(equipped: &Mutex<Equipped>, caller: Caller, name: &CanonicalName, is_ipv6: bool) -> Asked {
    let record_type = if is_ipv6 { RecordType::AAAA } else { RecordType::A };
    let question = [name.as_wire(), &record_type.0.to_be_bytes(), &Class::IN.0.to_be_bytes()].concat();
    let query = write_query(0, &question, false, false, true);
    let mut later = None;
    let mut equipped = equipped.lock().unwrap_or_else(PoisonError::into_inner);
    let Equipped { worker, reply } = &mut *equipped;
    worker.begin_batch();
    // Over a connection, so that an answer of any size comes at once.
    let asker = Asker { identity: caller.identity, ..Asker::at(caller.address, Transport::Tcp) };
    let outcome = worker.handle(&query, asker, reply, || {
        let (sender, receiver) = oneshot::channel();
        later = Some(receiver);
        Box::new(move |reply: &[u8]| {
            // Fails when nobody waits any more.
            let _late = sender.send(addresses(reply)).is_err();
        })
    });
    worker.end_batch();
    match (outcome, later) {
        (Outcome::Reply(length), _) => Asked::Answered(addresses(reply.get(..length).unwrap_or(&[]))),
        (Outcome::Later, Some(receiver)) => Asked::Later(receiver),
        (Outcome::Later | Outcome::Drop, _) => Asked::Answered(Vec::new()),
    }
}

/// The addresses in a reply.
fn addresses(reply: &[u8]) -> Vec<IpAddr> {
    Message::new(reply).into_iter().flat_map(Message::addresses).map(|(address, _)| address).collect()
}
