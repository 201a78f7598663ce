//! interdict: a protective DNS resolver and egress filter that enforces app bans on government networks.
//!
//! # The map
//!
//! Every room is a top-level module with a layer number; a room imports only rooms of smaller numbers. A test holds this
//! map, the tree and the README together.
//!
//! | layer | room | what it owns |
//! |---|---|---|
//! | 0 | `clock` | the only reader of wall and monotonic time |
//! | 0 | `problem` | a located complaint about an operator's input: where, what, hint |
//! | 1 | `document` | an operator's TOML file, read so that every problem is found in one pass |
//! | 0 | `dns` | words of the protocol; bytes in, bytes out |
//! | 2 | `policy` | law → decision; pure |
//! | 3 | `formats` | one list syntax a file: text → rules with line numbers |
//! | 3 | `feeds` | the policy as lists that other programs load |
//! | 4 | `telemetry` | counters, latency, record, inbox, the last day's questions, and one output a file |
//! | 3 | `net` | sockets, TLS, and privileges |
//! | 5 | `sources` | bytes with origin and digest |
//! | 5 | `cache` | unfiltered upstream answers in wire form |
//! | 5 | `resolve` | ask others: forward or recurse, validate, health |
//! | 5 | `egress` | what DNS cannot hold back: the policy's addresses in the kernel |
//! | 5 | `report` | compliance per app, instrument, group, device: tally, store, render |
//! | 6 | `query` | DATA PLANE: from a query's bytes to its reply |
//! | 6 | `zone` | the policy served to other resolvers as a response policy zone |
//! | 6 | `reload` | CONTROL PLANE: from operators' inputs to the policy in force |
//! | 7 | `listen` | questions in, replies out; unsafe system calls |
//! | 7 | `admin` | operators: API, health, metrics, auth, dashboard |
//! | 7 | `proxy` | connections in, connections out: names read from them, the policy asked |
//! | 8 | `config` | the file on disk, versioned; composes each room's own `Config` |
//! | 9 | `app` | composition root: builds the rooms, wires channels, start and stop order |
//! | 10 | `cli` | one verb a file |
//!
//! # The three paths
//!
//! **A question** (UDP; a hit or a block is synchronous, on one thread, without allocation or lock):
//! `listen::mmsg` takes a batch → `query::engine` reads the policy and the clock once, and for each query: parse →
//! admitted? → special-use name? → the policy decides its name → *deny*: `query::sinkhole` writes the blocked answer ·
//! *pass*: the cache → what the answer leads to is screened by the policy in force → reply. A miss waits in
//! `query::pending`, identical questions together, for `resolve`.
//!
//! **A reload**: `reload::trigger` → `reload::pipeline`: fetch → parse → compile → guard → held back? → approved? →
//! `reload::enact`: diff → keep on disk → audit log → publish (one pointer) → mark good. Whatever fails, the generation in
//! force keeps deciding.
//!
//! **A metric**: one row in a room's list → one increment where it happens, in the worker's own memory → summed at a
//! scrape → a test fails until the README lists it.

pub mod admin;
pub mod app;
pub mod cache;
pub mod cli;
pub mod clock;
pub mod config;
pub mod dns;
pub mod document;
pub mod egress;
pub mod feeds;
pub mod formats;
pub mod listen;
pub mod net;
pub mod policy;
pub mod problem;
pub mod proxy;
pub mod query;
pub mod reload;
pub mod report;
pub mod resolve;
pub mod sources;
pub mod telemetry;
pub mod zone;
