//! Owns the shape of what the interface reads and says: parameters of a request's query string, each once, and problems as RFC 9457 has them.
//! Never knows what is asked.

use std::collections::BTreeMap;
use std::ops::Range;

use axum::extract::{FromRequestParts, Query};
use axum::http::request;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Json, http::Uri};
use serde_json::{Value, json};

use crate::problem::{Place, Problem};

/// MIME type of a problem (RFC 9457 section 3).
const PROBLEM_JSON: HeaderValue = HeaderValue::from_static("application/problem+json");

/// The parameters of a request's query string.
#[derive(Clone, Debug, Default)]
pub(super) struct Parameters(BTreeMap<String, String>);

impl<S: Sync> FromRequestParts<S> for Parameters {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut request::Parts, _: &S) -> Result<Self, Self::Rejection> {
        Self::read(&parts.uri).map_err(|problem| wrong(&problem))
    }
}

impl Parameters {
    fn read(uri: &Uri) -> Result<Self, Problem> {
        let pairs = Query::<Vec<(String, String)>>::try_from_uri(uri);
        let Query(pairs) =
            pairs.map_err(|error| complaint("", &error.to_string(), "write ?key=value&key=value"))?;
        let mut parameters = BTreeMap::new();
        for (key, value) in pairs {
            if parameters.insert(key.clone(), value).is_some() {
                return Err(complaint(&key, "stands there twice", "write it once"));
            }
        }
        Ok(Self(parameters))
    }

    /// One of them.
    pub(super) fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }

    /// All of them.
    pub(super) fn all(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// Those that are not empty: a form sends all of its fields.
    pub(super) fn filled(mut self) -> Self {
        self.0.retain(|_, value| !value.is_empty());
        self
    }

    /// Those of a form.
    pub(super) fn of_form(pairs: Vec<(String, String)>) -> Self {
        Self(pairs.into_iter().collect())
    }

    /// The same without one of them.
    pub(super) fn without(mut self, key: &str) -> Self {
        self.0.remove(key);
        self
    }

    /// Refuses every other than `known`: one that is misspelt would silently not count.
    pub(super) fn only(&self, known: &[&str]) -> Result<(), Problem> {
        match self.0.keys().find(|key| !known.contains(&key.as_str())) {
            None => Ok(()),
            Some(other) if known.is_empty() => {
                Err(complaint(other, "is not known", "nothing can be set here"))
            }
            Some(other) => {
                let what = format!("`{other}` is not known");
                let (last, rest) = known.split_last().unwrap_or((&"", &[]));
                let use_one = if rest.is_empty() {
                    format!("use {last}")
                } else {
                    format!("use {} or {last}", rest.join(", "))
                };
                Err(complaint(other, &what, &use_one))
            }
        }
    }

    /// A number within `range`.
    pub(super) fn number(&self, key: &str, range: Range<u64>) -> Result<Option<u64>, Problem> {
        let Some(text) = self.get(key) else { return Ok(None) };
        let is_plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let number = text.parse::<u64>().ok().filter(|number| is_plain && range.contains(number));
        let hint = || format!("write a number from {} to {}", range.start, range.end.saturating_sub(1));
        number.map(Some).ok_or_else(|| complaint(key, "not a number that fits", &hint()))
    }

    /// `true` or `false`; false when it is left out.
    pub(super) fn boolean(&self, key: &str) -> Result<bool, Problem> {
        match self.get(key) {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(_) => Err(complaint(key, "neither true nor false", "write true or false")),
        }
    }
}

/// What is wrong with a parameter.
pub(super) fn complaint(key: &str, what: &str, hint: &str) -> Problem {
    Problem::error(Place::file(format!("?{key}=")), what, hint)
}

/// A problem of the interface, with what an operator sees of it elsewhere too.
pub(super) fn problem(status: StatusCode, problems: &[Problem]) -> Response {
    problem_with(status, problems, json!({}))
}

