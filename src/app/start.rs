//! Owns the start: every room built, every channel wired, every thread begun, in an order in which nothing is asked before it is there; and
//! the stop. Never decides anything about a query.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;

use tokio::runtime::Handle;
use tokio::sync::{Semaphore, mpsc, watch};

use super::announce::announce;
use super::ask::resolve as resolve_as;
use super::before::{answered_before, asked_before, counted_before, trusted_before};
use super::egress::{Prepared, Surroundings};
use super::newest::newest;
use super::numbers::{Blocked, Build};
use super::words::Words;
use crate::clock::Clock;
use crate::config::{self, Boot};
use crate::dns::Cookies;
use crate::policy::{Identities, Labels, Live, Snapshot};
use crate::problem::{Place, Problem};
use crate::query::{Engine, Notice, Parts};
use crate::reload::{Interpret, Pipeline, Request};
use crate::resolve::{Resolver, system_servers};
use crate::sources::{CONFIG_FILE, read_file};
use crate::telemetry::{Collect, Counters, Inboxes, LastDay, Wiring};
use crate::{admin, cache, listen, net, proxy, reload, report, resolve, telemetry, zone};

/// A running interdict.
#[derive(Debug)]
pub struct Running {
    /// Where questions are taken, with the ports the system chose.
    pub addresses: Vec<SocketAddr>,
    /// Where operators are served.
    pub admin: SocketAddr,
    /// Where the policy is served as a zone.
    pub zone: Vec<SocketAddr>,
    /// Where the proxies take connections.
    pub proxies: Vec<SocketAddr>,
    /// Warnings of the start, and errors when the last good inputs are in force.
    pub problems: Vec<Problem>,
    live: Live,
    stop_threads: Arc<AtomicBool>,
    stop_tasks: watch::Sender<bool>,
    threads: Vec<JoinHandle<()>>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
    querylog: telemetry::QueryLog,
    last_day: Arc<LastDay>,
    ledger: Option<Arc<report::Ledger>>,
    answers: Option<cache::Keeper>,
    // Dropped last among the requests' senders: the trigger loop ends with it.
    requests: mpsc::Sender<Request>,
}

/// Reads the boot settings of a configuration file, or the defaults without one.
pub fn boot(config_file: Option<&Path>) -> Result<Boot, Vec<Problem>> {
    let Some(path) = config_file else { return Ok(Boot::default()) };
    let raw = read_file(path, CONFIG_FILE).map_err(|error| vec![error.problem(path)])?;
    let text = raw.text().map_err(|problem| vec![problem])?;
    let (settings, problems) = config::read(&raw.name, &text);
    if problems.iter().any(Problem::is_error) { Err(problems) } else { Ok(settings.boot) }
}

/// Where generations are kept unless the configuration says otherwise: where a service keeps its state, or where a person
/// does.
pub fn state_directory(boot: &Boot) -> Option<PathBuf> {
    if let Some(state) = &boot.state {
        return Some(state.clone());
    }
    if nix::unistd::Uid::effective().is_root() {
        return Some(PathBuf::from("/var/lib/interdict"));
    }
    let home = |key: &str| std::env::var_os(key).map(PathBuf::from);
    home("XDG_STATE_HOME")
        .or_else(|| Some(home("HOME")?.join(".local/state")))
        .map(|base| base.join("interdict"))
}

/// The pipeline over a configuration. While `boot` is given, a configuration that changes those settings is refused.
pub fn pipeline(
    config_file: Option<PathBuf>,
    boot: Option<Boot>,
    state: Option<&Path>,
    clock: Clock,
    labels: Labels,
) -> Pipeline {
    let interpret_kept: Interpret = Arc::new(|file, text| {
        let (settings, problems) = config::read(file, text);
        if problems.iter().any(Problem::is_error) { Err(problems) } else { Ok((settings.plan, problems)) }
    });
    let interpret: Interpret = Arc::new(move |file, text| {
        let (settings, mut problems) = config::read(file, text);
        for name in boot.iter().flat_map(|boot| boot.changed(&settings.boot)) {
            problems.push(Problem::error(
                Place::file(file),
                format!("{name} cannot change while the process runs"),
                "restart interdict to change it, or put it back",
            ));
        }
        if problems.iter().any(Problem::is_error) { Err(problems) } else { Ok((settings.plan, problems)) }
    });
    let state = state.map(Path::to_owned);
    Pipeline::new(reload::Parts { config_file, interpret, interpret_kept, state, clock, labels })
}

