//! Owns the connections of recursion to authoritative servers, made by Hickory: each question counted, each answer bounded before it
//! is looked at. Never chooses a server.

use std::net::IpAddr;
use std::pin::Pin;

use futures_util::stream::once;
use futures_util::{Stream, StreamExt as _};
use hickory_resolver::config::ConnectionConfig;
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::xfer::{DnsExchange, DnsHandle};
use hickory_resolver::proto::op::{DnsRequest, DnsResponse};
use hickory_resolver::{ConnectionProvider, PoolContext};

use super::asked::may_ask;
use super::bounded::bound;

/// Makes connections.
#[derive(Clone, Default)]
pub(in crate::resolve) struct Servers(TokioRuntimeProvider);

/// A connection.
#[derive(Clone)]
pub(in crate::resolve) struct Connection(DnsExchange<TokioRuntimeProvider>);

impl ConnectionProvider for Servers {
    type Conn = Connection;
    type FutureConn = Pin<Box<dyn Future<Output = Result<Connection, NetError>> + Send>>;
    type RuntimeProvider = TokioRuntimeProvider;

    fn new_connection(
        &self,
        ip: IpAddr,
        config: &ConnectionConfig,
        context: &PoolContext,
    ) -> Result<Self::FutureConn, NetError> {
        let connecting = self.0.new_connection(ip, config, context)?;
        Ok(Box::pin(async move { connecting.await.map(Connection) }))
    }

    fn runtime_provider(&self) -> &TokioRuntimeProvider {
        &self.0
    }
}

impl DnsHandle for Connection {
    type Response = Pin<Box<dyn Stream<Item = Result<DnsResponse, NetError>> + Send>>;
    type Runtime = TokioRuntimeProvider;

    fn send(&self, request: DnsRequest) -> Self::Response {
        if !may_ask() {
            return Box::pin(once(async { Err(NetError::Message("too many questions")) }));
        }
        let answers = self.0.send(request).map(|answer| {
            let mut message = answer?.into_message();
            bound(&mut message);
            Ok(DnsResponse::from_message(message)?)
        });
        Box::pin(answers)
    }
}
