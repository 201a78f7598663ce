//! Owns what somebody looks for in a log that this product wrote in its own form, and what is read of a line. Never opens a file.

use std::borrow::Cow;
use std::net::IpAddr;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;

use super::clients::Clients;
use crate::dns::{CanonicalName, Name};
use crate::policy::When;
use crate::telemetry::{Decision, Reference};

/// What is read of a line in the form `json`.
#[derive(Debug, Deserialize)]
pub struct Line<'l> {
    /// When it was asked.
    pub time: Timestamp,
    /// Who asked, as far as the sink shows it.
    #[serde(borrow, default)]
    pub client: Option<Cow<'l, str>>,
    /// Who that is beside the address.
    #[serde(borrow, default)]
    pub identity: Option<Cow<'l, str>>,
    /// What was asked.
    #[serde(borrow)]
    pub name: Cow<'l, str>,
    /// The record type.
    #[serde(borrow)]
    pub r#type: Cow<'l, str>,
    /// What the policy said.
    #[serde(borrow)]
    pub verdict: Cow<'l, str>,
    /// The client's group.
    #[serde(borrow)]
    pub group: Cow<'l, str>,
    /// App id; empty without a rule, as what follows.
    #[serde(borrow, default)]
    pub app: Cow<'l, str>,
    /// Instrument id.
    #[serde(borrow, default)]
    pub instrument: Cow<'l, str>,
    /// Where the rule is written.
    #[serde(borrow, default)]
    pub rule: Cow<'l, str>,
    /// The reply's code.
    #[serde(borrow, default)]
    pub rcode: Option<Cow<'l, str>>,
    /// Where the answer is from.
    #[serde(borrow, default)]
    pub answered_from: Option<Cow<'l, str>>,
    /// The upstream that answered.
    #[serde(borrow, default)]
    pub upstream: Option<Cow<'l, str>>,
}

impl Line<'_> {
    /// Leaves no more of its client than `clients` shows: lines stay as they were written when less is to be told.
    pub fn narrow(&mut self, clients: Clients) {
        if clients != Clients::Full {
            self.identity = None;
            self.client = self.client.take().and_then(|shown| clients.narrowed(&shown)).map(Cow::Owned);
        }
    }
}

/// What somebody writes who looks for lines; what is left out is not asked about.
#[derive(Clone, Debug, Default)]
pub struct Sought {
    /// A part of the name.
    pub name: Option<String>,
    /// The client's address or network, or how it begins.
    pub client: Option<String>,
    /// The app's id.
    pub app: Option<String>,
    /// The instrument's id.
    pub instrument: Option<String>,
    /// The client's group.
    pub group: Option<String>,
    /// What the policy said.
    pub verdict: Option<String>,
    /// The reply's code.
    pub rcode: Option<String>,
    /// From that day or time.
    pub from: Option<When>,
    /// To the end of that day, or that time.
    pub to: Option<When>,
    /// What a page that was shown instead of another gives as its reference: denials of that name in the day before it.
    pub reference: Option<Reference>,
}

/// What is wrong with a part of it: which part, what, and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsearchable {
    /// Which of [`Sought::KEYS`].
    pub key: &'static str,
    /// What is wrong.
    pub what: String,
    /// What to write instead.
    pub hint: String,
}

/// Which lines are wanted.
#[derive(Clone, Debug)]
pub struct Search {
    sought: Sought,
    name: Option<String>,
    client: Option<Who>,
    from: Timestamp,
    to: Timestamp,
    clients: Clients,
}

/// A client that is looked for.
#[derive(Clone, Debug)]
enum Who {
    /// By its address, and the network that may be shown in its place.
    Address(IpAddr, Option<String>),
    /// By how it begins.
    Begins(String),
}

/// How long a client may have kept a block before it showed its page: as long as `[policy] ttl` may be.
const BEFORE: SignedDuration = SignedDuration::from_hours(24);
/// By how much the line of a denial may be later than its page.
const AFTER: SignedDuration = SignedDuration::from_secs(2);

impl Sought {
    /// What its parts are called.
    pub const KEYS: [&str; 10] =
        ["name", "client", "app", "instrument", "group", "verdict", "rcode", "from", "to", "reference"];

    /// Reads the parts that `given` has, each by its key; one that is empty is not asked about.
    pub fn read<'g>(given: impl Fn(&str) -> Option<&'g str>) -> Result<Self, Unsearchable> {
        let text = |key: &str| given(key).map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned);
        let wrong = |key, what: String, hint: &str| Unsearchable { key, what, hint: hint.to_owned() };
        let when = |key| {
            let read = |text: String| {
                text.parse::<When>().map_err(|hint| wrong(key, format!("`{text}` is no date"), hint))
            };
            text(key).map(read).transpose()
        };
        let verdict = text("verdict");
        if let Some(word) = &verdict {
            let unknown = |hint: String| wrong("verdict", format!("`{word}` is not known"), &hint);
            word.parse::<Decision>().map_err(unknown)?;
        }
        let reference = text("reference").map(|text| {
            let hint = "write it as the page shows it, such as 7-19a1b2c3d4e-5f60";
            text.parse().map_err(|_| wrong("reference", format!("`{text}` is no reference"), hint))
        });
        Ok(Self {
            name: text("name"),
            client: text("client"),
            app: text("app"),
            instrument: text("instrument"),
            group: text("group"),
            verdict,
            rcode: text("rcode"),
            from: when("from")?,
            to: when("to")?,
            reference: reference.transpose()?,
        })
    }
}

