//! Owns the verb `serve`: logging, the runtime, the signals that end the process, and word to the service manager.

use std::path::PathBuf;

use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

use super::{Exit, complain};
use crate::app;
use crate::clock::Clock;

/// Options of `serve`.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Write logs as JSON lines
    #[arg(long)]
    log_json: bool,
    /// What to log: error, warn, info, debug, trace
    #[arg(long, value_name = "LEVEL", default_value = "info")]
    log_level: String,
}

pub(super) fn run(config: Option<PathBuf>, options: &Arguments) -> Exit {
    // A library says in warnings what any stranger's answer can make it say; metrics and extended errors tell of that.
    let filter = EnvFilter::try_new(format!("{},{}", crate::resolve::QUIET, options.log_level))
        .unwrap_or_else(|_| EnvFilter::new("info"));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    if options.log_json {
        log.json().init()
    } else {
        log.init()
    }

    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().thread_name("slow").build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("interdict: the runtime cannot start: {error}");
            return Exit::Failed;
        }
    };
    runtime.block_on(async {
        let running = match app::start(config, Clock::system()) {
            Ok(running) => running,
            Err(problems) => {
                complain(&problems);
                return Exit::Failed;
            }
        };
        complain(&running.problems);
        // Fails only when no service manager listens.
        let _unmanaged = sd_notify::notify(&[sd_notify::NotifyState::Ready]).is_err();
        let signals = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()));
        if let (Ok(mut terminate), Ok(mut interrupt)) = signals {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        }
        tracing::info!("stopping");
        let _unmanaged = sd_notify::notify(&[sd_notify::NotifyState::Stopping]).is_err();
        running.stop().await;
        Exit::Done
    })
}