/// Starts everything. Must be called on the runtime that will do the slow work. Fails with every problem, and leaves
/// nothing running.
pub fn start(config_file: Option<PathBuf>, clock: Clock) -> Result<Running, Vec<Problem>> {
    let boot = boot(config_file.as_deref())?;
    let state = state_directory(&boot);
    let labels = Labels::default();
    let last_day = LastDay::new(boot.last_day, clock.clone());
    let pipeline = pipeline(config_file, Some(boot.clone()), state.as_deref(), clock.clone(), labels.clone());
    let egress = Prepared::new(&boot, &clock)?;
    let resolving: Arc<OnceLock<Arc<Resolver>>> = Arc::default();
    let beside = beside([egress.beside(), trouble_of(&resolving)]);
    let pipeline = Arc::new(pipeline.recalling(Arc::clone(&last_day)).minding(beside));
    let certificate = listen::read_certificate(boot.tls.clone())?;
    let door = admin::Door::open(&boot.admin, clock.clone())
        .map_err(|error| vec![Problem::error(Place::file("[admin]"), error.to_string(), error.hint())])?;
    let mut sockets = bind(&boot)?;
    // What comes from a server is read by the service's own user, who also keeps it: a later generation must be written
    // where the first one was.
    if let Some(user) = &boot.user {
        net::drop_to(user)
            .map_err(|error| vec![Problem::error(Place::file("[server] user"), error.to_string(), "")])?;
    }
    let unreadable = certificate.as_deref().and_then(listen::not_renewable);
    let started = pipeline.start()?;
    let live = started.live;

    let counters = Arc::new(Counters::new(Labels::CAPACITY));
    let upstreams = upstreams(&boot)?;
    let anchors = state.as_deref().map(trusted_before);
    let resolver = Resolver::start_with(upstreams.clone(), anchors, clock.clone(), Handle::current());
    let resolver = Arc::new(resolver.map_err(|error| {
        vec![Problem::error(Place::file("[upstream]"), format!("cannot be asked: {error}"), "")]
    })?);
    let _first = resolving.set(Arc::clone(&resolver));
    let store = Arc::new(cache::Store::new(boot.cache));
    let answers =
        answered_before(&store, &clock, &boot.upstream, state.as_deref().filter(|_| boot.cache.kept));
    let inboxes = Arc::new(Inboxes::default());
    let identities = Identities::default();
    let named = resolver.upstreams().into_iter().map(|shown| shown.upstream).collect();
    let words = Words::new(live.clone(), identities.clone(), named);
    let describe: Arc<dyn telemetry::Describe> = Arc::new(words);
    let wiring = report::Wiring {
        live: live.clone(),
        describe: Arc::clone(&describe),
        identities: identities.clone(),
        inboxes: Arc::clone(&inboxes),
        clock: clock.clone(),
    };
    let counting = counted_before(&boot.report, state.as_deref(), wiring)
        .map_err(|error| vec![Problem::error(Place::file("[report]"), error.to_string(), "")])?;
    let (ledger, tap) = counting.unzip();
    let (tail, tap) = newest(&boot, Arc::clone(&describe), tap);
    let querylog = telemetry::QueryLog::start(&boot.querylog, Arc::clone(&inboxes), describe, tap, &clock);
    let querylog = querylog.map_err(|(sink, error)| {
        vec![Problem::error(Place::file("[querylog]"), format!("sink `{sink}`: {error}"), error.hint())]
    })?;
    let identities_too = identities.clone();
    let (live_too, counters_too, labels_too) = (live.clone(), Arc::clone(&counters), labels.clone());
    let storage = state.as_deref().map(asked_before);
    last_day
        .begin(Wiring {
            live: live_too,
            counters: counters_too,
            labels: labels_too,
            identities: identities_too,
            storage,
        })
        .map_err(|error| vec![Problem::error(Place::file("[last_day]"), error.to_string(), "")])?;
    let designated = listen::designated(&boot.announcement, &sockets.listeners.listeners());
    let (notices, noticed) = mpsc::channel(NOTICES);
    let is_told = !boot.querylog.sinks.is_empty() || ledger.is_some() || tail.is_some();
    // Before the engine has the queues for itself.
    let proxied = (is_told && !boot.proxies.is_empty()).then(|| inboxes.add_shared());
    let writes_held = boot.egress.as_ref().is_some_and(|egress| egress.nflog_group.is_some());
    let held = (is_told && writes_held).then(|| inboxes.add());
    let engine = Engine::new(Parts {
        live: live.clone(),
        clock: clock.clone(),
        store: Arc::clone(&store),
        resolver: Arc::clone(&resolver),
        counters: Arc::clone(&counters),
        inboxes: is_told.then_some(inboxes),
        identities: identities.clone(),
        designated: designated.iter().map(|one| one.svcb.clone()).collect(),
        notices: Some(notices),
        last_day: Some(last_day.feed()),
        permits: egress.permits(),
        config: boot.query,
    });
    let statistics = Arc::new(listen::Statistics::default());
    let stop_threads = Arc::new(AtomicBool::new(false));
    let (stop_tasks, stopped) = watch::channel(false);
    let (requests, asked) = mpsc::channel(16);
    let around = Surroundings {
        live: &live,
        clock: &clock,
        resolver: &resolver,
        store: &store,
        upstreams: &upstreams,
        log: held,
        stop: &stopped,
    };
    let (egress, keeper) = egress.begin(&around);
    let needs = listen::Needs {
        engine: Arc::clone(&engine),
        certificate: certificate.clone(),
        limiter: listen::Limiter::new(boot.limits.clone()).map(Arc::new),
        cookies: cookies(&boot).map(Arc::new),
        statistics: Arc::clone(&statistics),
        stop_threads: Arc::clone(&stop_threads),
        stop: stopped.clone(),
    };
    let addresses = sockets.listeners.addresses.clone();
    let listen::Serving { mut threads, mut tasks, mut servers } = sockets
        .listeners
        .serve(&needs)
        .map_err(|error| vec![Problem::error(Place::file("[[listener]]"), error.to_string(), "")])?;
    threads.extend(keeper);
    let proxies = sockets.proxies.addresses();
    let proxy_problems = std::mem::take(&mut sockets.proxies.problems);
    let mut statistics_of_proxies = None;
    if !proxies.is_empty() {
        let parts = proxy::Parts {
            live: live.clone(),
            identities,
            certificate: certificate.clone(),
            clock: clock.clone(),
            nat64: boot.upstream.dns64,
            labels: labels.clone(),
            inbox: proxied,
            log_all: boot.query.log_all,
            resolve: resolve_as(&engine, stopped.clone()),
        };
        let started = proxy::start(parts, std::mem::take(&mut sockets.proxies), &stopped)
            .map_err(|error| vec![Problem::error(Place::file("[[proxy]]"), error.to_string(), "")])?;
        tasks.extend(started.tasks);
        threads.extend(started.threads);
        servers.extend(started.servers);
        statistics_of_proxies = Some(started.statistics);
    }
    let blocked: Arc<dyn Collect> = Arc::new(Blocked { labels, counters: Arc::clone(&counters) });
    let shown = vec![Arc::clone(&counters) as _, Arc::clone(&blocked), Arc::clone(&resolver) as _];
    let trend = admin::Trend::new(clock.clone(), shown);
    tasks.push(tokio::spawn(Arc::clone(&trend).watch(stopped.clone())));
    let mut collectors: Vec<Arc<dyn Collect>> = vec![
        Arc::new(Build),
        blocked,
        counters,
        store,
        Arc::clone(&resolver) as _,
        statistics,
        Arc::clone(&pipeline) as _,
        querylog.collector(),
        Arc::clone(&last_day) as _,
    ];
    collectors.extend(ledger.clone().map(|ledger| ledger as Arc<dyn Collect>));
    collectors.extend(statistics_of_proxies.map(|statistics| statistics as _));
    collectors.extend(egress.clone().map(|egress| egress as _));
    let sign_in = boot.admin.oidc.clone().map(|oidc| admin::oidc::SignIn::new(oidc, clock.clone()));
    collectors.extend(sign_in.clone().map(|sign_in| sign_in as _));
    if let Some(certificate) = &certificate {
        let renewal = listen::Renewal::new(Arc::clone(certificate), servers);
        tasks.push(tokio::spawn(Arc::clone(&renewal).watch(stopped.clone())));
        collectors.push(renewal);
    }
    let zone = boot.zone.clone().zip(sockets.zone).map(|(config, bound)| {
        let (live, clock, state) = (live.clone(), clock.clone(), state.clone());
        let (zone, serving) = zone::start(zone::Parts { config, bound, live, clock, state }, &stopped);
        tasks.extend(serving);
        collectors.push(Arc::clone(&zone) as _);
        zone
    });
    let mut tokens = admin::Tokens::of(boot.admin.tokens.clone());
    let mut problems = started.problems;
    problems.extend(proxy_problems);
    problems.extend(unreadable);
    problems
        .extend(certificate.as_deref().and_then(|certificate| listen::ends_soon(certificate, clock.wall())));
    problems.extend(tokens.problems());
    problems.extend(boot.admin.oidc.iter().flat_map(admin::oidc::Config::problems));
    problems.extend(proxy::problems(&boot.proxies));
    if let Some(Err(error)) = state.as_deref().map(|directory| tokens.add_local(directory)) {
        let what = format!("no token for the command line could be written: {error}");
        problems.push(Problem::warning(
            Place::file("state"),
            what,
            "reload with SIGHUP, or set [admin] tokens",
        ));
    }
    let parts = admin::Parts {
        pipeline: Arc::clone(&pipeline),
        zone: zone.clone(),
        announced: designated.iter().filter_map(|one| serde_json::to_value(&one.announced).ok()).collect(),
        egress,
        resolver: Arc::clone(&resolver),
        last_day: Arc::clone(&last_day),
        ledger: ledger.clone(),
        requests: requests.clone(),
        collectors: Arc::new(collectors),
        tokens: Arc::new(tokens),
        sessions: Arc::new(admin::Sessions::new(clock.clone())),
        sign_in,
        config: Arc::new(boot.admin),
        clock: clock.clone(),
        trend,
        tail,
        querylog: Arc::new(boot.querylog),
        searching: Arc::new(Semaphore::new(1)),
        feeds: Arc::default(),
        compiling: Arc::new(Semaphore::new(1)),
    };
    tasks.push(tokio::spawn(resolver.follow_trust(stopped.clone())));
    tasks.push(tokio::spawn(engine.mind_patience(stopped.clone())));
    tasks.push(tokio::spawn(answer_notices(Arc::clone(&pipeline), noticed, stopped.clone())));
    tasks.push(tokio::spawn(admin::serve(sockets.admin, door, parts, stopped)));
    tasks.push(tokio::spawn(reload::watch(pipeline, clock, asked)));
    announce(&live.load(), &addresses);
    Ok(Running {
        addresses,
        admin: sockets.admin_address,
        zone: zone.map(|zone| zone.addresses().to_vec()).unwrap_or_default(),
        proxies,
        problems,
        live,
        stop_threads,
        stop_tasks,
        threads,
        tasks,
        querylog,
        last_day,
        ledger,
        answers,
        requests,
    })
}

