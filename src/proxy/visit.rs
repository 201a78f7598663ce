//! Owns a visit to the sinkhole's address: a client was sent there in place of a banned name, and is shown why. What is not plain HTTP is reset,
//! so that apps give up at once; there is no certificate for others' names. Decides, counts and logs nothing: the question was.

use std::net::SocketAddr;

use super::door::{Door, Said};
use super::judge::{Caller, Wanted};
use super::line::Line;
use super::metrics::Outcome;
use super::page;
use super::peek::Host;

/// Serves a connection to its end.
pub(super) async fn serve(mut client: Line, peer: SocketAddr, door: &Door) -> Outcome {
    let mut head = Vec::new();
    let said = match door.read_said(&mut client, &mut head, None).await {
        Ok(Said::Http(said)) => said,
        Ok(Said::Http2(_) | Said::Tls(_) | Said::Unknown) => {
            client.reset();
            return Outcome::Malformed;
        }
        Err(outcome) => {
            client.reset();
            return outcome;
        }
    };
    head.truncate(said.length);
    let host = said.authority.map(|authority| authority.host);
    let denial = host.as_ref().and_then(|host| {
        let wanted = Wanted { caller: Caller::at(peer.ip()), host: Some(host), address: None };
        door.judge.look(wanted)
    });
    let name = match &host {
        Some(Host::Name(name)) => Some(name.to_string()),
        _ => None,
    };
    let response = page::visit(denial.as_deref(), name.as_deref(), door.request(&head));
    page::send_last(&mut client, response.as_bytes()).await;
    if denial.is_some() { Outcome::Denied } else { Outcome::Served }
}
