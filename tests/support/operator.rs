//! What an operator asks of a running site over its interface, and the wait for what comes of it.

use std::time::Duration;

use serde_json::Value;

use super::Site;

impl Site {
    /// What the interface shows at `path`.
    pub fn get(&self, path: &str) -> Value {
        let (status, body) = self.http("GET", path, None);
        assert_eq!(status, 200, "{path}: {body}");
        serde_json::from_str(&body).unwrap()
    }

    /// What it says to a change, whether or not it is made.
    pub fn post(&self, path: &str) -> Value {
        let (_, body) = self.http("POST", path, Some(&self.token()));
        serde_json::from_str(&body).unwrap_or_else(|error| panic!("{path}: {error}: {body}"))
    }

    pub fn reload(&self, query: &str) -> Value {
        self.post(&format!("/api/v1/reload{query}"))
    }

    pub fn status(&self) -> Value {
        self.get("/api/v1/status")
    }

    /// The one source of that name in the status.
    pub fn source(&self, name: &str) -> Value {
        let status = self.status();
        let found = status["sources"].as_array().unwrap().iter().find(|source| source["name"] == name);
        found.unwrap_or_else(|| panic!("{status}")).clone()
    }

    /// Why its fetches fail; empty when they do not.
    pub fn failing(&self, name: &str) -> String {
        self.source(name)["condition"]["failing"]["reason"].as_str().unwrap_or("").to_owned()
    }

    /// A sample of the scrape page.
    pub fn metric(&self, sample: &str) -> f64 {
        let page = self.http("GET", "/metrics", None).1;
        let line = page.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {sample} in {page}")).parse().unwrap()
    }

    /// Waits until `name` gets `rcode`, at most five seconds.
    pub fn until(&self, name: &str, rcode: &str) {
        for _ in 0..100 {
            if self.rcode(name) == rcode {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("{name} never got {rcode}: {}", self.http("GET", "/api/v1/status", None).1);
    }
}

/// Waits until it holds, looking twenty times a second.
pub fn until(seconds: usize, what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..20 * seconds {
        if holds() {
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("never: {what}");
}