/// What does not work as it should in any of these rooms.
fn beside(rooms: [reload::Beside; 2]) -> reload::Beside {
    Arc::new(move || rooms.iter().filter_map(|room| room()).reduce(|all, next| format!("{all}; {next}")))
}

/// What does not work as it should in resolving, once it has begun.
fn trouble_of(resolving: &Arc<OnceLock<Arc<Resolver>>>) -> reload::Beside {
    let resolving = Arc::clone(resolving);
    Arc::new(move || resolving.get()?.trouble())
}

/// NOTIFY messages that may wait to be looked at: far more than all primaries of a configuration send at once.
const NOTICES: usize = 64;

/// Has the control plane look at what primaries say, one after the other, until `stop` changes.
async fn answer_notices(
    pipeline: Arc<Pipeline>,
    mut notices: mpsc::Receiver<Notice>,
    mut stop: watch::Receiver<bool>,
) {
    loop {
        let notice = tokio::select! {
            Some(notice) = notices.recv() => notice,
            _ = stop.changed() => return,
        };
        let Notice { message, from, reply } = notice;
        let work = Arc::clone(&pipeline);
        // A secret may have to be read from a file.
        let answered = tokio::task::spawn_blocking(move || work.take_notify(&message, from));
        if let Ok(Some(response)) = answered.await {
            reply(&response);
        }
    }
}

