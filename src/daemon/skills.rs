//! The skills that models are given: where those of the operator are, and tieline's own.
//!
//! Codex reads skills from disk, so tieline's own, which are part of the program, are written below
//! the state directory at each start: to a directory that is named by what is in it, and whole or
//! not there.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// The file that makes a directory a skill.
const SKILL: &str = "SKILL.md";

/// Tieline's own skills: the name of each, and its file.
const BUNDLED: [(&str, &str); 2] = [
    (
        "dispatching",
        include_str!("../../skills/dispatching/SKILL.md"),
    ),
    ("tieline", include_str!("../../skills/tieline/SKILL.md")),
];

/// Writes tieline's own skills below `directory`, which is private, there and nobody else's, and
/// returns the directory that holds them. Removes those of other versions.
pub(super) fn write(directory: &Path) -> io::Result<PathBuf> {
    write_all(directory, &BUNDLED)
}

/// Returns the directories that hold directories of skills, each once: those that the operator has
/// named come first. One that is a skill itself is found in its parent.
pub(super) fn roots(configured: &[PathBuf], bundled: PathBuf) -> Vec<PathBuf> {
    let mut seen = BTreeSet::new();
    let holds = |directory: &PathBuf| match directory.parent() {
        Some(parent) if directory.join(SKILL).is_file() => parent.to_owned(),
        _ => directory.clone(),
    };
    configured
        .iter()
        .map(holds)
        .chain([bundled])
        // The same directory may be named in several ways.
        .filter(|root| seen.insert(root.canonicalize().unwrap_or_else(|_| root.clone())))
        .collect()
}

fn write_all(directory: &Path, skills: &[(&str, &str)]) -> io::Result<PathBuf> {
    let name = name_of(skills);
    let root = directory.join(&name);
    if !is_written(&root, skills) {
        // Nobody else writes here, so what an earlier start has left under this name is its own.
        let unfinished = directory.join("unfinished");
        remove(&unfinished)?;
        remove(&root)?;
        private_directory(&unfinished)?;
        for (skill, text) in skills {
            let place = unfinished.join(skill);
            private_directory(&place)?;
            let mut options = fs::OpenOptions::new();
            let options = options.write(true).create_new(true).mode(0o600);
            options
                .open(place.join(SKILL))?
                .write_all(text.as_bytes())?;
        }
        fs::rename(&unfinished, &root)?;
    }
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_name() != OsStr::new(&name) {
            remove(&entry.path())?;
        }
    }
    Ok(root)
}

/// Names a set of skills by the version and by what is in them: builds of one version may differ.
fn name_of(skills: &[(&str, &str)]) -> String {
    let mut hasher = DefaultHasher::new();
    skills.hash(&mut hasher);
    format!("{}-{:016x}", env!("CARGO_PKG_VERSION"), hasher.finish())
}

/// Returns whether all of it is there as it should be: a crash may have left files without content.
fn is_written(root: &Path, skills: &[(&str, &str)]) -> bool {
    let n_entries = fs::read_dir(root).map_or(0, Iterator::count);
    n_entries == skills.len()
        && skills.iter().all(|(skill, text)| {
            let file = root.join(skill).join(SKILL);
            fs::read(file).is_ok_and(|content| content == text.as_bytes())
        })
}

fn private_directory(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().mode(0o700).create(path)
}

