//! A server of a test's own on a loopback port, with TLS or without, that goes down and up again.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

pub type Tls = Option<Arc<rustls::ServerConfig>>;

pub trait Stream: Read + Write {}
impl<T: Read + Write> Stream for T {}

type Serve = Arc<dyn Fn(TcpStream) + Send + Sync>;

pub struct Listening {
    pub address: SocketAddr,
    serve: Serve,
    running: Option<Arc<AtomicBool>>,
}

impl Listening {
    /// Hands every connection to `serve`, each on a thread of its own.
    pub fn start(serve: impl Fn(TcpStream) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let mut listening = Self { address, serve: Arc::new(serve), running: None };
        listening.listen(listener);
        listening
    }

    pub fn down(&mut self) {
        let Some(running) = self.running.take() else { return };
        running.store(false, Ordering::Relaxed);
        // The listener is closed once its thread is gone.
        for _ in 0..100 {
            if TcpListener::bind(self.address).is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("the server does not stop");
    }

    pub fn up(&mut self) {
        let listener = TcpListener::bind(self.address).unwrap();
        self.listen(listener);
    }

    fn listen(&mut self, listener: TcpListener) {
        let running = Arc::new(AtomicBool::new(true));
        self.running = Some(Arc::clone(&running));
        listener.set_nonblocking(true).unwrap();
        let serve = Arc::clone(&self.serve);
        std::thread::spawn(move || {
            while running.load(Ordering::Relaxed) {
                let Ok((tcp, _)) = listener.accept() else {
                    std::thread::sleep(Duration::from_millis(2));
                    continue;
                };
                let serve = Arc::clone(&serve);
                std::thread::spawn(move || serve(tcp));
            }
        });
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        if let Some(running) = &self.running {
            running.store(false, Ordering::Relaxed);
        }
    }
}

/// The server's end of a connection, which waits ten seconds for anything.
pub fn stream(tcp: TcpStream, tls: &Tls) -> Box<dyn Stream> {
    tcp.set_nonblocking(false).unwrap();
    tcp.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    tcp.set_write_timeout(Some(Duration::from_secs(10))).unwrap();
    match tls {
        Some(tls) => {
            let tls = rustls::ServerConnection::new(Arc::clone(tls)).unwrap();
            Box::new(rustls::StreamOwned::new(tls, tcp))
        }
        None => Box::new(tcp),
    }
}

/// Sends pieces, with a pause before each, until whoever had enough has closed.
pub fn send(stream: &mut dyn Stream, pieces: Vec<(Duration, Vec<u8>)>) {
    for (pause, piece) in pieces {
        std::thread::sleep(pause);
        if stream.write_all(&piece).and_then(|()| stream.flush()).is_err() {
            return;
        }
    }
}
