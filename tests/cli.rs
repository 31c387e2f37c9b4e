//! The command line as people and scripts meet it.

mod exit_codes;
mod feishu;
mod invalid;
mod slack;
mod teammates;
pub(crate) mod workbench;
