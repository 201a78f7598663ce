//! Owns whether an ID token is to be believed: signed by a key of the provider's, by it, for this server, now, and for the attempt that asked (OpenID Connect Core
//! section 3.1.3.7). The only door of `jsonwebtoken`, which checks the signature; every claim is looked at here, by this process's clock. Never fetches anything.

use jiff::Timestamp;
use jsonwebtoken::errors::Error;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use serde::Deserialize as _;
use serde_json::{Map, Value};

use crate::sources::Digest;

/// What a token must say.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted<'a> {
    pub(super) issuer: &'a str,
    pub(super) client: &'a str,
    pub(super) nonce: &'a str,
    pub(super) now: Timestamp,
}

/// The provider's keys.
#[derive(Clone, Debug, Default)]
pub(super) struct Keys(Vec<Jwk>);

/// Why a token is not believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Doubt {
    /// In words.
    Because(String),
    /// The keys at hand do not have the one that it names: the provider may have a new one.
    UnknownKey(String),
}

/// Seconds that the provider's clock and this one may be apart.
const SKEW: f64 = 60.0;
/// Seconds since a token was made: an attempt takes no longer.
const OLDEST: f64 = 600.0 + SKEW;
/// Keys of a provider: it has two or three.
const KEYS: usize = 64;
/// Characters of a subject (OpenID Connect Core section 2).
const SUBJECT: usize = 255;

impl Keys {
    /// Those of a JWK Set (RFC 7517 section 5) that an ID token may be signed with; keys of other kinds are passed over.
    pub(super) fn read(document: &Value) -> Option<Self> {
        let members = document.get("keys")?.as_array()?.iter().take(KEYS);
        let keys = members.filter_map(|member| Jwk::deserialize(member).ok()).filter(is_for_signing);
        Some(Self(keys.collect()))
    }

    /// Whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Those of the kind that a token with this header may be signed by.
    fn fit(&self, algorithm: Algorithm, id: Option<&str>) -> Result<Vec<&Jwk>, Doubt> {
        let fits = |key: &&Jwk| kind(key) == Some(algorithm);
        let named = |key: &&Jwk| id.is_none_or(|id| key.common.key_id.as_deref() == Some(id));
        let found: Vec<&Jwk> = self.0.iter().filter(fits).filter(named).collect();
        if found.is_empty() {
            return Err(Doubt::UnknownKey(id.unwrap_or("").chars().take(80).collect()));
        }
        Ok(found)
    }
}

/// The algorithm that a key signs by: RS256, which every provider has (OpenID Connect Core section 15.1), or ES256. A key that is for another has none.
fn kind(key: &Jwk) -> Option<Algorithm> {
    let (algorithm, own) = match &key.algorithm {
        AlgorithmParameters::RSA(_) => (Algorithm::RS256, KeyAlgorithm::RS256),
        AlgorithmParameters::EllipticCurve(curve) if curve.curve == EllipticCurve::P256 => {
            (Algorithm::ES256, KeyAlgorithm::ES256)
        }
        _ => return None,
    };
    key.common.key_algorithm.as_ref().is_none_or(|named| *named == own).then_some(algorithm)
}

fn is_for_signing(key: &Jwk) -> bool {
    kind(key).is_some() && !matches!(key.common.public_key_use, Some(PublicKeyUse::Encryption))
}

/// The claims of a token, if it is to be believed.
pub(super) fn believe(token: &str, keys: &Keys, wanted: Wanted<'_>) -> Result<Map<String, Value>, Doubt> {
    let claims = signed(token, keys)?;
    check(&claims, wanted).map_err(Doubt::Because)?;
    Ok(claims)
}

