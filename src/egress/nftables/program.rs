//! Owns the talk with the kernel's packet filter through its own program, `nft`: the one door to it, with a bounded time and bounded bytes. The
//! program rather than the kernel's messages, because it is what every distribution keeps in step with its kernel, what it is told can be
//! read and typed by an operator, and one of its scripts is one transaction. Never knows what a script says.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;

/// The program.
#[derive(Debug)]
pub(in crate::egress) struct Nft(PathBuf);

/// Why the kernel does not hold what it should.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(in crate::egress) enum Failure {
    /// There is no such program.
    #[error("`{0}` is not installed")]
    Absent(String),
    /// The kernel does not let this process.
    #[error("this process may not change the packet filter")]
    Denied,
    /// The script, or a part of the kernel that it needs.
    #[error("refused: {0}")]
    Refused(String),
    /// It took too long.
    #[error("no answer in time")]
    Timeout,
}

/// Longest that a script may take: a hundred thousand networks take a second or two.
const PATIENCE: Duration = Duration::from_secs(30);
/// Most bytes of a list that are read.
const MOST: u64 = 64 << 20;
/// Most bytes of complaints.
const MOST_COMPLAINTS: u64 = 64 << 10;

impl Nft {
    pub(in crate::egress) fn new(program: &Path) -> Self {
        Self(program.to_owned())
    }

    /// Puts a script in force: all of it or nothing.
    pub(in crate::egress) async fn apply(&self, script: &str) -> Result<(), Failure> {
        self.run(&["-f", "-"], script).await.map(drop)
    }

    /// What is in a table; `None` without it.
    pub(in crate::egress) async fn list(&self, table: &str) -> Result<Option<String>, Failure> {
        let mut arguments = vec!["-j", "list", "table"];
        arguments.extend(table.split(' '));
        match self.run(&arguments, "").await {
            Ok(text) => Ok(Some(text)),
            Err(Failure::Refused(why)) if why.contains("No such file or directory") => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    async fn run(&self, arguments: &[&str], input: &str) -> Result<String, Failure> {
        let ran = tokio::time::timeout(PATIENCE, self.talk(arguments, input)).await;
        match ran {
            Err(_) => Err(Failure::Timeout),
            Ok(Ok((true, text, _))) => Ok(text),
            Ok(Ok((false, _, complaints))) => Err(classify(&complaints)),
            Ok(Err(error)) if error.kind() == io::ErrorKind::NotFound => {
                Err(Failure::Absent(self.0.display().to_string()))
            }
            Ok(Err(error)) => Err(Failure::Refused(error.to_string())),
        }
    }

    async fn talk(&self, arguments: &[&str], input: &str) -> io::Result<(bool, String, String)> {
        let mut child = Command::new(&self.0)
            .args(arguments)
            .env("LC_ALL", "C")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let (mut text, mut complaints) = (Vec::new(), Vec::new());
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let write = async {
            if let Some(mut stdin) = stdin {
                // One that complains may not read to the end.
                let _complained = stdin.write_all(input.as_bytes()).await.is_err();
            }
            io::Result::Ok(())
        };
        let read = async {
            if let Some(stdout) = stdout {
                stdout.take(MOST).read_to_end(&mut text).await?;
            }
            Ok(())
        };
        let hear = async {
            if let Some(stderr) = stderr {
                stderr.take(MOST_COMPLAINTS).read_to_end(&mut complaints).await?;
            }
            Ok(())
        };
        let ((), (), ()) = tokio::try_join!(write, read, hear)?;
        let status = child.wait().await?;
        let text = String::from_utf8(text).unwrap_or_default();
        Ok((status.success(), text, String::from_utf8_lossy(&complaints).into_owned()))
    }
}

fn classify(complaints: &str) -> Failure {
    let denied = ["Operation not permitted", "Permission denied", "must be root"];
    if denied.iter().any(|words| complaints.contains(words)) {
        return Failure::Denied;
    }
    let first = complaints.lines().find(|line| line.contains("rror")).or_else(|| complaints.lines().next());
    Failure::Refused(first.unwrap_or("without a reason").chars().take(300).collect())
}

impl Failure {
    /// The words of all reasons; `log` for the kernel's log, which is read without the program.
    pub(in crate::egress) const REASONS: [&str; 5] = ["absent", "denied", "log", "refused", "timeout"];

    /// The word in labels.
    pub(in crate::egress) fn reason(&self) -> &'static str {
        match self {
            Self::Absent(_) => "absent",
            Self::Denied => "denied",
            Self::Refused(_) => "refused",
            Self::Timeout => "timeout",
        }
    }

    /// What to do about it.
    pub(in crate::egress) fn hint(&self) -> &'static str {
        match self {
            Self::Absent(_) => "install nftables, or say where it is in [egress] program",
            Self::Denied => {
                "give the service the capability CAP_NET_ADMIN: AmbientCapabilities in its unit, see deploy/systemd/egress.conf"
            }
            Self::Refused(_) => "nftables 1.0 or newer and a kernel of 5.6 or newer are needed",
            Self::Timeout => "the host is overloaded, or another program holds the packet filter",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn complaints_are_told_apart() {
        let denied =
            "Error: Could not process rule: Operation not permitted\nadd table inet interdict\n^^^^\n";
        assert_eq!(classify(denied), Failure::Denied);
        let wrong = "/dev/stdin:3:1-2: Error: syntax error, unexpected string\nxx\n^^\n";
        let said = "/dev/stdin:3:1-2: Error: syntax error, unexpected string".to_owned();
        assert_eq!(classify(wrong), Failure::Refused(said));
        assert_eq!(classify(""), Failure::Refused("without a reason".to_owned()));
    }
}
