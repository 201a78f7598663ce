//! Owns what every page is rendered with: language, zone, who looks, and how numbers, times and links are written. Never holds anything of one page.

use axum::extract::FromRequestParts;
use axum::http::{HeaderMap, Uri, header, request};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use maud::{Markup, html};

use super::super::answer::Parameters;
use super::super::api::Parts;
use super::super::fields;
use super::super::link::link;
use super::super::visitor::Visitor;
use super::words::{Words, speak};
use crate::report::render::Language;

/// What a page is rendered with.
pub(super) struct View {
    pub(super) parts: Parts,
    pub(super) visitor: Visitor,
    pub(super) parameters: Parameters,
    pub(super) language: Language,
    /// Whether the language was chosen by this request, and is to be remembered.
    pub(super) is_chosen: bool,
    pub(super) words: &'static Words,
    pub(super) zone: TimeZone,
    pub(super) uri: Uri,
}

impl FromRequestParts<Parts> for View {
    type Rejection = axum::response::Response;

    async fn from_request_parts(
        request: &mut request::Parts,
        parts: &Parts,
    ) -> Result<Self, Self::Rejection> {
        let parameters = Parameters::from_request_parts(request, parts).await?;
        let Ok(visitor) = Visitor::from_request_parts(request, parts).await;
        let chosen = parameters.get("lang").and_then(|tag| tag.parse().ok());
        let language = chosen.unwrap_or_else(|| preferred(&request.headers));
        let snapshot = parts.pipeline.in_force();
        let zone = snapshot.map_or(TimeZone::UTC, |snapshot| snapshot.config().time_zone.clone());
        Ok(Self {
            parts: parts.clone(),
            visitor,
            parameters,
            language,
            is_chosen: chosen.is_some(),
            words: speak(language),
            zone,
            uri: request.uri.clone(),
        })
    }
}

/// The language that was chosen before, or that the browser asks for.
fn preferred(headers: &HeaderMap) -> Language {
    let value = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("");
    fields::preferred(value(header::COOKIE), value(header::ACCEPT_LANGUAGE))
}

impl View {
    /// A moment to the minute, which programs can read too.
    pub(super) fn moment(&self, at: Timestamp) -> Markup {
        html! { time datetime=(at.to_string()) { (self.language.minute(at, &self.zone)) } }
    }

    /// A moment to the second.
    pub(super) fn second(&self, at: Timestamp) -> Markup {
        self.written(at, "%H:%M:%S")
    }

    /// A moment to the second, with its day.
    pub(super) fn instant(&self, at: Timestamp) -> Markup {
        self.written(at, "%Y-%m-%d %H:%M:%S")
    }

    fn written(&self, at: Timestamp, format: &str) -> Markup {
        let text = at.to_zoned_datetime(self.zone.clone()).strftime(format).to_string();
        html! { time datetime=(at.to_string()) { (text) } }
    }

    /// A count.
    pub(super) fn count(&self, number: u64) -> String {
        self.language.number(number)
    }

    /// A number with as many digits behind the point as are of use.
    pub(super) fn decimal(&self, number: f64) -> String {
        if number >= 100.0 {
            return self.count(number.round() as u64);
        }
        let text = if number >= 10.0 { format!("{number:.1}") } else { format!("{number:.2}") };
        self.language.choose(text.clone(), text.replace('.', ","))
    }

    /// A share of one as a percentage.
    pub(super) fn share(&self, share: Option<f64>) -> String {
        share
            .map_or_else(|| NOTHING.to_owned(), |share| self.language.percent((share * 100.0).round() as u64))
    }

    /// A time in the unit in which it is readable.
    pub(super) fn time(&self, seconds: Option<f64>) -> String {
        let Some(seconds) = seconds else { return NOTHING.to_owned() };
        let (number, unit) = match seconds {
            s if s < 0.001 => (s * 1e6, "µs"),
            s if s < 1.0 => (s * 1e3, "ms"),
            s => (s, "s"),
        };
        let text = if number >= 10.0 { self.count(number.round() as u64) } else { self.decimal(number) };
        format!("{text}\u{a0}{unit}")
    }

    /// This page in another language.
    pub(super) fn in_language(&self, language: Language) -> String {
        let mut pairs: Vec<(&str, &str)> =
            self.parameters.all().filter(|(key, _)| *key != "lang" && *key != "token").collect();
        pairs.push(("lang", language.tag()));
        link(self.uri.path(), &pairs)
    }
}

/// What stands where there is nothing to show.
pub(super) const NOTHING: &str = "–";
