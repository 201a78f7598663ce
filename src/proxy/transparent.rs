//! Owns a connection that the kernel brought here although it was meant for somebody else (REDIRECT, TPROXY). Never answers in an origin's name,
//! but for a page in plain HTTP that says why there is nothing else.

use std::net::SocketAddr;

use super::door::{Door, Origin, Refusal, Said};
use super::judge::Caller;
use super::line::Line;
use super::metrics::Outcome;
use super::page;
use super::peek::Form;
use crate::net::original_destination;

/// Serves a connection to its end.
pub(super) async fn serve(mut client: Line, peer: SocketAddr, door: &Door) -> Outcome {
    // What is needed at first only is let go of then: connections are many, and most of their lives they do nothing.
    let begun = Box::pin(begin(&mut client, peer, door)).await;
    match begun {
        Ok((mut origin, head)) => door.pass(&mut client, &mut origin, head).await,
        Err(outcome) => outcome,
    }
}

/// Learns whom a client wants, and connects to its origin: that, and what it gets first.
async fn begin(client: &mut Line, peer: SocketAddr, door: &Door) -> Result<(Origin, Vec<u8>), Outcome> {
    let destination = original_destination(client.socket(), peer.is_ipv4()).map_err(|_| Outcome::Gone)?;
    if door.is_inside(destination) || door.is_round(peer) {
        return cut(client, Outcome::Inside);
    }
    let mut head = Vec::new();
    let said = match door.read_said(client, &mut head, None).await {
        Ok(said) => said,
        Err(outcome) => return cut(client, outcome),
    };
    // A tunnel is asked of proxies, and this one goes to somebody else's: whom it leads to is not to be seen.
    let admitted = if matches!(&said, Said::Http(head) if head.form == Form::Connect) {
        Err(Refusal::Other(Outcome::Malformed))
    } else {
        door.admit(Caller::at(peer.ip()), said.host(), destination.ip()).await
    };
    match (admitted, &said) {
        (Ok(()), _) => {}
        (Err(refusal), Said::Http(_)) => {
            let page = page::refusal(&refusal, door.request(&head));
            page::send_last(client, page.as_bytes()).await;
            return Err(refusal.outcome());
        }
        (Err(refusal), _) => return cut(client, refusal.outcome()),
    }
    let Ok(origin) = door.connect(peer, destination).await else {
        return cut(client, Outcome::Unreachable);
    };
    if let Said::Http(said) = &said {
        let body = head.split_off(said.length);
        head = said.for_origin(&head);
        head.extend_from_slice(&body);
    }
    Ok((origin, head))
}

/// Has the connection end with a reset.
fn cut<T>(client: &Line, outcome: Outcome) -> Result<T, Outcome> {
    client.reset();
    Err(outcome)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size<F>(_: impl FnOnce(Line, SocketAddr, &'static Door) -> F) -> usize {
        size_of::<F>()
    }

    fn size_of_beginning<F>(_: impl FnOnce(&'static mut Line, SocketAddr, &'static Door) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn a_connection_costs_little() {
        let (served, begun) = (size(serve), size_of_beginning(begin));
        assert!(served <= 1536, "{served} bytes for as long as it lives");
        assert!(begun <= 4096, "{begun} bytes until it is known whom it wants");
    }
}