impl Running {
    /// The policy in force.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.live.load()
    }

    /// Stops taking questions, lets what is under way end for a bounded time, writes the log.
    pub async fn stop(mut self) {
        self.stop_threads.store(true, Ordering::Release);
        let _nobody = self.stop_tasks.send(true).is_err();
        drop(self.requests);
        let threads = std::mem::take(&mut self.threads);
        let joined = tokio::task::spawn_blocking(move || {
            threads.into_iter().map(JoinHandle::join).filter(Result::is_err).count() == 0
        });
        if !joined.await.unwrap_or(false) {
            tracing::error!("a listening thread had failed");
        }
        for task in self.tasks {
            const PATIENCE: std::time::Duration = std::time::Duration::from_secs(3);
            if tokio::time::timeout(PATIENCE, task).await.is_err() {
                tracing::warn!("a task did not end in time");
            }
        }
        /// Time the query log gets to write what waits.
        const FLUSH: std::time::Duration = std::time::Duration::from_secs(2);
        let mut querylog = self.querylog;
        let last_day = self.last_day;
        let ledger = self.ledger;
        let flushed = tokio::task::spawn_blocking(move || {
            // The log first: what it still has is counted too.
            let logged = querylog.stop(FLUSH) & last_day.stop(FLUSH);
            logged & ledger.is_none_or(|ledger| ledger.stop(FLUSH))
        });
        if !flushed.await.unwrap_or(false) {
            tracing::warn!(
                "the query log, what was asked lately, or what was counted could not be written to its end"
            );
        }
        if let Some(keeper) = self.answers {
            let _ended = tokio::task::spawn_blocking(move || keeper.save()).await;
        }
    }
}