impl Search {
    /// A search in which days are those of `zone`. Fails when nothing is between its times.
    pub fn new(sought: Sought, zone: &TimeZone) -> Result<Self, Unsearchable> {
        let page = sought.reference.map(|reference| reference.time());
        let from = match (sought.from, page) {
            (Some(when), _) => when.in_zone(zone),
            (None, Some(page)) => page.saturating_sub(BEFORE).unwrap_or(Timestamp::MIN),
            (None, None) => Timestamp::MIN,
        };
        let to = match (sought.to, page) {
            // To its last moment, and not to its last whole second.
            (Some(when @ When::Day(_)), _) => {
                let end = when.end_of_day(zone);
                end.saturating_add(SignedDuration::from_millis(999)).unwrap_or(end)
            }
            (Some(When::Moment(moment)), _) => moment,
            (None, Some(page)) => page.saturating_add(AFTER).unwrap_or(Timestamp::MAX),
            (None, None) => Timestamp::MAX,
        };
        if from > to {
            let hint = "nothing is between them".to_owned();
            return Err(Unsearchable { key: "from", what: format!("{from} is after {to}"), hint });
        }
        let client = sought.client.clone().map(|client| match client.parse() {
            Ok(address) => Who::Address(address, Clients::Prefix.show(address)),
            Err(_) => Who::Begins(client),
        });
        Ok(Self { name: sought.name.as_deref().map(part), client, from, to, clients: Clients::Full, sought })
    }

    /// The same, for what is not later than `time`.
    pub fn until(self, time: Timestamp) -> Self {
        Self { to: self.to.min(time), ..self }
    }

    /// The same, by somebody who may see no more of clients than `clients` shows, and is not to find out by asking.
    pub fn by_who_sees(self, clients: Clients) -> Self {
        Self { clients, ..self }
    }

    /// How much of clients is seen.
    pub fn clients(&self) -> Clients {
        self.clients
    }

    /// Between which times it looks, both included.
    pub fn between(&self) -> (Timestamp, Timestamp) {
        (self.from, self.to)
    }

    /// True when it looks for an address, and none is to be found where clients are shown so.
    pub fn is_in_vain(&self, clients: Clients) -> bool {
        matches!(self.client, Some(Who::Address(..))) && matches!(clients, Clients::Hmac | Clients::None)
    }

    /// True when the line is wanted.
    pub fn wants(&self, line: &Line<'_>) -> bool {
        let sought = &self.sought;
        let is = |wanted: &Option<String>, found: &str| wanted.as_ref().is_none_or(|wanted| wanted == found);
        (self.from..=self.to).contains(&line.time)
            && self.name.as_ref().is_none_or(|part| line.name.contains(&**part))
            && self.client.as_ref().is_none_or(|who| who.is(line))
            && is(&sought.app, &line.app)
            && is(&sought.instrument, &line.instrument)
            && is(&sought.group, &line.group)
            && is(&sought.verdict, &line.verdict)
            && sought.rcode.as_ref().is_none_or(|wanted| {
                line.rcode.as_ref().is_some_and(|found| found.eq_ignore_ascii_case(wanted))
            })
            && sought.reference.is_none_or(|reference| is_denial_of(line, &reference))
    }
}

impl Who {
    fn is(&self, line: &Line<'_>) -> bool {
        let mut known = [&line.client, &line.identity].into_iter().flatten();
        match self {
            // A whole address is not meant to find those that it begins; its network stands for it where that is all that is shown.
            Self::Address(address, network) => known.any(|found| {
                found.parse::<IpAddr>().is_ok_and(|found| found == *address)
                    || network.as_ref().is_some_and(|network| found == network)
            }),
            Self::Begins(beginning) => known.any(|found| found.starts_with(beginning)),
        }
    }
}

/// A part of a name as the log writes names: in lower case, without a final dot, and in A-labels (RFC 5890).
fn part(text: &str) -> String {
    let text = text.strip_suffix('.').filter(|text| !text.is_empty()).unwrap_or(text);
    let labels = Some(text).filter(|text| !text.is_ascii()).and_then(|text| text.parse::<Name>().ok());
    labels.map_or_else(|| text.to_ascii_lowercase(), |name| name.to_string())
}

