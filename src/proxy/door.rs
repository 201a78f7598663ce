//! Owns what all connections of one proxy share, and the steps that they have in common: to read whom a client wants, to reach an origin, to move
//! bytes. Never knows how the client came.

use std::collections::HashSet;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::timeout;

use super::claims::Claims;
use super::config::{Config, Required, Verify};
use super::judge::{Caller, Judge, Judgement, Wanted};
use super::line::{Line, reset};
use super::metrics::{Outcome, Shown, Statistics};
use super::page::{self, Words};
use super::peek::{self, ClientHello, Head, Host, Look};
use super::relay::{self, Ended};
use super::users::Users;
use crate::clock::Clock;
use crate::feeds;
use crate::net::tls::Server;
use crate::net::{Login, Pipes, is_own, write_proxied};

/// What all connections of one proxy share.
#[derive(Debug)]
pub(super) struct Door {
    pub(super) config: Config,
    /// Where it listens, with the port that the system chose.
    pub(super) address: SocketAddr,
    pub(super) judge: Arc<Judge>,
    pub(super) claims: Arc<Claims>,
    pub(super) pipes: Arc<Pipes>,
    /// What is spoken in TLS by; `None` in clear.
    pub(super) tls: Option<Arc<Server>>,
    /// Who may use it by name; `None` for no such.
    pub(super) users: Option<Arc<Users>>,
    /// Proxy auto-configurations made lately.
    pub(super) feeds: Arc<feeds::Kept>,
    /// The languages of its pages.
    pub(super) words: Vec<Words>,
    pub(super) clock: Clock,
    pub(super) statistics: Arc<Statistics>,
    pub(super) own: Arc<Own>,
    pub(super) stop: watch::Receiver<bool>,
}

/// Where this process's own connections to origins come from: what comes from there has gone round.
#[derive(Debug, Default)]
pub(super) struct Own(Mutex<HashSet<SocketAddr>>);

/// A connection to an origin, known as one's own while it lasts.
#[derive(Debug)]
pub(super) struct Origin {
    pub(super) stream: TcpStream,
    local: Option<SocketAddr>,
    own: Arc<Own>,
}

/// What a client's first bytes say.
#[derive(Debug)]
pub(super) enum Said {
    Http(Head),
    Http2(Option<Host>),
    Tls(ClientHello),
    Unknown,
}

impl Said {
    /// Whom the client wants.
    pub(super) fn host(&self) -> Option<&Host> {
        match self {
            Self::Http(head) => head.authority.as_ref().map(|authority| &authority.host),
            Self::Http2(host) => host.as_ref(),
            Self::Tls(hello) => hello.server_name.as_ref(),
            Self::Unknown => None,
        }
    }

    fn read(bytes: &[u8]) -> Look<Self> {
        match bytes.first() {
            None => Look::More(1),
            Some(0x16) => peek::read_client_hello(bytes).map(Self::Tls),
            Some(_) => match peek::read_http2(bytes) {
                Look::Other => peek::read_http(bytes).map(Self::Http),
                found => found.map(|found| Self::Http2(found.map(|found| found.host))),
            },
        }
    }
}

impl Door {
    /// A request with that head, as a page needs it.
    pub(super) fn request<'r>(&'r self, head: &'r [u8]) -> page::Request<'r> {
        page::Request { head, words: &self.words, asks_for_users: self.users.is_some() }
    }

    /// Reads whom a client wants into `head`, within the proxy's patience. With an `origin` that the client is connected to already, one that
    /// speaks first is waited for no longer: then nothing is said.
    pub(super) async fn read_said(
        &self,
        client: &mut Line,
        head: &mut Vec<u8>,
        origin: Option<&TcpStream>,
    ) -> Result<Said, Outcome> {
        let reading = async {
            let mut needed = 1;
            loop {
                if head.len() >= needed {
                    match Said::read(head) {
                        Look::Found(said) => return Ok(said),
                        Look::Malformed(_) => return Err(Outcome::Malformed),
                        Look::Other => return Ok(Said::Unknown),
                        Look::TooBig => return Err(Outcome::HeadBytes),
                        Look::More(more) => needed = more,
                    }
                }
                let first = head.is_empty();
                match origin {
                    Some(origin) if first => tokio::select! {
                        came = client.more(head, needed) => if came.map_err(|_| Outcome::Gone)? == 0 {
                            return Ok(Said::Unknown);
                        },
                        spoke = origin.readable() => {
                            spoke.map_err(|_| Outcome::Gone)?;
                            return Ok(Said::Unknown);
                        }
                    },
                    _ => match client.more(head, needed).await {
                        Ok(0) | Err(_) => return Err(Outcome::Gone),
                        Ok(_) => {}
                    },
                }
            }
        };
        let said = timeout(self.config.head, reading).await.unwrap_or(Err(Outcome::HeadTime))?;
        if matches!(&said, Said::Tls(hello) if hello.encrypted) {
            self.statistics.encrypted.fetch_add(1, Ordering::Relaxed);
        }
        Ok(said)
    }

