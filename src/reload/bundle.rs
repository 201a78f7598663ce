//! Owns what the control plane has to do with bundles: the present inputs made into one, and the lists that one holds. Never
//! writes a file.

use std::sync::Arc;

use jiff::Timestamp;

use super::guard;
use super::inputs::{self, SourceReport, Understood};
use super::lists::Lists;
use super::pipeline::Pipeline;
use crate::policy::{Bundle, Catalog, Compiled, Image, Labels, Provenance, Rulebook, Snapshot, compile};
use crate::problem::{Place, Problem};
use crate::sources::{self, Raw};

/// A bundle that was made.
#[derive(Debug)]
pub struct Bundled {
    /// Its bytes.
    pub bytes: Image,
    /// What a host with the same configuration would put in force from it, here and now.
    pub snapshot: Snapshot,
    /// What a person should look at.
    pub warnings: Vec<Problem>,
}

impl Pipeline {
    /// Makes the present inputs into a bundle, after everything a reload would check. What is written is read back and compiled:
    /// no bundle leaves that a host would refuse.
    pub fn bundle(&self, stamp: Option<Timestamp>) -> Result<Bundled, Vec<Problem>> {
        let parts = &self.parts;
        let (inputs, mut warnings) = self.gather(None, true).map_err(|(_, problems)| problems)?;
        if let Some(bundle) = &inputs.bundle {
            let hint = "compile the configuration that names the lists";
            let what = "the rules come from a bundle already";
            return Err(vec![Problem::error(Place::file(&bundle.name), what, hint)]);
        }
        let understood = inputs::understand(&inputs, &parts.interpret, &[]);
        let Understood { mut draft, guard, reports, warnings: more, .. } =
            understood.map_err(|(_, problems)| problems)?;
        warnings.extend(more);
        let provenance = Provenance {
            catalog: match &inputs.catalog {
                None => Catalog::built_in()
                    .iter()
                    .map(|(path, text)| ((*path).to_owned(), (*text).to_owned()))
                    .collect(),
                Some(files) => {
                    let text = |raw: &Raw| Some((raw.name.clone(), raw.text().ok()?.into_owned()));
                    files.iter().filter_map(text).collect()
                }
            },
            reports: serde_json::to_value(&reports).unwrap_or_default(),
            stamp,
        };
        let image = Image::from(Bundle::write(&draft.book, provenance));
        let back = Bundle::read(&image, "bundle").map_err(|problem| vec![problem])?;
        draft.book = Arc::new(back.book);
        let compiled = compile(draft, parts.clock.wall(), 0, &Labels::default())?;
        let Compiled { snapshot, warnings: more } = compiled;
        warnings.extend(more);
        let refused = guard::check(&guard, None, &snapshot, false);
        if !refused.is_empty() {
            return Err(refused);
        }
        warnings.sort();
        Ok(Bundled { bytes: image, snapshot, warnings })
    }
}

impl Lists {
    /// The lists that a bundle holds.
    pub(super) fn bundled(bundle: &sources::Bundle, made_of: [u8; 32]) -> Self {
        match Bundle::read(&bundle.image, &bundle.name) {
            Ok(read) => {
                let reports: Vec<SourceReport> = serde_json::from_value(read.reports).unwrap_or_default();
                Self::unread(made_of, read.book, reports, Vec::new())
            }
            Err(problem) => Self::unread(made_of, Rulebook::default(), Vec::new(), vec![problem]),
        }
    }
}
