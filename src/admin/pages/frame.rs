//! Owns what surrounds every page: head, navigation, who is logged in, languages, footer, and the fields that keep a browser from running anything that is
//! not ours. Never the content of one.

use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use maud::{DOCTYPE, Markup, html};

use super::assets::{SCRIPT, STYLE};
use super::view::View;
use crate::admin::fields::LANGUAGE;
use crate::report::render::Language;

/// What a browser may load and send: our own style and script, forms to us, nothing inline, and no frame around it (Content Security Policy 3).
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; \
                      form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// A page of the navigation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Audit,
    Explain,
    Generations,
    Log,
    Now,
    Policy,
    Reports,
    /// Not in the navigation.
    Elsewhere,
}

/// A whole page.
pub(super) fn whole(view: &View, place: Place, title: &str, content: &Markup) -> Response {
    whole_with(StatusCode::OK, view, place, title, content)
}

/// The same under another status.
pub(super) fn whole_with(
    status: StatusCode,
    view: &View,
    place: Place,
    title: &str,
    content: &Markup,
) -> Response {
    let words = view.words;
    let entries = [
        (Place::Now, "/", words.now),
        (Place::Log, "/log", words.log),
        (Place::Policy, "/policy", words.policy),
        (Place::Explain, "/explain", words.explain),
        (Place::Generations, "/generations", words.generations),
        (Place::Reports, "/reports", words.reports),
        (Place::Audit, "/audit", words.audit),
    ];
    let other = view.language.choose(Language::Fr, Language::En);
    let markup = html! {
        (DOCTYPE)
        html lang=(view.language.tag()) {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) " – interdict" }
                link rel="stylesheet" href=(STYLE);
                link rel="icon" type="image/svg+xml" href="/assets/icon.svg";
                script src=(SCRIPT) defer {}
            }
            body data-pause=(words.pause) data-resume=(words.resume) {
                a class="skip" href="#content" { (words.skip) }
                header {
                    a class="brand" href="/" { "interdict" }
                    nav aria-label=(words.pages) {
                        ul {
                            @for (entry, href, text) in entries {
                                li { a href=(href) aria-current=[(entry == place).then_some("page")] { (text) } }
                            }
                        }
                    }
                    div class="who" {
                        a href=(view.in_language(other)) lang=(other.tag()) hreflang=(other.tag()) {
                            (other.choose("English", "Français"))
                        }
                        (who(view))
                    }
                }
                main id="content" tabindex="-1" {
                    h1 { (title) }
                    (content)
                }
                footer {
                    p { (words.time_zone) " " (view.zone.iana_name().unwrap_or("UTC")) ". interdict " (env!("CARGO_PKG_VERSION")) }
                }
            }
        }
    };
    let mut response = (status, markup.into_string()).into_response();
    let fixed = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        // A form's own page must be named to us, and to nobody else.
        (header::REFERRER_POLICY, "same-origin"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (header::CONTENT_LANGUAGE, view.language.tag()),
        (header::VARY, "Accept-Language, Cookie"),
    ];
    let headers = response.headers_mut();
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if view.is_chosen {
        let tag = view.language.tag();
        let cookie = format!("{LANGUAGE}={tag}; Path=/; Max-Age=31536000; SameSite=Lax; HttpOnly");
        headers.extend(HeaderValue::try_from(cookie).ok().map(|cookie| (header::SET_COOKIE, cookie)));
    }
    response
}

/// Who is logged in, or the way there.
fn who(view: &View) -> Markup {
    let words = view.words;
    match &view.visitor.person {
        None => html! { a href="/login" { (words.log_in) } },
        Some(person) => html! {
            span { (words.logged_in) " " strong { (person.name) } }
            @if let Some(token) = view.visitor.form_token(&view.parts) {
                form method="post" action="/logout" {
                    input type="hidden" name="token" value=(token);
                    button { (words.log_out) }
                }
            }
        },
    }
}
