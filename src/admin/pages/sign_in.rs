//! Owns the pages on the way to the provider that people sign in at, and back: a session begins, or the page says why none does and what still works. Nothing
//! that comes back says where to go on: that is the first page.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use maud::html;

use super::frame::{Place, whole, whole_with};
use super::login::end_before;
use super::view::View;
use crate::admin::api::Parts;
use crate::admin::fields::{SESSION, cookie};
use crate::admin::oidc::{BACK, Back, Failed, SignIn, THERE, Trouble};
use crate::admin::session::Holder;
use crate::reload::By;

/// Name of the cookie that holds an attempt.
const ATTEMPT: &str = "interdict-attempt";

/// On to the provider.
pub(super) async fn there(view: View) -> Response {
    let Some(sign_in) = view.parts.sign_in.clone() else { return Redirect::to("/login").into_response() };
    let from = from(&view);
    if view.parts.sessions.may_try(from).is_err() {
        return wait(&view);
    }
    let secure = secure(&sign_in);
    match tokio::task::spawn_blocking(move || sign_in.begin()).await {
        Ok(Ok((to, cookie))) => {
            let mut response = Redirect::to(&to).into_response();
            // The provider's page sends browsers back, which is why this one comes with what another's page leads to (RFC 6265bis section 4.1.2.7).
            let cookie =
                format!("{ATTEMPT}={cookie}; Path={BACK}; Max-Age=600; HttpOnly; SameSite=Lax{secure}");
            set(&mut response, &cookie);
            response
        }
        Ok(Err(why)) => failed(&view, &why),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// Back from it.
pub(super) async fn back(State(_): State<Parts>, headers: HeaderMap, view: View) -> Response {
    let Some(sign_in) = view.parts.sign_in.clone() else { return Redirect::to("/login").into_response() };
    let (from, secure) = (from(&view), secure(&sign_in));
    if view.parts.sessions.may_try(from).is_err() {
        return wait(&view);
    }
    let lines = headers.get_all(header::COOKIE).into_iter().filter_map(|value| value.to_str().ok());
    let kept = lines.filter_map(|line| cookie(line, ATTEMPT)).next().unwrap_or("").to_owned();
    let (parts, parameters) = (view.parts.clone(), view.parameters.clone());
    let ended = tokio::task::spawn_blocking(move || {
        let field = |key: &str| parameters.get(key).unwrap_or("");
        let back = Back {
            cookie: &kept,
            state: field("state"),
            code: field("code"),
            error: parameters.get("error"),
            issuer: parameters.get("iss"),
        };
        let signed = sign_in.finish(back);
        note(&parts, from, &signed);
        let signed = signed?;
        let longest = sign_in.config().session;
        let name = signed.person.name.clone();
        Ok((name, parts.sessions.begin(Holder::Signed(signed.person, longest))))
    });
    let mut response = match ended.await {
        Ok(Ok((name, Some(secret)))) => {
            end_before(&view);
            let words = view.words;
            let content = html! { p { (words.logged_in) " " strong { (name) } } p { a href="/" { (words.sign_in_on) } } };
            let mut response = whole(&view, Place::Elsewhere, words.log_in, &content);
            // Not by a redirect: a browser keeps the session's cookie from what another's page began, and this page is where something of our own begins.
            response.headers_mut().insert(header::REFRESH, HeaderValue::from_static("0; url=/"));
            set(&mut response, &format!("{SESSION}={secret}; Path=/; HttpOnly; SameSite=Strict{secure}"));
            response
        }
        Ok(Err(why)) => failed(&view, &why),
        Ok(Ok((_, None))) | Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    };
    set(&mut response, &format!("{ATTEMPT}=; Path={BACK}; Max-Age=0; HttpOnly; SameSite=Lax{secure}"));
    response
}

/// Writes down who signed in, who may not, and who tried.
fn note(parts: &Parts, from: IpAddr, signed: &Result<crate::admin::oidc::Signed, Failed>) {
    const WHAT: &str = "login";
    match signed {
        Ok(signed) => {
            let name = &signed.person.name;
            let mut detail = signed.detail.clone();
            detail.push(format!("roles {}", signed.person.roles.words().join(", ")));
            tracing::info!(who = %name, %from, "signed in at the provider");
            parts.pipeline.admit(&By::new(name), Some(from), WHAT, detail);
        }
        Err(Failed { who: Some(who), .. }) => {
            parts.sessions.failed(from);
            parts.pipeline.refuse(&By::new(who), Some(from), WHAT);
        }
        // A provider that is down is nobody's guess.
        Err(Failed { trouble: Trouble::Provider, .. }) => {}
        Err(_) => {
            parts.sessions.failed(from);
            parts.pipeline.refuse_stranger(Some(from), WHAT);
        }
    }
}

/// What is said when nobody signed in.
fn failed(view: &View, why: &Failed) -> Response {
    let words = view.words;
    let (status, said) = match why.trouble {
        Trouble::Denied => (StatusCode::FORBIDDEN, words.sign_in_denied),
        Trouble::Provider => (StatusCode::SERVICE_UNAVAILABLE, words.sign_in_provider),
        Trouble::Refused => (StatusCode::FORBIDDEN, words.sign_in_refused),
        Trouble::Role => (StatusCode::FORBIDDEN, words.sign_in_role),
        Trouble::Stale => (StatusCode::BAD_REQUEST, words.sign_in_stale),
    };
    let content = html! {
        div class="notice bad" role="alert" {
            p { strong { (said) } }
            // As the log has it.
            p lang="en" { (why.what) br; span class="hint" { (why.hint) } }
        }
        p { a href=(THERE) { (words.sign_in_again) } }
        p { a href="/login" { (words.sign_in_or) } }
    };
    whole_with(status, view, Place::Elsewhere, words.sign_in_failed, &content)
}

/// What is said to an address that failed too often.
fn wait(view: &View) -> Response {
    let words = view.words;
    let content = html! { div class="notice bad" role="alert" { p { (words.log_in_wait) } } };
    whole_with(StatusCode::TOO_MANY_REQUESTS, view, Place::Elsewhere, words.sign_in_failed, &content)
}

fn from(view: &View) -> IpAddr {
    view.visitor.from.unwrap_or(IpAddr::V6(Ipv6Addr::UNSPECIFIED))
}

/// What cookies say where browsers come in encryption, here or at a proxy in front.
fn secure(sign_in: &Arc<SignIn>) -> &'static str {
    if sign_in.config().is_encrypted() { "; Secure" } else { "" }
}

fn set(response: &mut Response, cookie: &str) {
    let cookie = HeaderValue::try_from(cookie).ok();
    response.headers_mut().extend(cookie.map(|cookie| (header::SET_COOKIE, cookie)));
}