fn is_denial_of(line: &Line<'_>, reference: &Reference) -> bool {
    matches!(&*line.verdict, "blocked" | "refused")
        && line.name.parse::<Name>().is_ok_and(|name| reference.may_be_of(&CanonicalName::from(&name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A search for these parts, in Ottawa's time.
    fn search(parts: &[(&str, &str)]) -> Result<Search, Unsearchable> {
        let given = |key: &str| parts.iter().find(|(name, _)| *name == key).map(|(_, value)| *value);
        Sought::read(given).and_then(|sought| Search::new(sought, &TimeZone::get("America/Toronto").unwrap()))
    }

    /// Whether a search finds a line with these members beside the usual ones.
    fn finds(parts: &[(&str, &str)], members: &str) -> bool {
        let line = format!(
            "{{\"name\":\"www.tiktok.com\",\"type\":\"A\",\"verdict\":\"blocked\",\"group\":\"default\",{members}}}"
        );
        search(parts).unwrap().wants(&serde_json::from_str(&line).unwrap())
    }

    #[test]
    fn days_are_whole_and_of_a_zone_and_times_are_exact() {
        let finds = |parts: &[(&str, &str)], time: &str| finds(parts, &format!("\"time\":\"{time}\""));
        let day = &[("from", "2026-11-30"), ("to", "2026-11-30")];
        assert!(finds(day, "2026-11-30T05:00:00.000Z") && finds(day, "2026-12-01T04:59:59.999Z"));
        assert!(!finds(day, "2026-11-30T04:59:59.999Z") && !finds(day, "2026-12-01T05:00:00.000Z"));
        let hour = &[("from", "2026-11-30T09:00:00-05:00"), ("to", "2026-11-30T15:00:00Z")];
        assert!(finds(hour, "2026-11-30T14:00:00.000Z") && finds(hour, "2026-11-30T15:00:00.000Z"));
        assert!(!finds(hour, "2026-11-30T13:59:59.999Z") && !finds(hour, "2026-11-30T15:00:00.001Z"));
        let backwards = search(&[("from", "2026-11-30"), ("to", "2026-11-29")]).unwrap_err();
        assert!(backwards.what.contains("is after"), "{backwards:?}");
        for (key, value) in [("to", "30/11/2026"), ("verdict", "bad"), ("reference", "7-")] {
            assert_eq!(search(&[(key, value)]).unwrap_err().key, key);
        }
    }

    #[test]
    fn a_reference_is_of_a_name_and_of_the_day_before_it_was_shown() {
        let name = |text: &str| CanonicalName::from(&text.parse::<Name>().unwrap());
        let at: Timestamp = "2026-11-30T20:15:00.123Z".parse().unwrap();
        let shown = Reference::of(7, at, &name("www.tiktok.com")).to_string();
        let finds = |parts: &[(&str, &str)], time: &str| finds(parts, &format!("\"time\":\"{time}\""));
        let page = &[("reference", shown.as_str())];
        assert!(finds(page, "2026-11-30T20:15:00.100Z") && finds(page, "2026-11-30T20:15:02.000Z"));
        assert!(finds(page, "2026-11-29T20:16:00.000Z"), "blocks may hold for a day");
        assert!(!finds(page, "2026-11-30T20:15:03.000Z") && !finds(page, "2026-11-29T20:14:00.000Z"));
        assert!(finds(&[("reference", &shown), ("from", "2026-11-01")], "2026-11-02T00:00:00.000Z"));
        let other = Reference::of(7, at, &name("www.wechat.com")).to_string();
        assert!(!finds(&[("reference", &other)], "2026-11-30T20:15:00.100Z"));
    }

    #[test]
    fn a_client_is_found_however_it_is_written_and_however_it_is_shown() {
        let finds = |client: &str, shown: &str| {
            finds(&[("client", client)], &format!("\"time\":\"2026-11-30T00:00:00Z\",{shown}"))
        };
        let whole = r#""client":"2001:db8::17""#;
        assert!(finds("2001:DB8:0::17", whole) && finds("2001:db8:", whole) && !finds("2001:db8::1", whole));
        assert!(
            finds("10.20.0.7", r#""client":"10.20.0.0/24""#)
                && !finds("10.20.1.7", r#""client":"10.20.0.0/24""#)
        );
        assert!(
            finds("10.20.", r#""client":"10.20.0.7""#) && !finds("10.20.0.7", r#""client":"10.20.0.71""#)
        );
        assert!(finds("certificate:lab", r#""client":"10.0.0.1","identity":"certificate:lab-7""#));
        assert!(!finds("10.20.0.7", r#""client":null"#));
    }

    #[test]
    fn a_part_of_a_name_is_found_as_people_write_it() {
        for (text, written) in [
            ("WWW.TikTok.com.", "www.tiktok.com"),
            ("tik", "tik"),
            (".", "."),
            ("m\u{fc}nchen", "xn--mnchen-3ya"),
        ] {
            assert_eq!(part(text), written);
        }
    }
}
