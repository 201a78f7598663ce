//! Owns the beginning and the end of a session: a token for a cookie. Tries are counted by address, and failed ones written down. Never keeps a token.

use axum::Form;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use maud::html;

use super::act::Sent;
use super::frame::{Place, whole_with};
use super::view::View;
use crate::admin::auth::Tokens;
use crate::admin::fields::{Origin, SESSION};
use crate::admin::oidc::THERE;
use crate::admin::session::Holder;
use crate::admin::visitor::Proof;

pub(super) async fn page(view: View) -> Response {
    form(&view, StatusCode::OK, None)
}

fn form(view: &View, status: StatusCode, wrong: Option<&str>) -> Response {
    let words = view.words;
    let content = html! {
        @if let Some(wrong) = wrong { div class="notice bad" role="alert" { p { (wrong) } } }
        @if let Some(sign_in) = &view.parts.sign_in {
            // A link: what a form leads to must stay here, as the page's own policy says.
            p { a class="main" href=(THERE) { (words.sign_in_at) " " (sign_in.config().host()) } }
            h2 { (words.sign_in_or) }
        }
        p id="login-what" { (words.log_in_what) }
        form class="narrow" method="post" action="/login" {
            div class="field" {
                label for="token" { (words.token) }
                input id="token" name="token" type="password" required autocomplete="current-password" aria-describedby="login-what";
            }
            p { button class="main" { (words.log_in) } }
        }
    };
    whole_with(status, view, Place::Elsewhere, words.log_in, &content)
}

pub(super) async fn log_in(view: View, sent: Sent) -> Response {
    let pairs = match sent {
        Ok(Form(pairs)) => pairs,
        Err(rejected) => return rejected.into_response(),
    };
    let from = view.visitor.from.unwrap_or(std::net::IpAddr::V6(std::net::Ipv6Addr::UNSPECIFIED));
    if let Err(wait) = view.parts.sessions.may_try(from) {
        let mut response = form(&view, StatusCode::TOO_MANY_REQUESTS, Some(view.words.log_in_wait));
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(wait.as_secs().max(1)));
        return response;
    }
    // Another's page must not log somebody in as somebody else.
    if view.visitor.origin != Origin::Own {
        return form(&view, StatusCode::FORBIDDEN, Some(view.words.log_in_wrong));
    }
    let token = pairs.into_iter().find(|(key, _)| key == "token").map(|(_, token)| token).unwrap_or_default();
    let parts = view.parts.clone();
    let begun = tokio::task::spawn_blocking(move || {
        let digest = Tokens::digest(token.trim());
        match parts.tokens.of_digest(&digest).filter(|person| !person.roles.feeds_only) {
            Some(person) => {
                tracing::info!(who = %person.name, %from, "logged in");
                parts.sessions.begin(Holder::Token(digest))
            }
            None => {
                parts.sessions.failed(from);
                parts.pipeline.refuse_stranger(Some(from), "login");
                None
            }
        }
    });
    match begun.await.ok().flatten() {
        Some(secret) => {
            end_before(&view);
            with_cookie(&view, &format!("{SESSION}={secret}; Path=/"), "/")
        }
        None => form(&view, StatusCode::UNAUTHORIZED, Some(view.words.log_in_wrong)),
    }
}

pub(super) async fn log_out(view: View, sent: Sent) -> Response {
    let pairs = sent.map(|Form(pairs)| pairs).unwrap_or_default();
    let token = pairs.iter().find(|(key, _)| key == "token").map_or("", |(_, token)| token);
    if view.visitor.by_form(&view.parts, token).is_none() {
        return form(&view, StatusCode::FORBIDDEN, None);
    }
    end_before(&view);
    with_cookie(&view, &format!("{SESSION}=; Path=/; Max-Age=0"), "/")
}

/// Ends the session that the browser came with.
pub(super) fn end_before(view: &View) {
    if let Proof::Session(secret) = &view.visitor.proof {
        view.parts.sessions.end(secret);
    }
}

/// Goes on to `to` with a cookie that no script reads and no other site's page sends (RFC 6265bis section 4.1.2).
fn with_cookie(view: &View, cookie: &str, to: &str) -> Response {
    let secure = if view.visitor.is_encrypted { "; Secure" } else { "" };
    let mut response = Redirect::to(to).into_response();
    if let Ok(cookie) = HeaderValue::try_from(format!("{cookie}; HttpOnly; SameSite=Strict{secure}")) {
        response.headers_mut().insert(header::SET_COOKIE, cookie);
    }
    response
}
