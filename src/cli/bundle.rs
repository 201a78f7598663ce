//! Owns the verb `bundle`: what a bundle says of itself, and whether all of it is true. Needs no configuration and no running
//! resolver.

use std::path::{Path, PathBuf};

use super::{Exit, complain, print_json};
use crate::policy::Bundle;
use crate::problem::Problem;
use crate::reload::SourceReport;
use crate::sources::{self, BundleConfig, Key, read_bundle};

/// Options of `bundle`.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Print what a bundle was made of, and when
    Show {
        /// The bundle
        file: PathBuf,
    },
    /// Check every byte, rule and name, and the signature when a key is given
    Check {
        /// The bundle
        file: PathBuf,
        /// A minisign public key; the signature is beside the file
        #[arg(long, value_name = "KEY")]
        key: Option<String>,
    },
}

pub(super) fn run(options: &Arguments, json: bool) -> Exit {
    let (file, key, thorough) = match &options.what {
        What::Show { file } => (file, None, false),
        What::Check { file, key } => (file, key.as_deref(), true),
    };
    let key = match key.map(str::parse::<Key>).transpose() {
        Ok(key) => key,
        Err(error) => {
            eprintln!("interdict: --key: {error}");
            return Exit::Failed;
        }
    };
    match read(file, key, thorough) {
        Ok((raw, bundle)) => {
            print(&raw, &bundle, thorough, json);
            Exit::Done
        }
        Err(problem) => {
            complain(&[problem]);
            Exit::Negative
        }
    }
}

fn read(file: &Path, key: Option<Key>, thorough: bool) -> Result<(sources::Bundle, Bundle), Problem> {
    let config = BundleConfig { path: file.to_owned(), key, copies: None };
    let (raw, _) = read_bundle(&config, None, None)?;
    let bundle = Bundle::read(&raw.image, &raw.name)?;
    if thorough {
        bundle.verify(&raw.name)?;
    }
    Ok((raw, bundle))
}

fn print(raw: &sources::Bundle, bundle: &Bundle, checked: bool, json: bool) {
    let book = &bundle.book;
    let lists: Vec<SourceReport> = serde_json::from_value(bundle.reports.clone()).unwrap_or_default();
    let signed = raw.signed();
    if json {
        print_json(&serde_json::json!({
            "file": raw.name,
            "sha256": raw.digest.to_string(),
            "form": Bundle::FORM,
            "made_by": bundle.made_by,
            "stamp": bundle.stamp,
            "bytes": raw.image.len(),
            "rules": book.rule_count(),
            "names": book.name_count(),
            "rules_digest": book.digest(),
            "apps": book.catalog().apps.len(),
            "instruments": book.catalog().instruments.len(),
            "lists": lists,
            "signed": signed,
            "checked": checked,
        }));
        return;
    }
    say!("bundle       {}, form {}, {} bytes", raw.name, Bundle::FORM, raw.image.len());
    say!("sha256       {}", raw.digest);
    let stamp = bundle.stamp.map_or("not noted".to_owned(), |stamp| stamp.to_string());
    say!("made         {stamp}, by interdict {}", bundle.made_by);
    say!("rules        {} ({} names), digest {}", book.rule_count(), book.name_count(), book.digest());
    say!("catalog      {} apps, {} instruments", book.catalog().apps.len(), book.catalog().instruments.len());
    for list in lists {
        say!("list         {}: {} rules from {}, sha256 {}", list.name, list.rules, list.file, list.digest);
    }
    if let Some(signed) = signed {
        say!("signed       by {}: {}", signed.key, signed.comment);
    }
    if checked {
        say!("checked      every byte, rule and name");
    }
}