/// The claims, if one of the keys signed them.
fn signed(token: &str, keys: &Keys) -> Result<Map<String, Value>, Doubt> {
    let because = |error: Error| Doubt::Because(format!("not a signed token: {error}"));
    let header = decode_header(token).map_err(because)?;
    // What the token says of its own algorithm chooses among those that are taken, and nothing else does: a public key is never taken for a shared secret.
    if !matches!(header.alg, Algorithm::RS256 | Algorithm::ES256) {
        return Err(Doubt::Because(format!("signed by {:?}; RS256 and ES256 are taken", header.alg)));
    }
    let mut validation = Validation::new(header.alg);
    // Looked at in `check`, by the clock that everything here goes by.
    (validation.validate_exp, validation.validate_nbf, validation.validate_aud) = (false, false, false);
    validation.required_spec_claims.clear();
    let mut failed = None;
    for key in keys.fit(header.alg, header.kid.as_deref())? {
        let decoded =
            DecodingKey::from_jwk(key).and_then(|key| decode::<Map<String, Value>>(token, &key, &validation));
        match decoded {
            Ok(decoded) => return Ok(decoded.claims),
            Err(error) => failed = Some(error),
        }
    }
    Err(Doubt::Because(
        failed.map_or_else(String::new, |error| format!("the signature does not hold: {error}")),
    ))
}

