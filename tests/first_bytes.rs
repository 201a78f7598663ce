//! What real clients send first, as the proxy reads it: curl, openssl, Chromium, quinn and aioquic, over TLS, QUIC and HTTP.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::string_slice,
    clippy::disallowed_methods,
    reason = "a test that panics has failed"
)]

use std::io::Read;
use std::net::{TcpListener, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use interdict::proxy::peek::{ClientHello, Form, Initials, Look, read_client_hello, read_http, read_http2};

/// The first bytes that a program sends to a port here, read until `enough`.
fn first_bytes(enough: impl Fn(&[u8]) -> bool, command: impl FnOnce(u16) -> Command) -> Vec<u8> {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut child = command(listener.local_addr().unwrap().port())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let (mut stream, _) = listener.accept().unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let mut bytes = Vec::new();
    let mut buffer = [0; 65_536];
    while !enough(&bytes) {
        let read = stream.read(&mut buffer).unwrap();
        assert!(read > 0, "{bytes:?}");
        bytes.extend_from_slice(&buffer[..read]);
    }
    drop(stream);
    let _status = child.kill().and_then(|()| child.wait());
    bytes
}

fn command(program: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments);
    command
}

#[test]
fn what_real_clients_send_is_read() {
    let is_hello = |bytes: &[u8]| !matches!(read_client_hello(bytes), Look::More(_));
    let of_curl = first_bytes(is_hello, |port| {
        let resolve = format!("real.example:{port}:127.0.0.1");
        command(
            "curl",
            &["-sk", "--max-time", "5", "--resolve", &resolve, &format!("https://real.example:{port}/")],
        )
    });
    let of_openssl = first_bytes(is_hello, |port| {
        let connect = format!("127.0.0.1:{port}");
        command(
            "openssl",
            &["s_client", "-connect", &connect, "-servername", "real.example", "-alpn", "h2,http/1.1"],
        )
    });
    for bytes in [of_curl, of_openssl] {
        let Look::Found(hello) = read_client_hello(&bytes) else { panic!("{bytes:?}") };
        assert!(hello.server_name.unwrap().to_string().starts_with("real.example"));
        assert_eq!(hello.protocols, ["h2", "http/1.1"]);
    }
    let of_curl = first_bytes(
        |bytes| !matches!(read_http(bytes), Look::More(_)),
        |port| {
            command(
                "curl",
                &["-s", "--max-time", "5", "-x", &format!("127.0.0.1:{port}"), "http://real.example/a"],
            )
        },
    );
    let Look::Found(head) = read_http(&of_curl) else { panic!("{of_curl:?}") };
    assert_eq!(head.form, Form::Absolute);
    assert!(head.authority.unwrap().host.to_string().starts_with("real.example"));
    let of_curl = first_bytes(
        |bytes| !matches!(read_http2(bytes), Look::More(_)),
        |port| {
            let resolve = format!("real.example:{port}:127.0.0.1");
            let address = format!("http://real.example:{port}/");
            command(
                "curl",
                &["-s", "--max-time", "5", "--http2-prior-knowledge", "--resolve", &resolve, &address],
            )
        },
    );
    let Look::Found(Some(authority)) = read_http2(&of_curl) else { panic!("{of_curl:?}") };
    assert!(authority.host.to_string().starts_with("real.example"));
}

/// Chromium on its way to a port here; it looks for nothing else.
fn chromium(folder: &Path, port: u16) -> Command {
    let mut command = Command::new("/usr/bin/chromium");
    command.args([
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--no-first-run",
        "--disable-background-networking",
    ]);
    command.args(["--disable-component-update", "--disable-sync", "--ignore-certificate-errors"]);
    command.arg(format!("--user-data-dir={}", folder.display()));
    command.arg("--host-resolver-rules=MAP real.example 127.0.0.1");
    command.arg(format!("https://real.example:{port}/"));
    command
}

#[test]
fn what_chromium_sends_first_is_read_as_another_library_reads_it() {
    if !Path::new("/usr/bin/chromium").exists() {
        return eprintln!("skipped: chromium is not installed");
    }
    let folder = tempfile::tempdir().unwrap();
    let bytes = first_bytes(
        |bytes| !matches!(read_client_hello(bytes), Look::More(_)),
        |port| chromium(folder.path(), port),
    );
    let Look::Found(hello) = read_client_hello(&bytes) else { panic!("{bytes:?}") };
    let mut acceptor = rustls::server::Acceptor::default();
    acceptor.read_tls(&mut &bytes[..]).unwrap();
    let accepted = acceptor.accept().map_err(|(error, _)| error).unwrap().expect("a whole hello");
    let theirs = accepted.client_hello();
    let name = hello.server_name.unwrap().to_string();
    assert_eq!(Some(name.trim_end_matches('.')), theirs.server_name());
    let protocols: Vec<_> =
        theirs.alpn().unwrap().map(|one| String::from_utf8_lossy(one).into_owned()).collect();
    assert_eq!(hello.protocols, protocols);
    assert!(hello.encrypted, "browsers send something like an encrypted hello everywhere");
}

