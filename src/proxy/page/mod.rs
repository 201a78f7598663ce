//! What a client of plain HTTP is shown when it does not get what it asked for: words in the reader's language, the page made of them, and its
//! way to the client. Never shows what a client sent but the name that was asked for, and never decides.

mod response;
mod words;

pub(super) use response::{Request, refusal, send_last, visit};
pub(super) use words::{Words, read_words};