/// The same with members of its own.
pub(super) fn problem_with(status: StatusCode, problems: &[Problem], mut members: Value) -> Response {
    let detail: Vec<String> =
        problems.iter().take(3).map(|problem| format!("{}: {}", problem.place, problem.what)).collect();
    if let Some(members) = members.as_object_mut() {
        members.insert("type".to_owned(), json!("about:blank"));
        members.insert("title".to_owned(), json!(status.canonical_reason().unwrap_or("Error")));
        members.insert("status".to_owned(), json!(status.as_u16()));
        members.insert("detail".to_owned(), json!(detail.join("; ")));
        members.insert("problems".to_owned(), json!(problems));
    }
    let mut response = (status, Json(members)).into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, PROBLEM_JSON);
    response
}

/// An answer that says where the next part is (RFC 8288), if there is one.
pub(super) fn with_next(mut response: Response, next: Option<&str>) -> Response {
    let link = next.and_then(|next| HeaderValue::try_from(format!("<{next}>; rel=\"next\"")).ok());
    response.headers_mut().extend(link.map(|link| (header::LINK, link)));
    response
}

/// What is said to a question that cannot be read.
pub(super) fn wrong(one: &Problem) -> Response {
    problem(StatusCode::BAD_REQUEST, std::slice::from_ref(one))
}

/// What is said where there is nothing.
pub(super) fn absent(one: &Problem) -> Response {
    problem(StatusCode::NOT_FOUND, std::slice::from_ref(one))
}

/// What is wrong when an answer could not be computed.
pub(super) fn unmade() -> Problem {
    Problem::error(Place::file("interdict"), "the answer could not be made", "the log says why")
}

/// What is said when it cannot be done now.
pub(super) fn unavailable(what: &str) -> Response {
    problem(StatusCode::SERVICE_UNAVAILABLE, &[busy(what)])
}

/// What is wrong when it cannot be done now.
pub(super) fn busy(what: &str) -> Problem {
    Problem::error(Place::file("interdict"), what, "ask again")
}

/// What is said to somebody who is not known.
pub(super) fn stranger() -> Response {
    let hint = "send `Authorization: Bearer TOKEN` with a token of the file that [admin] tokens names";
    let one = Problem::error(Place::file("Authorization"), "no valid token was sent", hint);
    let mut response = problem(StatusCode::UNAUTHORIZED, &[one]);
    response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    response
}

/// The same where lists are fetched, by programs that send a name and a password when they are asked for them.
pub(super) fn feed_stranger() -> Response {
    let mut response = stranger();
    let challenge = HeaderValue::from_static("Basic realm=\"feeds\", charset=\"UTF-8\"");
    response.headers_mut().append(header::WWW_AUTHENTICATE, challenge);
    response
}

/// What is said to somebody who is known and may not.
pub(super) fn forbidden(role: &str) -> Response {
    let what = format!("that needs the role {role}");
    let one = Problem::error(
        Place::file("Authorization"),
        what,
        "roles stand in the file that [admin] tokens names",
    );
    problem(StatusCode::FORBIDDEN, &[one])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Parameters, Problem> {
        Parameters::read(&format!("/x?{text}").parse().unwrap())
    }

    #[test]
    fn parameters_stand_there_once_and_are_known() {
        assert_eq!(read("a=1&b=%C3%A9+x").unwrap().get("b"), Some("é x"));
        assert!(read("a=1&a=1").is_err());
        assert!(read("a=1&b=2").unwrap().only(&["a"]).is_err());
        assert!(read("a=1").unwrap().only(&["a", "b"]).is_ok());
        for (text, number) in
            [("n=7", Some(Some(7))), ("n=+7", None), ("n=", None), ("n=10", None), ("", Some(None))]
        {
            assert_eq!(read(text).unwrap().number("n", 0..10).ok(), number, "{text}");
        }
        assert!(read("yes=1").unwrap().boolean("yes").is_err());
    }
}
