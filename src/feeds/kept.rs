//! Owns the lists rendered lately, so that many that ask for one cost one rendering. Never keeps a policy alive, nor a list of one that is gone.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use sha2::{Digest as _, Sha256};

use super::format::{Feed, Format};
use super::selection::Selection;
use crate::policy::{Snapshot, hexadecimal};
use crate::problem::Problem;

/// A list as it is served.
#[derive(Debug, PartialEq, Eq)]
pub struct Rendered {
    /// The list.
    pub feed: Feed,
    /// SHA-256 of its text in hexadecimal: equal tags are equal bytes, whatever made them.
    pub tag: String,
}

/// The lists of the policy in force that were asked for lately.
#[derive(Debug, Default)]
pub struct Kept(Mutex<VecDeque<One>>);

#[derive(Debug)]
struct One {
    snapshot: Weak<Snapshot>,
    format: Format,
    selection: Selection,
    rendered: Arc<Rendered>,
}

/// Most bytes of all kept lists: two lists of a million names. A larger list is made anew each time.
const MOST: usize = 64 << 20;

impl Kept {
    /// The list, made now unless it is kept. Takes its time: not for a thread that must not wait. The complaint names what there is not.
    pub fn render(
        &self,
        snapshot: &Arc<Snapshot>,
        format: Format,
        selection: &Selection,
    ) -> Result<Arc<Rendered>, Problem> {
        if let Some(rendered) = self.find(snapshot, format, selection) {
            return Ok(rendered);
        }
        let feed = format.render(snapshot, selection)?;
        let tag = hexadecimal(&Sha256::digest(&feed.text));
        let rendered = Arc::new(Rendered { feed, tag });
        let one = One {
            snapshot: Arc::downgrade(snapshot),
            format,
            selection: selection.clone(),
            rendered: Arc::clone(&rendered),
        };
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.push_back(one);
        let mut bytes: usize = kept.iter().map(|one| one.rendered.feed.text.len()).sum();
        while bytes > MOST {
            bytes -= kept.pop_front().map_or(bytes, |one| one.rendered.feed.text.len());
        }
        Ok(rendered)
    }

    /// The kept list of that very policy; others' go.
    fn find(&self, snapshot: &Arc<Snapshot>, format: Format, selection: &Selection) -> Option<Arc<Rendered>> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|one| std::ptr::eq(one.snapshot.as_ptr(), Arc::as_ptr(snapshot)));
        let found = kept.iter().find(|one| one.format == format && one.selection == *selection)?;
        Some(Arc::clone(&found.rendered))
    }
}

/// Bytes that many answers share.
#[derive(Clone, Debug)]
pub struct Served(pub Arc<Rendered>);

impl AsRef<[u8]> for Served {
    fn as_ref(&self) -> &[u8] {
        self.0.feed.text.as_bytes()
    }
}
