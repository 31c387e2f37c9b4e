//! The command line as people and scripts meet it.

mod exit_codes;
mod invalid;
mod slack;
mod workbench;
