//! Exit codes only: hands the command line over and returns what it says.

fn main() -> std::process::ExitCode {
    interdict::cli::run()
}