/// Removes whatever is there, if anything.
fn remove(path: &Path) -> io::Result<()> {
    let removed = match path.symlink_metadata() {
        Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use pretty_assertions::assert_eq;

    use super::*;

    const OURS: [(&str, &str); 2] = [("a", "the first\n"), ("b", "the second\n")];

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    fn names(directory: &Path) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(directory)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn skills_are_written_privately_and_a_second_time_nothing_is_touched() {
        let at = tempfile::tempdir().unwrap();
        let root = write_all(at.path(), &OURS).unwrap();
        assert_eq!(names(&root), ["a", "b"]);
        let file = root.join("b/SKILL.md");
        assert_eq!(fs::read_to_string(&file).unwrap(), "the second\n");
        assert_eq!(
            [mode(&root), mode(&root.join("b")), mode(&file)],
            [0o700, 0o700, 0o600]
        );
        let before = fs::metadata(&file).unwrap().modified().unwrap();
        assert_eq!(write_all(at.path(), &OURS).unwrap(), root);
        assert_eq!(fs::metadata(&file).unwrap().modified().unwrap(), before);
    }

    #[test]
    fn what_is_damaged_is_written_anew() {
        let at = tempfile::tempdir().unwrap();
        let root = write_all(at.path(), &OURS).unwrap();
        let file = root.join("a/SKILL.md");
        let damages: [&dyn Fn(); 4] = [
            &|| fs::write(&file, "").unwrap(),
            &|| fs::remove_file(&file).unwrap(),
            &|| fs::create_dir(root.join("c")).unwrap(),
            &|| {
                // An earlier start did not come to its end.
                fs::rename(&root, at.path().join("unfinished")).unwrap();
            },
        ];
        for damage in damages {
            damage();
            assert_eq!(write_all(at.path(), &OURS).unwrap(), root);
            assert_eq!(names(at.path()).len(), 1);
            assert_eq!(names(&root), ["a", "b"]);
            assert_eq!(fs::read_to_string(&file).unwrap(), "the first\n");
        }
    }

    #[test]
    fn those_of_another_build_are_removed_and_nothing_outside() {
        let at = tempfile::tempdir().unwrap();
        let directory = at.path().join("skills");
        fs::create_dir(&directory).unwrap();
        fs::write(at.path().join("outside"), "").unwrap();
        symlink("../outside", directory.join("link")).unwrap();
        let old = write_all(&directory, &OURS).unwrap();
        let new = write_all(&directory, &[("a", "changed\n")]).unwrap();
        assert_ne!(old, new);
        assert_eq!(
            names(&directory),
            [new.file_name().unwrap().to_str().unwrap()]
        );
        assert!(at.path().join("outside").exists());
    }

    #[test]
    fn bundled_skills_have_the_front_matter_that_codex_wants() {
        for (name, text) in BUNDLED {
            let (front, body) = text
                .strip_prefix("---\n")
                .and_then(|text| text.split_once("\n---\n"))
                .unwrap();
            let lines: Vec<_> = front.lines().collect();
            assert_eq!(lines.len(), 2, "{front}");
            assert_eq!(lines[0], format!("name: {name}"));
            let description = lines[1].strip_prefix("description: ").unwrap();
            // What YAML would take for something else than a text.
            assert!(!description.contains(": ") && !description.contains(" #"));
            assert!(description.len() <= 1024 && !body.trim().is_empty());
        }
    }

    #[test]
    fn roots_are_what_holds_skills_each_once_the_operators_first() {
        let at = tempfile::tempdir().unwrap();
        let path = |name: &str| at.path().join(name);
        for skill in ["one/x", "one/y", "two/z"] {
            fs::create_dir_all(path(skill)).unwrap();
            fs::write(path(skill).join(SKILL), "").unwrap();
        }
        symlink("one", path("same")).unwrap();
        let cases: [(&[&str], &[&str]); 6] = [
            (&[], &["ours"]),
            (&["one"], &["one", "ours"]),
            (&["one/x", "one/y"], &["one", "ours"]),
            (&["two/z", "one", "two"], &["two", "one", "ours"]),
            (&["one", "same", "same/x", "ours"], &["one", "ours"]),
            // It may be filled later.
            (&["missing"], &["missing", "ours"]),
        ];
        for (configured, expected) in cases {
            let configured: Vec<_> = configured.iter().copied().map(path).collect();
            let expected: Vec<_> = expected.iter().copied().map(path).collect();
            assert_eq!(roots(&configured, path("ours")), expected);
        }
    }
}
