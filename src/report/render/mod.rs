//! Reports for people and for spreadsheets: words in two languages, tables, HTML, CSV. Owns how a report looks; never what it says.

mod csv;
mod html;
mod language;
mod table;
mod words;

pub use csv::{csv, csv_devices};
pub use html::{html, html_devices};
pub use language::Language;
pub use table::{Cell, Table, acts, days, exceptions, likely, most_blocked, totals};
pub use words::{Words, in_force, named, rule_of, sentences_of_loss, speak, unsure_of};
