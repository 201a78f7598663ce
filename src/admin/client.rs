//! Owns the command line's side of the operators' interface. A door of `ureq`, beside `sources`.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;

/// Speaks to a running interdict.
#[derive(Debug)]
pub struct Client {
    base: String,
    token: Option<String>,
    agent: ureq::Agent,
}

/// No answer is larger: a year by day and part for fifty groups.
const LARGEST: u64 = 256 << 20;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The answer is not what an interdict sends.
    #[error("the answer does not parse: {0}")]
    Answer(ureq::Error),
    /// Nobody answers there.
    #[error("no interdict answers on {0}: {1}")]
    Unreachable(String, ureq::Error),
}

impl Client {
    /// A client for the interface at `address`.
    pub fn new(address: SocketAddr, token: Option<String>) -> Self {
        /// A reload of ten million names takes its time.
        const LONGEST: Duration = Duration::from_secs(300);
        let agent = ureq::Agent::config_builder()
            .timeout_global(Some(LONGEST))
            .http_status_as_error(false)
            // The interface is this machine's; what the environment says of proxies is for the world outside.
            .proxy(None)
            .build()
            .into();
        Self { base: format!("http://{address}"), token, agent }
    }

    /// Reads `path`; returns the status and the JSON.
    pub fn read(&self, path: &str) -> Result<(u16, Value), ClientError> {
        let mut request = self.agent.get(format!("{}{path}", self.base));
        if let Some(token) = &self.token {
            request = request.header("Authorization", format!("Bearer {token}"));
        }
        self.finish(request.call())
    }

    /// Asks for a change at `path`; returns the status and the JSON.
    pub fn change(&self, path: &str) -> Result<(u16, Value), ClientError> {
        let mut request = self.agent.post(format!("{}{path}", self.base));
        if let Some(token) = &self.token {
            request = request.header("Authorization", format!("Bearer {token}"));
        }
        let answer = request.send_empty();
        self.finish(answer)
    }

    fn finish(
        &self,
        answer: Result<http::Response<ureq::Body>, ureq::Error>,
    ) -> Result<(u16, Value), ClientError> {
        let mut answer = answer.map_err(|error| ClientError::Unreachable(self.base.clone(), error))?;
        let status = answer.status().as_u16();
        let text =
            answer.body_mut().with_config().limit(LARGEST).read_to_string().map_err(ClientError::Answer)?;
        Ok((status, serde_json::from_str(&text).unwrap_or(Value::String(text))))
    }
}
