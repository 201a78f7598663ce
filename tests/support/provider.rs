//! An OpenID Connect provider of the tests' own that says whatever a test wants it to: discovery, keys and tokens, signed by real keys or not at all.
#![allow(unreachable_pub, reason = "one suite uses it")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

/// What it says.
#[derive(Clone, Debug, Default)]
pub struct Script {
    pub discovery: Value,
    pub keys: String,
    pub token: (u16, String),
    pub delay: Duration,
    /// What it was asked: the first line and the body of each request, and whether it brought a secret in a field of its head.
    pub asked: Vec<(String, String, bool)>,
}

pub struct Provider {
    pub issuer: String,
    pub script: Arc<Mutex<Script>>,
}

/// A key that signs.
pub enum Key {
    Ec(EcdsaKeyPair),
    Rsa(RsaKeyPair),
}

impl Provider {
    pub fn start(keys: &[(&str, &Key)]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let issuer = format!("http://{}", listener.local_addr().unwrap());
        let discovery = json!({
            "issuer": issuer,
            "authorization_endpoint": format!("{issuer}/authorise?tenant=7"),
            "token_endpoint": format!("{issuer}/token"),
            "jwks_uri": format!("{issuer}/keys"),
            "authorization_response_iss_parameter_supported": true,
        });
        let script = Script { discovery, keys: set(keys), ..Script::default() };
        let script = Arc::new(Mutex::new(script));
        let shared = Arc::clone(&script);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let script = Arc::clone(&shared);
                std::thread::spawn(move || answer(stream, &script));
            }
        });
        Self { issuer, script }
    }

    pub fn say(&self, change: impl FnOnce(&mut Script)) {
        change(&mut self.script.lock().unwrap());
    }

    /// How often it was asked for that path.
    pub fn asked(&self, path: &str) -> usize {
        self.script.lock().unwrap().asked.iter().filter(|(line, ..)| line.contains(path)).count()
    }
}

fn answer(stream: TcpStream, script: &Mutex<Script>) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let (mut first, mut length, mut has_secret) = (String::new(), 0, false);
    reader.read_line(&mut first).ok()?;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let line = line.trim_end().to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        has_secret |= line.starts_with("authorization: basic ");
        length = line.strip_prefix("content-length: ").map_or(length, |text| text.parse().unwrap());
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let (delay, (code, said)) = {
        let mut script = script.lock().unwrap();
        script.asked.push((first.clone(), String::from_utf8(body).ok()?, has_secret));
        let said = if first.contains("/.well-known/") {
            (200, script.discovery.to_string())
        } else if first.contains("/keys") {
            (200, script.keys.clone())
        } else {
            script.token.clone()
        };
        (script.delay, said)
    };
    std::thread::sleep(delay);
    let mut stream = stream;
    write!(stream, "HTTP/1.1 {code} x\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{said}", said.len()).ok()
}

impl Key {
    pub fn ec() -> Self {
        Self::Ec(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap())
    }

    pub fn rsa() -> Self {
        Self::Rsa(RsaKeyPair::generate(KeySize::Rsa2048).unwrap())
    }

    fn algorithm(&self) -> &'static str {
        match self {
            Self::Ec(_) => "ES256",
            Self::Rsa(_) => "RS256",
        }
    }

    /// The public part, as bytes that somebody could take for a shared secret.
    pub fn public(&self) -> Vec<u8> {
        match self {
            Self::Ec(pair) => pair.public_key().as_ref().to_vec(),
            Self::Rsa(pair) => pair.public_key().as_ref().to_vec(),
        }
    }

    fn jwk(&self, id: &str) -> Value {
        match self {
            Self::Ec(pair) => {
                let point = pair.public_key().as_ref();
                let (x, y) = (coded(&point[1..33]), coded(&point[33..]));
                json!({ "kty": "EC", "crv": "P-256", "kid": id, "use": "sig", "alg": "ES256", "x": x, "y": y })
            }
            Self::Rsa(pair) => {
                let public = pair.public_key();
                let (n, e) = (public.modulus(), public.exponent());
                let n = coded(n.big_endian_without_leading_zero());
                let e = coded(e.big_endian_without_leading_zero());
                json!({ "kty": "RSA", "kid": id, "use": "sig", "n": n, "e": e })
            }
        }
    }

    /// A token with these claims under the name of a key.
    pub fn sign(&self, id: &str, claims: &Value) -> String {
        let header = json!({ "alg": self.algorithm(), "typ": "JWT", "kid": id });
        let message =
            format!("{}.{}", coded(header.to_string().as_bytes()), coded(claims.to_string().as_bytes()));
        let random = SystemRandom::new();
        let signature = match self {
            Self::Ec(pair) => pair.sign(&random, message.as_bytes()).unwrap().as_ref().to_vec(),
            Self::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, message.as_bytes(), &mut signature).unwrap();
                signature
            }
        };
        format!("{message}.{}", coded(&signature))
    }
}

/// A JWK Set.
pub fn set(keys: &[(&str, &Key)]) -> String {
    json!({ "keys": keys.iter().map(|(id, key)| key.jwk(id)).collect::<Vec<_>>() }).to_string()
}

/// A token without a signature.
pub fn unsigned(claims: &Value) -> String {
    let header = json!({ "alg": "none" });
    format!("{}.{}.", coded(header.to_string().as_bytes()), coded(claims.to_string().as_bytes()))
}

/// A token signed by a secret that everybody has.
pub fn by_secret(id: &str, secret: &[u8], claims: &Value) -> String {
    let header = json!({ "alg": "HS256", "kid": id });
    let message =
        format!("{}.{}", coded(header.to_string().as_bytes()), coded(claims.to_string().as_bytes()));
    let signature = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), message.as_bytes());
    format!("{message}.{}", coded(signature.as_ref()))
}

fn coded(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}
