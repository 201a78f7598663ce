//! Owns the verb `check`: the reload pipeline without publishing, and every problem it finds.

use std::path::PathBuf;

use super::{Exit, complain, print_json};
use crate::clock::Clock;
use crate::listen::check_certificates;
use crate::policy::Labels;
use crate::problem::Problem;
use crate::{admin, app, proxy};

pub(super) fn run(config: Option<PathBuf>, json: bool) -> Exit {
    let pipeline = app::pipeline(config.clone(), None, None, Clock::system(), Labels::default());
    let mut checked = pipeline.check();
    // What is wrong with the file itself the pipeline has found.
    if let Ok(boot) = app::boot(config.as_deref()) {
        checked.problems.extend(boot.upstream.problems());
        let authorities = boot.proxies.iter().filter_map(|proxy| proxy.clients.clone()).collect();
        let certificates = check_certificates(boot.tls, &boot.listeners, authorities, Clock::system().wall());
        checked.problems.extend(certificates);
        checked.problems.extend(proxy::problems(&boot.proxies));
        checked.problems.extend(boot.querylog.problems());
        checked.problems.extend(admin::problems(&boot.admin, Clock::system()));
    }
    let errors = checked.problems.iter().filter(|problem| problem.is_error()).count();
    if json {
        let summary = checked.snapshot.as_ref().map(|snapshot| {
            serde_json::json!({
                "rules": snapshot.rule_count(),
                "names": snapshot.name_count(),
                "memory_bytes": snapshot.memory(),
                "digest": snapshot.digest(),
                "next_transition": snapshot.next_transition(),
            })
        });
        print_json(&serde_json::json!({
            "ok": errors == 0,
            "problems": checked.problems,
            "sources": checked.sources,
            "policy": summary,
        }));
    } else {
        complain(&checked.problems);
        for source in &checked.sources {
            say!(
                "source {}: {} rules from {} lines of {}, {} refused",
                source.name,
                source.rules,
                source.lines,
                source.file,
                source.refused
            );
            for (reason, count) in &source.skipped {
                say!("  {count} skipped: {reason}");
            }
        }
        if let Some(snapshot) = checked.snapshot.as_ref().filter(|_| errors == 0) {
            say!(
                "policy: {} rules, {} names, {} KiB, digest {}",
                snapshot.rule_count(),
                snapshot.name_count(),
                snapshot.memory() / 1024,
                snapshot.digest()
            );
            for (group, duties) in snapshot.duties() {
                say!("group {group} enforces:");
                for (id, mode) in duties {
                    say!("  {id} ({mode})");
                }
            }
            if let Some(next) = snapshot.next_transition() {
                say!("next change by date: {next}");
            }
        }
        let warnings = checked.problems.iter().filter(|problem| !problem.is_error()).count();
        let what = config.map_or("built-in defaults".to_owned(), |path| path.display().to_string());
        say!("{what}: {errors} errors, {warnings} warnings");
    }
    if checked.problems.iter().any(Problem::is_error) { Exit::Negative } else { Exit::Done }
}
