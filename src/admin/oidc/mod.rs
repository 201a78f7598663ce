//! People who sign in at their organisation's provider instead of showing a token (OpenID Connect Core 1.0, Authorization Code with PKCE, RFC 7636): from the
//! way there to somebody known by name and roles. Never begins a session and never renders a page.
//!
//! | file | what it owns |
//! |---|---|
//! | `config` | the settings, and which claims give which roles |
//! | `attempt` | what ties an answer to the browser and the moment that asked |
//! | `provider` | what the provider says of itself, and its keys |
//! | `token` | whether an ID token is to be believed |
//! | `sign_in` | the order of it all |

mod attempt;
mod config;
mod metrics;
mod provider;
mod sign_in;
mod token;

pub(super) use config::THERE;
pub use config::{BACK, ClientSecret, Config, Granted};
pub(super) use metrics::METRICS;
pub use sign_in::SignIn;
pub(super) use sign_in::{Back, Failed, Signed, Trouble};
