//! The `tieline` program.

use std::process::ExitCode;

fn main() -> ExitCode {
    tieline::cli::main(std::env::args_os())
}