    /// Asks the policy whether a client may have `host` at `address`, and holds the name against the address.
    pub(super) async fn admit(
        &self,
        caller: Caller,
        host: Option<&Host>,
        address: IpAddr,
    ) -> Result<(), Refusal> {
        let wanted = Wanted { caller, host, address: Some(address) };
        let is_sent = match self.judge.judge(wanted, &self.statistics) {
            Judgement::Deny(denial) => return Err(Refusal::Denied(denial)),
            Judgement::PassWhereSent => true,
            Judgement::Pass => false,
        };
        match host {
            None if self.config.refuse_unnamed => Err(Refusal::Other(Outcome::Unnamed)),
            Some(Host::Address(said)) if *said != address && self.config.verify != Verify::Off => {
                self.statistics.claimed(false);
                if self.config.verify == Verify::Refuse {
                    Err(Refusal::Other(Outcome::Mismatched))
                } else {
                    Ok(())
                }
            }
            Some(Host::Name(name)) if is_sent || self.config.verify != Verify::Off => {
                let holds = self.claims.hold(caller, name, address).await;
                self.statistics.claimed(holds);
                if !holds && (is_sent || self.config.verify == Verify::Refuse) {
                    return Err(Refusal::Other(Outcome::Mismatched));
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// The user whose name and password a client has shown, if any has them; why it is turned away if nobody has.
    pub(super) async fn authenticate(
        &self,
        login: Option<Login>,
        from: IpAddr,
    ) -> Result<Option<String>, Outcome> {
        let (Some(users), Some(login)) = (&self.users, login) else { return Ok(None) };
        let name = login.name.clone();
        let shown = users.check(login, from).await;
        self.statistics.shown(shown);
        match shown {
            Shown::Right => Ok(Some(name)),
            Shown::Wrong => Err(Outcome::Unidentified),
            Shown::Limited => Err(Outcome::Attempts),
        }
    }

    /// Who a client is, if it has shown what is required.
    pub(super) fn identify(
        &self,
        client: &Line,
        user: Option<String>,
        from: IpAddr,
    ) -> Result<Caller, Outcome> {
        let mut credentials = client.credentials();
        let lacks = match self.config.require {
            None => false,
            Some(Required::Certificate) => credentials.certificate.is_empty(),
            Some(Required::Either) => user.is_none() && credentials.certificate.is_empty(),
            Some(Required::User) => user.is_none(),
        };
        if lacks {
            return Err(Outcome::Unidentified);
        }
        credentials.user = user;
        Ok(self.judge.identify(from, &credentials))
    }

    /// True for addresses that are this machine, or nobody's: what listens there was never meant for clients.
    pub(super) fn is_inside(&self, destination: SocketAddr) -> bool {
        let is_special = match destination.ip().to_canonical() {
            IpAddr::V4(address) => {
                address.is_loopback()
                    || address.is_unspecified()
                    || address.is_link_local()
                    || address.is_multicast()
                    || address.is_broadcast()
            }
            IpAddr::V6(address) => {
                address.is_loopback()
                    || address.is_unspecified()
                    || address.is_unicast_link_local()
                    || address.is_multicast()
            }
        };
        is_special || destination.port() == self.address.port() && is_own(destination.ip())
    }

    /// True when the connection is one of this process's own that has come back.
    pub(super) fn is_round(&self, peer: SocketAddr) -> bool {
        self.own.0.lock().unwrap_or_else(PoisonError::into_inner).contains(&peer)
    }

    /// Connects to an origin for the client at `peer`, within the proxy's patience.
    pub(super) async fn connect(&self, peer: SocketAddr, destination: SocketAddr) -> io::Result<Origin> {
        let connecting = async {
            let mut stream = TcpStream::connect(destination).await?;
            // Should these fail, it is only slower.
            let _slower = stream.set_nodelay(true).is_err();
            if self.config.tell_origin {
                stream.write_all(&write_proxied(peer, destination)).await?;
            }
            io::Result::Ok(stream)
        };
        let stream =
            timeout(self.config.connect, connecting).await.map_err(|_| io::ErrorKind::TimedOut)??;
        let local = stream.local_addr().ok();
        if let Some(local) = local {
            self.own.0.lock().unwrap_or_else(PoisonError::into_inner).insert(local);
        }
        Ok(Origin { stream, local, own: Arc::clone(&self.own) })
    }

    /// Gives the origin what the client has said so far, then moves bytes both ways until both are done.
    pub(super) async fn pass(&self, client: &mut Line, origin: &mut Origin, said: Vec<u8>) -> Outcome {
        let mut stop = self.stop.clone();
        let passing = async {
            if !said.is_empty() {
                let sent = timeout(self.config.idle, origin.stream.write_all(&said)).await;
                if !matches!(sent, Ok(Ok(()))) {
                    return Ended::Broken;
                }
                self.statistics.up.fetch_add(said.len() as u64, Ordering::Relaxed);
            }
            drop(said);
            relay::relay(client, &mut origin.stream, self).await
        };
        let ended = tokio::select! {
            ended = passing => ended,
            _ = stop.changed() => Ended::Broken,
        };
        match ended {
            Ended::Done => {}
            // Whoever waits for more is told that none comes.
            Ended::Broken => reset_both(client, &origin.stream),
            Ended::Idle => {
                self.statistics.idle.fetch_add(1, Ordering::Relaxed);
                reset_both(client, &origin.stream);
            }
        }
        Outcome::Passed
    }
}

/// Why a connection is refused.
#[derive(Debug)]
pub(super) enum Refusal {
    Denied(Box<super::judge::Denial>),
    Other(Outcome),
}

impl Refusal {
    pub(super) fn outcome(&self) -> Outcome {
        match self {
            Self::Denied(_) => Outcome::Denied,
            Self::Other(outcome) => *outcome,
        }
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        if let Some(local) = self.local {
            self.own.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&local);
        }
    }
}

fn reset_both(client: &Line, origin: &TcpStream) {
    client.reset();
    reset(origin);
}