/// What the hello that a client of QUIC sends to a port here says, over as many datagrams as it takes; answered by nobody.
fn first_datagrams(client: impl FnOnce(u16) -> Box<dyn FnOnce()>) -> (ClientHello, usize) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(15))).unwrap();
    let stop = client(socket.local_addr().unwrap().port());
    let mut initials = Initials::default();
    let mut buffer = [0; 2048];
    for datagrams in 1..=6 {
        let length = socket.recv(&mut buffer).unwrap();
        match initials.push(&buffer[..length]) {
            Look::More(_) => {}
            Look::Found(hello) => {
                stop();
                return (hello, datagrams);
            }
            other => panic!("{other:?}"),
        }
    }
    panic!("six datagrams and no hello");
}

fn ended(mut child: Child) -> Box<dyn FnOnce()> {
    Box::new(move || {
        let _status = child.kill().and_then(|()| child.wait());
    })
}

fn said(hello: &ClientHello) -> (String, Vec<String>) {
    let name = hello.server_name.as_ref().unwrap().to_string();
    (name.trim_end_matches('.').to_owned(), hello.protocols.clone())
}

fn real(protocol: &str) -> (String, Vec<String>) {
    ("real.example".to_owned(), vec![protocol.to_owned()])
}

#[test]
fn what_quinn_sends_first_is_read() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let _inside = runtime.enter();
    let (hello, _) = first_datagrams(|port| {
        let endpoint = quinn::Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();
        let mut roots = rustls::RootCertStore::empty();
        let authority = rcgen::generate_simple_self_signed(vec!["a.example".to_owned()]).unwrap();
        roots.add(authority.cert.der().clone()).unwrap();
        let config = quinn::ClientConfig::with_root_certificates(Arc::new(roots)).unwrap();
        let connecting =
            endpoint.connect_with(config, ([127, 0, 0, 1], port).into(), "real.example").unwrap();
        Box::new(move || drop((connecting, endpoint)))
    });
    assert_eq!(said(&hello).0, "real.example");
}

/// Keys of a post-quantum exchange, cut in pieces that are shuffled, with pings and padding between: more than a datagram holds.
#[test]
fn what_chromium_sends_first_over_quic_is_read() {
    if !Path::new("/usr/bin/chromium").exists() {
        return eprintln!("skipped: chromium is not installed");
    }
    let folder = tempfile::tempdir().unwrap();
    let (hello, datagrams) = first_datagrams(|port| {
        let mut command = chromium(folder.path(), port);
        let forced = format!("--origin-to-force-quic-on=real.example:{port}");
        command.args(["--enable-quic", &forced]).stdout(Stdio::null()).stderr(Stdio::null());
        ended(command.spawn().unwrap())
    });
    assert_eq!(said(&hello), real("h3"));
    assert!(hello.encrypted, "browsers send something like an encrypted hello everywhere");
    assert!(datagrams > 1, "one datagram: this shows less than it means to");
}

/// Another library, in both versions of QUIC, with a hello that fits one datagram and one that does not.
#[test]
fn what_aioquic_sends_first_is_read_in_both_versions() {
    const CLIENT: &str = "import asyncio, sys\n\
        from aioquic.asyncio import connect\n\
        from aioquic.quic.configuration import QuicConfiguration\n\
        from aioquic.quic.packet import QuicProtocolVersion as Version\n\
        port, version, protocols = int(sys.argv[1]), Version[sys.argv[2]], sys.argv[3].split(',')\n\
        config = QuicConfiguration(alpn_protocols=protocols, server_name='real.example')\n\
        config.original_version, config.supported_versions = version, [version]\n\
        async def main():\n    async with connect('127.0.0.1', port, configuration=config):\n        pass\n\
        asyncio.run(main())\n";
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/dnspython/bin/python");
    if !python.exists() {
        return eprintln!("skipped: aioquic is not installed");
    }
    let long = (10..20).map(|number| format!("{number}").repeat(120)).collect::<Vec<_>>();
    for version in ["VERSION_1", "VERSION_2"] {
        for protocols in [vec!["h3".to_owned()], long.clone()] {
            let (hello, datagrams) = first_datagrams(|port| {
                let mut command = Command::new(&python);
                command.args(["-c", CLIENT, &port.to_string(), version, &protocols.join(",")]);
                ended(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
            });
            assert_eq!(datagrams > 1, protocols.len() > 1, "{version}");
            assert_eq!(said(&hello), ("real.example".to_owned(), protocols), "{version}");
        }
    }
}
