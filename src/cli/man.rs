//! `tieline man`: the manual page of the whole program.

use std::io;

use anyhow::Context as _;
use clap::Command;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, roman};

use crate::cli::failure::{Exit, Failure};
use crate::cli::{EXIT_CODES, output};

/// Print the manual page of the whole program
///
/// `tieline man | man -l -` shows it.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

/// Prints the manual page.
pub(crate) fn run(program: Command) -> Result<(), Failure> {
    let page = page(program).context("cannot write the manual page");
    output::print(&page.map_err(|error| Failure::new(Exit::Internal, error))?)
}

/// Returns the page: the program, then each command with a section of its own, then the exit codes.
fn page(program: Command) -> io::Result<String> {
    let mut program = program.disable_help_subcommand(true);
    program.build();
    let man = Man::new(program.clone()).manual("User Commands");
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_options_section(&mut page)?;
    let mut page = String::from_utf8_lossy(&page).into_owned();
    for command in program.get_subcommands() {
        page.push_str(&sections(command)?);
    }
    let codes = EXIT_CODES
        .lines()
        .skip(1)
        .map(|line| roman(format!("{line}\n")));
    let mut end = Roff::new();
    end.control("SH", ["EXIT STATUS"]);
    end.control("nf", []).text(codes.collect::<Vec<_>>());
    end.control("fi", []);
    page.push_str(&end.render());
    Ok(page)
}

/// Returns the section of a command and those of the commands below it.
fn sections(command: &Command) -> io::Result<String> {
    let name = command.get_bin_name().unwrap_or(command.get_name());
    let mut heading = Roff::new();
    heading.control("SH", [name]);
    let man = Man::new(command.clone());
    let mut below = Vec::new();
    man.render_description_section(&mut below)?;
    man.render_synopsis_section(&mut below)?;
    man.render_options_section(&mut below)?;
    // What are sections of a page are parts of a section here.
    let below = String::from_utf8_lossy(&below).replace("\n.SH ", "\n.SS ");
    let mut all = heading.to_roff() + &below;
    for command in command.get_subcommands() {
        all.push_str(&sections(command)?);
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;
    use crate::cli::Cli;

    #[test]
    fn every_command_has_a_section() {
        let page = page(Cli::command()).unwrap();
        for verb in Cli::command().get_subcommands() {
            let verb = verb.get_name();
            let heading = format!("\n.SH \"tieline {verb}\"\n");
            assert!(page.contains(&heading), "{verb} is missing");
        }
        assert!(page.contains("\n.SH \"tieline exec cancel\"\n"));
    }

    #[test]
    fn it_begins_with_the_program_and_ends_with_the_exit_codes() {
        let page = page(Cli::command()).unwrap();
        assert!(page.contains(".TH tieline 1"), "{page}");
        let (_, codes) = page.split_once(".SH \"EXIT STATUS\"\n.nf\n").unwrap();
        assert!(codes.contains("64  bad usage"), "{codes}");
    }
}
