//! `tieline completions`: what a shell needs to complete this command line.

use clap::Command;
use clap_complete::Shell;

use crate::cli::failure::Failure;
use crate::cli::output;

/// Print what a shell needs to complete this command line
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

/// Prints the completion of one shell.
pub(crate) fn run(args: &Args, program: Command) -> Result<(), Failure> {
    output::print(&script(args.shell, program))
}

fn script(shell: Shell, mut program: Command) -> String {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut program, "tieline", &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

#[cfg(test)]
mod tests {
    use std::process::Command as Process;

    use clap::{CommandFactory as _, ValueEnum as _};

    use super::*;
    use crate::cli::Cli;

    #[test]
    fn the_script_of_every_shell_names_every_verb() {
        for shell in Shell::value_variants() {
            let script = script(*shell, Cli::command());
            for verb in Cli::command().get_subcommands() {
                let verb = verb.get_name();
                assert!(script.contains(verb), "{shell:?} lacks {verb}");
            }
        }
    }

    #[test]
    fn bash_accepts_its_script() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("tieline.bash");
        std::fs::write(&file, script(Shell::Bash, Cli::command())).unwrap();
        let ran = Process::new("bash").arg("-n").arg(&file).output().unwrap();
        assert!(ran.status.success(), "{ran:?}");
        assert!(ran.stderr.is_empty(), "{ran:?}");
    }
}
