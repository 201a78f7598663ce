//! Owns a connection that the kernel brought here although it was meant for somebody else (REDIRECT, TPROXY). Never answers in an origin's name,
//! but for a page in plain HTTP that says why there is nothing else.

use std::net::SocketAddr;

use tokio::net::TcpStream;

use super::door::{Door, Refusal, Said, reset};
use super::metrics::Outcome;
use super::page;
use super::peek::Form;
use crate::net::original_destination;

/// Serves a connection to its end.
pub(super) async fn serve(client: TcpStream, peer: SocketAddr, door: &Door) -> Outcome {
    let Ok(destination) = original_destination(&client) else { return Outcome::Gone };
    if door.is_inside(destination) || door.is_round(peer) {
        reset(&client);
        return Outcome::Inside;
    }
    let mut head = Vec::new();
    let said = match door.read_said(&client, &mut head, None).await {
        Ok(said) => said,
        Err(outcome) => {
            reset(&client);
            return outcome;
        }
    };
    // A tunnel is asked of proxies, and this one goes to somebody else's: whom it leads to is not to be seen.
    if matches!(&said, Said::Http(head) if head.form == Form::Connect) {
        return refuse(client, &said, &Refusal::Other(Outcome::Malformed)).await;
    }
    if let Err(refusal) = door.admit(peer.ip(), said.host(), destination.ip()).await {
        return refuse(client, &said, &refusal).await;
    }
    let mut origin = match door.connect(peer, destination).await {
        Ok(origin) => origin,
        Err(_) => {
            reset(&client);
            return Outcome::Unreachable;
        }
    };
    if let Said::Http(said) = &said {
        let body = head.split_off(said.length);
        head = said.for_origin(&head);
        head.extend_from_slice(&body);
    }
    drop(said);
    // Here it stays for as long as it lives: away from what was needed before.
    Box::pin(door.pass(&client, &mut origin, head)).await
}

async fn refuse(mut client: TcpStream, said: &Said, refusal: &Refusal) -> Outcome {
    match said {
        Said::Http(_) => page::send_last(&mut client, page::refusal(refusal).as_bytes()).await,
        _ => reset(&client),
    }
    refusal.outcome()
}
