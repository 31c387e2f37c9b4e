//! The texts that are meant for the model: part of the program, and each replaced by the file of its
//! name in the directory that `prompts` names.

use std::fs;
use std::io;
use std::path::Path;

use super::read::read_text_file;
use crate::config::document::Value;
use crate::config::problem::Problem;
use crate::config::words::suggest;

macro_rules! prompts {
    ($($(#[$doc:meta])* $field:ident = $file:literal;)*) => {
        /// What tieline tells the model, apart from what people say. No text ends with a line break.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct Prompts {
            $($(#[$doc])* pub $field: String,)*
        }

        impl Prompts {
            /// The names of the files.
            pub(crate) const FILES: &[&str] = &[$($file),*];

            /// Returns the texts that are part of the program.
            pub fn embedded() -> Self {
                Self {
                    $($field: include_str!(concat!("../../../prompts/", $file)).trim_end().to_owned(),)*
                }
            }

            fn of_file(&mut self, name: &str) -> Option<&mut String> {
                match name {
                    $($file => Some(&mut self.$field),)*
                    _ => None,
                }
            }
        }
    };
}

prompts! {
    /// Who it is, and how messages read: the beginning of its instructions.
    dispatcher = "dispatcher.md";
    /// How to answer when the final answer of each turn is posted.
    answer_final = "answer-final.md";
    /// How to answer when only what it sends by a tool is posted.
    answer_tool = "answer-tool.md";
    /// How to hand out work, where it can.
    teammates = "teammates.md";
    /// Who it is when it is a teammate: the beginning of its instructions.
    teammate = "teammate.md";
    /// What a model is told first that a profile describes to codex.
    model = "model.md";
    /// That codex was restarted.
    restarted = "restarted.md";
    /// What to make of the calls of tools that it had made before it was interrupted.
    interrupted = "interrupted.md";
    /// That it begins anew, because the thread was lost.
    thread_lost = "thread-lost.md";
    /// The same, for a teammate.
    teammate_lost = "teammate-lost.md";
    /// That it is to deal with completions: the input of a turn that is begun for them.
    trigger = "trigger.md";
    /// The same, for a teammate.
    teammate_trigger = "teammate-trigger.md";
}

impl Prompts {
    /// Reads the directory that is named, if one is.
    pub(super) fn read(value: Option<Value<'_>>) -> Self {
        let mut prompts = Self::embedded();
        if let Some(value) = value
            && let Some(directory) = value.directory("the path of a directory of prompts")
            && let Err(error) = prompts.replace_by(&directory, &value)
        {
            let shown = directory.display();
            let message = format!("cannot look into {shown}: {error}");
            value.reading().note(value.objection(&message));
        }
        prompts
    }

    fn replace_by(&mut self, directory: &Path, value: &Value<'_>) -> io::Result<()> {
        let mut names: Vec<_> = fs::read_dir(directory)?
            .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
            .collect::<io::Result<_>>()?;
        names.sort_unstable();
        // What other programs keep there is hidden, as a rule.
        for name in names.iter().filter(|name| !name.starts_with('.')) {
            let path = directory.join(name);
            let shown = path.display();
            let Some(text) = self.of_file(name) else {
                let message = format!("{shown} replaces no prompt");
                let problem = Problem::warning(value.span(), message);
                let hint = suggest(name, Self::FILES, "prompts");
                value.reading().note(problem.hint(hint));
                continue;
            };
            match read_text_file(&path) {
                Ok(own) => own.trim_end().clone_into(text),
                Err(error) => value
                    .reading()
                    .note(value.objection(&format!("cannot read {shown}: {error}"))),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use pretty_assertions::assert_eq;

    use super::*;
    use crate::config::{Config, Loaded, Report};

    /// Reads a configuration whose prompts are in `own` below `home`.
    fn read_in(home: &Path) -> Result<Loaded, Report> {
        let text = "[channels.t]\nkind = \"console\"\n\
                    [dispatchers.a]\nworkspace = \"/\"\nchannels = [\"t\"]\nprompts = \"~/own\"\n";
        Config::parse(text, Path::new("/etc/tieline.toml"), Some(home))
    }

    fn home_with(files: &[(&str, &[u8])]) -> tempfile::TempDir {
        let home = tempfile::tempdir().unwrap();
        fs::create_dir(home.path().join("own")).unwrap();
        for (name, content) in files {
            fs::write(home.path().join("own").join(name), content).unwrap();
        }
        home
    }

    #[test]
    fn a_file_replaces_the_prompt_of_its_name_and_no_other() {
        for name in Prompts::FILES {
            let home = home_with(&[(name, b"own words\n\n")]);
            let loaded = read_in(home.path()).unwrap();
            assert_eq!(loaded.warnings.to_string(), "");
            let mut expected = Prompts::embedded();
            "own words".clone_into(expected.of_file(name).unwrap());
            assert_ne!(expected, Prompts::embedded());
            let (_, read) = loaded.config.dispatchers.into_iter().next().unwrap();
            assert_eq!(read.prompts, expected);
        }
    }

    #[test]
    fn files_that_replace_nothing_are_doubtful_and_hidden_ones_are_not_looked_at() {
        let home = home_with(&[("Dispatcher.md", b""), (".git", b""), ("notes.txt", b"")]);
        let warnings = read_in(home.path()).unwrap().warnings.to_string();
        let warnings = warnings.replace(home.path().to_str().unwrap(), "/home/mei");
        insta::assert_snapshot!(warnings, @r#"
        /etc/tieline.toml:6:11: warning: /home/mei/own/Dispatcher.md replaces no prompt
           |
         6 | prompts = "~/own"
           |           ^^^^^^^
           = hint: did you mean `dispatcher.md`?

        /etc/tieline.toml:6:11: warning: /home/mei/own/notes.txt replaces no prompt
           |
         6 | prompts = "~/own"
           |           ^^^^^^^
           = hint: known prompts: dispatcher.md, answer-final.md, answer-tool.md, teammates.md, teammate.md, model.md, restarted.md, interrupted.md, thread-lost.md, teammate-lost.md, trigger.md, teammate-trigger.md
        "#);
    }

    #[test]
    fn a_prompt_that_cannot_be_read_is_a_mistake_and_so_is_a_missing_directory() {
        let home = home_with(&[("dispatcher.md", b"\xff")]);
        fs::create_dir(home.path().join("own/thread-lost.md")).unwrap();
        let report = read_in(home.path()).unwrap_err().to_string();
        let report = report.replace(home.path().to_str().unwrap(), "/home/mei");
        insta::assert_snapshot!(report, @r#"
        /etc/tieline.toml:6:11: error: `dispatchers.a.prompts`: cannot read /home/mei/own/dispatcher.md: stream did not contain valid UTF-8
           |
         6 | prompts = "~/own"
           |           ^^^^^^^

        /etc/tieline.toml:6:11: error: `dispatchers.a.prompts`: cannot read /home/mei/own/thread-lost.md: it is not a file
           |
         6 | prompts = "~/own"
           |           ^^^^^^^
        "#);
        fs::remove_dir_all(home.path().join("own")).unwrap();
        let report = read_in(home.path()).unwrap_err();
        assert!(
            report.to_string().contains("there is no directory"),
            "{report}"
        );
    }
}
