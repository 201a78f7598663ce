//! Owns the verb `compile`: the present inputs, checked as a reload would, as one file that many hosts load. Needs no
//! running resolver.

use std::path::PathBuf;

use jiff::Timestamp;

use super::{Exit, complain, print_json, write_public};
use crate::app;
use crate::clock::Clock;
use crate::policy::Labels;
use crate::sources::Digest;

/// Options of `compile`.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Where to write the bundle; replaced as a whole, or not at all
    #[arg(long, short, value_name = "FILE")]
    output: PathBuf,
    /// Note this time in the bundle; without it the same inputs make the same bytes everywhere and always
    #[arg(long, value_name = "TIME")]
    stamp: Option<Timestamp>,
}

pub(super) fn run(config: Option<PathBuf>, options: &Arguments, json: bool) -> Exit {
    let clock = Clock::system();
    let began = clock.now();
    let pipeline = app::pipeline(config, None, None, clock.clone(), Labels::default());
    let made = match pipeline.bundle(options.stamp) {
        Ok(made) => made,
        Err(problems) => {
            complain(&problems);
            return Exit::Negative;
        }
    };
    complain(&made.warnings);
    if let Err(problem) = write_public(&options.output, &made.bytes) {
        complain(&[problem]);
        return Exit::Failed;
    }
    let (rules, names, bytes) = (made.snapshot.rule_count(), made.snapshot.name_count(), made.bytes.len());
    let each = bytes as f64 / names.max(1) as f64;
    let seconds = clock.now().since(began).as_secs_f64();
    let sha256 = Digest::of(&made.bytes).to_string();
    if json {
        print_json(&serde_json::json!({
            "file": options.output,
            "sha256": sha256,
            "digest": made.snapshot.digest(),
            "rules": rules,
            "names": names,
            "bytes": bytes,
            "bytes_a_name": each,
            "seconds": seconds,
        }));
    } else {
        say!("{}: {names} names, {rules} rules, {bytes} bytes, {each:.1} a name", options.output.display());
        say!("sha256  {sha256}");
        say!("digest  {} here and now", made.snapshot.digest());
        say!("took    {seconds:.2} s");
    }
    Exit::Done
}
