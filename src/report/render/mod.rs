//! Reports for people and for spreadsheets: words in two languages, HTML, CSV. Owns how a report looks; never what it says.

mod csv;
mod html;
mod language;
mod words;

pub use csv::{csv, csv_devices};
pub use html::{html, html_devices};
pub use language::Language;
pub use words::{Words, exemption, in_force, named, rule_of, sentences_of_loss, speak, when_of};