struct Sockets {
    listeners: listen::Opened,
    admin: tokio::net::TcpListener,
    admin_address: SocketAddr,
    zone: Option<zone::Bound>,
    proxies: proxy::Bound,
}

/// Opens every socket before the first thread starts: all or nothing.
fn bind(boot: &Boot) -> Result<Sockets, Vec<Problem>> {
    let complain = |error: net::BindError| {
        vec![Problem::error(Place::file("[[listener]]"), error.to_string(), error.hint())]
    };
    let broken =
        |error: std::io::Error| vec![Problem::error(Place::file("[[listener]]"), error.to_string(), "")];
    let workers = match boot.workers {
        0 => std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        workers => workers,
    };
    let listeners = listen::Opened::open(&boot.listeners, workers).map_err(complain)?;
    let admin = net::bind_tcp(boot.admin.listen).map_err(complain)?;
    let admin = tokio::net::TcpListener::from_std(admin).map_err(broken)?;
    let admin_address = admin.local_addr().map_err(broken)?;
    let zone = boot.zone.as_ref().map(zone::bind).transpose().map_err(|problem| vec![problem])?;
    let proxies = proxy::bind(&boot.proxies, workers)?;
    Ok(Sockets { listeners, admin, admin_address, zone, proxies })
}

/// The secrets that all servers of one address share, or one that nobody else has.
fn cookies(boot: &Boot) -> Option<Cookies> {
    let own = || {
        let mut secret = [0; 16];
        getrandom::fill(&mut secret).ok()?;
        Cookies::new(vec![secret])
    };
    boot.cookies.clone().or_else(own)
}

/// The configured upstreams, or the system's.
fn upstreams(boot: &Boot) -> Result<resolve::Config, Vec<Problem>> {
    let mut upstream = boot.upstream.clone();
    if upstream.is_recursive() {
        return Ok(upstream);
    }
    if upstream.servers.is_empty() {
        let path = Path::new("/etc/resolv.conf");
        let text = read_file(path, CONFIG_FILE).map(|raw| String::from_utf8_lossy(&raw.bytes()).into_owned());
        upstream.servers = system_servers(&text.unwrap_or_default());
        // The system may already point at this process: asking it would ask ourselves for ever.
        upstream
            .servers
            .retain(|server| !boot.listeners.iter().any(|listener| listener.address == server.address));
    }
    if upstream.servers.is_empty() {
        tracing::warn!(
            "no upstream is known: only blocked and special names are answered; set [upstream] servers"
        );
    }
    Ok(upstream)
}