/// Everything that a token must say.
fn check(claims: &Map<String, Value>, wanted: Wanted<'_>) -> Result<(), String> {
    let text = |name: &str| claims.get(name).and_then(Value::as_str);
    let seconds = |name: &str| match claims.get(name) {
        None => Ok(None),
        Some(value) => {
            value.as_f64().filter(|at| at.is_finite()).map(Some).ok_or(format!("its `{name}` is no time"))
        }
    };
    if text("iss") != Some(wanted.issuer) {
        return Err(format!("issued by {:?} instead of {:?}", brief(text("iss")), wanted.issuer));
    }
    let audience: Vec<&str> = match claims.get("aud") {
        Some(Value::String(one)) => vec![one],
        Some(Value::Array(members)) => members.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    if !audience.contains(&wanted.client) {
        return Err("meant for another: `aud` does not name this client".to_owned());
    }
    match claims.get("azp") {
        None if audience.len() > 1 => {
            return Err("meant for several, and no `azp` says for whom first".to_owned());
        }
        Some(party) if party.as_str() != Some(wanted.client) => {
            return Err("meant for another: `azp` does not name this client".to_owned());
        }
        _ => {}
    }
    let now = wanted.now.as_second() as f64;
    match seconds("exp")? {
        None => return Err("it has no `exp`".to_owned()),
        Some(end) if now >= end + SKEW => return Err("it has expired; are both clocks right?".to_owned()),
        Some(_) => {}
    }
    match seconds("iat")? {
        None => return Err("it has no `iat`".to_owned()),
        Some(made) if made > now + SKEW => {
            return Err("it was made in the future; are both clocks right?".to_owned());
        }
        Some(made) if made < now - OLDEST => {
            return Err("it was made long ago; are both clocks right?".to_owned());
        }
        Some(_) => {}
    }
    if seconds("nbf")?.is_some_and(|begin| begin > now + SKEW) {
        return Err("it does not count yet; are both clocks right?".to_owned());
    }
    // Digests are compared, so that timing tells nothing.
    let nonce = text("nonce").unwrap_or("");
    if Digest::of(nonce.as_bytes()) != Digest::of(wanted.nonce.as_bytes()) {
        return Err("made for another attempt: `nonce` differs".to_owned());
    }
    if text("sub").is_none_or(|subject| subject.is_empty() || subject.chars().count() > SUBJECT) {
        return Err("it does not say of whom: no `sub`".to_owned());
    }
    Ok(())
}

/// As much as fits in a line.
fn brief(text: Option<&str>) -> String {
    text.unwrap_or("").chars().take(200).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW: &str = "2026-11-20T12:00:00Z";

    fn claims(now: i64) -> Value {
        json!({ "iss": "https://idp.example", "aud": "interdict", "sub": "7", "nonce": "n", "iat": now, "exp": now + 300 })
    }

    fn said(change: impl Fn(&mut Map<String, Value>, i64)) -> Result<(), String> {
        let now: Timestamp = NOW.parse().unwrap();
        let mut claims = claims(now.as_second());
        change(claims.as_object_mut().unwrap(), now.as_second());
        let wanted = Wanted { issuer: "https://idp.example", client: "interdict", nonce: "n", now };
        check(claims.as_object().unwrap(), wanted)
    }

    #[test]
    fn each_claim_counts() {
        type Change = (&'static str, &'static str, fn(i64) -> Value);
        assert_eq!(said(|_, _| ()), Ok(()));
        let refused: &[Change] = &[
            ("iss", "issued by", |_| json!("https://idp.example/")),
            ("iss", "issued by", |_| json!(["https://idp.example"])),
            ("aud", "meant for", |_| json!("another")),
            ("aud", "meant for", |_| json!([])),
            ("aud", "no `azp`", |_| json!(["interdict", "another"])),
            ("azp", "azp", |_| json!("another")),
            ("exp", "expired", |now| json!(now - 60)),
            ("exp", "no time", |now| json!(now.to_string())),
            ("exp", "no `exp`", |_| Value::Null),
            ("iat", "future", |now| json!(now + 61)),
            ("iat", "long ago", |now| json!(now - 661)),
            ("iat", "no `iat`", |_| Value::Null),
            ("nbf", "not count yet", |now| json!(now + 61)),
            ("nonce", "nonce", |_| json!("m")),
            ("nonce", "nonce", |_| Value::Null),
            ("sub", "sub", |_| json!("")),
            ("sub", "sub", |_| json!(7)),
            ("sub", "sub", |_| json!("x".repeat(256))),
        ];
        for (name, why, value) in refused {
            let answer = said(|claims, now| match value(now) {
                Value::Null => drop(claims.remove(*name)),
                value => drop(claims.insert((*name).to_owned(), value)),
            });
            assert!(answer.as_ref().is_err_and(|said| said.contains(why)), "{name}: {answer:?}");
        }
        type Taken = (&'static str, fn(i64) -> Value);
        let taken: &[Taken] = &[
            ("exp", |now| json!(now - 59)),
            ("iat", |now| json!(now as f64 + 59.5)),
            ("nbf", |now| json!(now + 59)),
            ("aud", |_| json!(["interdict"])),
            ("azp", |_| json!("interdict")),
        ];
        for (name, value) in taken {
            let answer = said(|claims, now| drop(claims.insert((*name).to_owned(), value(now))));
            assert_eq!(answer, Ok(()), "{name}");
        }
    }

    #[test]
    fn keys_of_other_kinds_are_passed_over() {
        let point = "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU";
        let set = json!({ "keys": [
            { "kty": "oct", "kid": "a", "k": "c2VjcmV0" },
            { "kty": "EC", "kid": "b", "crv": "P-256", "x": point, "y": point },
            { "kty": "EC", "kid": "b", "crv": "P-384", "x": point, "y": point },
            { "kty": "EC", "kid": "c", "crv": "P-256", "x": point, "y": point, "use": "enc" },
            { "kty": "RSA", "kid": "d", "n": "AQAB", "e": "AQAB", "alg": "RS512" },
            { "kty": "FUTURE", "kid": "e" },
            "none",
        ] });
        let keys = Keys::read(&set).unwrap();
        assert_eq!(keys.0.len(), 1);
        assert_eq!(keys.fit(Algorithm::ES256, Some("b")).unwrap().len(), 1);
        assert_eq!(keys.fit(Algorithm::ES256, None).unwrap().len(), 1);
        assert!(keys.fit(Algorithm::ES256, Some("c")).is_err());
        assert!(keys.fit(Algorithm::RS256, Some("b")).is_err());
        assert!(Keys::read(&json!({ "keys": 7 })).is_none());
    }
}
