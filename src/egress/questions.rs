//! Owns a round of questions for the banned names: all of them once, a few at a time, through whatever resolves. Never shows an answer to a
//! client, and never keeps one.

use std::sync::Arc;

use tokio::sync::{Semaphore, mpsc, oneshot};

use super::learned::{Found, addresses};
use crate::dns::{CanonicalName, Name, RecordType};

/// Resolves a name and hands on the answer's bytes, or nothing. Returns at once.
pub type Resolve = Arc<dyn Fn(&CanonicalName, RecordType, Then) + Send + Sync>;
/// Told what a question brought.
pub type Then = Box<dyn FnOnce(Option<&[u8]>) + Send>;

/// Questions under way at a time: upstreams hardly notice.
const AT_ONCE: usize = 16;

/// What a name leads to.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) title: String,
    pub(super) name: Name,
    pub(super) found: Vec<Found>,
}

/// Asks for both kinds of address of every name, and sends what comes; ends when all are answered or nobody listens.
pub(super) async fn ask_all(resolve: Resolve, names: Vec<(String, Name)>, answers: mpsc::Sender<Answer>) {
    let places = Arc::new(Semaphore::new(AT_ONCE));
    for (title, name) in names {
        for record_type in [RecordType::A, RecordType::AAAA] {
            let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
            let (tell, told) = oneshot::channel();
            let then = move |message: Option<&[u8]>| {
                let _nobody = tell.send(message.map(addresses).unwrap_or_default()).is_err();
            };
            resolve(&CanonicalName::from(&name), record_type, Box::new(then));
            let (title, name, answers) = (title.clone(), name.clone(), answers.clone());
            tokio::spawn(async move {
                let found: Vec<Found> = told.await.unwrap_or_default();
                drop(place);
                if !found.is_empty() {
                    let _nobody = answers.send(Answer { title, name, found }).await.is_err();
                }
            });
        }
    }
    // Until the last one is answered.
    let _all = places.acquire_many(AT_ONCE as u32).await.is_ok();
}
