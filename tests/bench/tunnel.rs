//! Both ends of what a proxy is measured by, and the least that a proxy can be: `serve`, `connections`, `bulk`, `idle`, and `splice`, which moves
//! bytes between two sockets and does nothing else. See tests/bench/proxy.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    unreachable_pub,
    missing_docs,
    reason = "a program of the benchmark"
)]

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use nix::fcntl::{SpliceFFlags, splice};

/// A hello of TLS 1.3 to `good.example`, as long as those of browsers without post-quantum keys; how many bytes are wanted follows it.
fn hello(wanted: u64) -> Vec<u8> {
    let extension = |kind: u16, content: &[u8]| {
        [&kind.to_be_bytes()[..], &(content.len() as u16).to_be_bytes(), content].concat()
    };
    let name = b"good.example";
    let list = [&[0][..], &(name.len() as u16).to_be_bytes(), name].concat();
    let list = [&(list.len() as u16).to_be_bytes()[..], &list].concat();
    let extensions =
        [extension(0, &list), extension(16, b"\0\x0c\x02h2\x08http/1.1"), extension(21, &[0; 400])].concat();
    let mut body = vec![3, 3];
    body.extend([7; 32]);
    body.extend([0, 0, 2, 0x13, 1, 1, 0]);
    body.extend((extensions.len() as u16).to_be_bytes());
    body.extend(extensions);
    let mut record = vec![22, 3, 1];
    record.extend((body.len() as u16 + 4).to_be_bytes());
    record.extend([1, 0]);
    record.extend((body.len() as u16).to_be_bytes());
    record.extend(body);
    record.extend(wanted.to_be_bytes());
    record
}

fn serve(address: &str) {
    let listener = TcpListener::bind(address).unwrap();
    println!("ready");
    for stream in listener.incoming() {
        let Ok(mut stream) = stream else { continue };
        let work = move || -> std::io::Result<()> {
            stream.set_nodelay(true)?;
            let mut header = [0; 5];
            stream.read_exact(&mut header)?;
            let mut rest = vec![0; usize::from(u16::from_be_bytes([header[3], header[4]])) + 8];
            stream.read_exact(&mut rest)?;
            let mut left = u64::from_be_bytes(*rest.last_chunk().unwrap());
            let block = vec![7; 256 << 10];
            while left > 0 {
                let part = left.min(block.len() as u64);
                stream.write_all(&block[..part as usize])?;
                left -= part;
            }
            stream.shutdown(Shutdown::Write)?;
            stream.read_exact(&mut [0]).or(Ok(()))
        };
        std::thread::Builder::new().stack_size(64 << 10).spawn(work).unwrap();
    }
}

fn open(address: &str, wanted: u64) -> std::io::Result<TcpStream> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    stream.write_all(&hello(wanted))?;
    Ok(stream)
}

/// So many connections, some at a time; each gets a thousand bytes. Prints the seconds, and the 50th and 99th of a hundred times until the first byte.
fn connections(address: &str, count: usize, parallel: usize) {
    let (left, times) = (AtomicUsize::new(count), Mutex::new(Vec::new()));
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..parallel {
            scope.spawn(|| {
                let mut own = Vec::new();
                let mut buffer = [0; 4096];
                while left
                    .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1))
                    .is_ok()
                {
                    let begun = Instant::now();
                    let mut stream = open(address, 1000).unwrap();
                    let mut got = stream.read(&mut buffer).unwrap();
                    own.push(begun.elapsed());
                    while got < 1000 {
                        got += stream.read(&mut buffer).unwrap();
                    }
                }
                times.lock().unwrap().extend(own);
            });
        }
    });
    let took = begun.elapsed().as_secs_f64();
    let mut times = times.into_inner().unwrap();
    times.sort();
    let at = |share: usize| times[times.len() * share / 100].as_secs_f64() * 1e6;
    println!("{took:.3} {:.0} {:.0}", at(50), at(99));
}

/// One connection that gets so many MiB. Prints the seconds.
fn bulk(address: &str, mebibytes: u64) {
    let begun = Instant::now();
    let mut stream = open(address, mebibytes << 20).unwrap();
    let mut buffer = vec![0; 256 << 10];
    let mut got = 0;
    loop {
        match stream.read(&mut buffer).unwrap() {
            0 => break,
            read => got += read as u64,
        }
    }
    assert_eq!(got, mebibytes << 20);
    println!("{:.3}", begun.elapsed().as_secs_f64());
}

/// So many connections that have got a byte and want nothing more, until the end of the input.
fn idle(address: &str, count: usize) {
    let mut held = Vec::new();
    for _ in 0..count {
        let mut stream = open(address, 1).unwrap();
        stream.read_exact(&mut [0]).unwrap();
        held.push(stream);
    }
    println!("open");
    let _end = std::io::stdin().read(&mut [0]);
}

/// Moves bytes from each connection to `target` and back.
fn bare(address: &str, target: &str) {
    let listener = TcpListener::bind(address).unwrap();
    println!("ready");
    for client in listener.incoming() {
        let (Ok(client), target) = (client, target.to_owned()) else { continue };
        let work = move || {
            let origin = TcpStream::connect(target).unwrap();
            let (client_too, origin_too) = (client.try_clone().unwrap(), origin.try_clone().unwrap());
            let up = std::thread::Builder::new()
                .stack_size(64 << 10)
                .spawn(move || one_way(&client_too, &origin_too));
            one_way(&origin, &client);
            up.unwrap().join().unwrap();
        };
        std::thread::Builder::new().stack_size(64 << 10).spawn(work).unwrap();
    }
}

fn one_way(from: &TcpStream, to: &TcpStream) {
    let (out, into): (OwnedFd, OwnedFd) = nix::unistd::pipe().unwrap();
    let flags = SpliceFFlags::SPLICE_F_MOVE;
    while let Ok(mut held @ 1..) = splice(from.as_fd(), None, into.as_fd(), None, 64 << 10, flags) {
        while held > 0 {
            match splice(out.as_fd(), None, to.as_fd(), None, held, flags) {
                Ok(moved) => held -= moved,
                Err(_) => return,
            }
        }
    }
    let _gone = to.shutdown(Shutdown::Write);
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["serve", address] => serve(address),
        ["connections", address, count, parallel] => {
            connections(address, count.parse().unwrap(), parallel.parse().unwrap());
        }
        ["bulk", address, mebibytes] => bulk(address, mebibytes.parse().unwrap()),
        ["idle", address, count] => idle(address, count.parse().unwrap()),
        ["splice", address, target] => bare(address, target),
        _ => panic!("see the head of this file"),
    }
}
