use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::process::Command;

use pretty_assertions::assert_eq;
use tempfile::TempDir;
use tokio::task::JoinSet;

use super::repository::read_list;
use super::*;

/// A repository with a commit, and a place for worktrees.
struct Place {
    directory: TempDir,
}

impl Place {
    fn new() -> Self {
        let place = Self::empty();
        fs::create_dir(place.repository()).unwrap();
        place.git(&["init", "-q", "-b", "main"]);
        place.commit(&place.repository(), "README");
        place
    }

    fn empty() -> Self {
        Self {
            directory: tempfile::tempdir().unwrap(),
        }
    }

    /// Where everything is, without symlinks.
    fn path(&self) -> PathBuf {
        self.directory.path().canonicalize().unwrap()
    }

    fn repository(&self) -> PathBuf {
        self.path().join("repository")
    }

    fn root(&self) -> PathBuf {
        self.path().join("state/worktrees/lead")
    }

    fn git(&self, arguments: &[&str]) -> String {
        self.git_in(&self.repository(), arguments)
    }

    #[track_caller]
    fn git_in(&self, directory: &Path, arguments: &[&str]) -> String {
        let output = Command::new("git")
            .args(["-c", "protocol.file.allow=always"])
            .args(arguments)
            .current_dir(directory)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .env("HOME", self.directory.path())
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_AUTHOR_NAME", "Ada")
            .env("GIT_AUTHOR_EMAIL", "ada@example.com")
            .env("GIT_COMMITTER_NAME", "Ada")
            .env("GIT_COMMITTER_EMAIL", "ada@example.com")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "git {arguments:?}: {said}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// Commits a file of this name, and returns the commit.
    fn commit(&self, tree: &Path, name: &str) -> String {
        fs::write(tree.join(name), name).unwrap();
        self.git_in(tree, &["add", name]);
        self.git_in(tree, &["commit", "-q", "-m", name]);
        self.git_in(tree, &["rev-parse", "HEAD"])
    }

    async fn plan(&self, name: &str) -> Result<Worktree, WorktreeError> {
        plan(&self.repository(), &self.root(), name).await
    }

    async fn made(&self, name: &str) -> Worktree {
        let worktree = self.plan(name).await.unwrap();
        make(&worktree).await.unwrap();
        worktree
    }

    /// Where git keeps its files for a worktree.
    fn git_dir(&self, name: &str) -> PathBuf {
        self.repository().join(".git/worktrees").join(name)
    }

    /// Everything that people have in their checkout: files, what is staged, and all refs.
    fn state(&self) -> (Vec<u8>, String, String) {
        let index = fs::read(self.repository().join(".git/index")).unwrap();
        let status = self.git(&["--no-optional-locks", "status", "--porcelain=2", "--branch"]);
        (index, status, self.git(&["for-each-ref"]))
    }

    fn worktrees(&self) -> usize {
        read_list(&self.git(&["worktree", "list", "--porcelain"])).len()
    }
}

fn kept(reason: &str) -> Left {
    Left::Kept {
        reason: reason.to_owned(),
    }
}

async fn left(worktree: &Worktree) -> Left {
    leave(worktree, false).await.unwrap()
}

// === planning ===

#[tokio::test]
async fn a_plan_says_where_and_changes_nothing() {
    let place = Place::new();
    let before = place.state();
    let worktree = place.plan("tests-1").await.unwrap();
    let expected = Worktree {
        repository: place.repository(),
        path: place.root().join("tests-1"),
        branch: "tieline/tests-1".to_owned(),
        inside: PathBuf::new(),
    };
    assert_eq!(worktree, expected);
    assert_eq!(worktree.cwd().to_str(), expected.path.to_str());
    assert_eq!(place.state(), before);
    assert!(!place.path().join("state").exists());
}

#[tokio::test]
async fn a_workspace_below_the_top_level_and_over_a_symlink_has_its_place_in_the_worktree() {
    let place = Place::new();
    let below = place.repository().join("crates/core");
    fs::create_dir_all(&below).unwrap();
    place.commit(&below, "lib.rs");
    let link = place.path().join("link");
    std::os::unix::fs::symlink(&below, &link).unwrap();
    let linked_state = place.path().join("linked-state");
    std::os::unix::fs::symlink(place.path().join("real-state"), &linked_state).unwrap();
    fs::create_dir(place.path().join("real-state")).unwrap();

    let worktree = plan(&link, &linked_state.join("lead"), "core")
        .await
        .unwrap();
    assert_eq!(worktree.repository, place.repository());
    assert_eq!(worktree.inside, Path::new("crates/core"));
    make(&worktree).await.unwrap();
    make(&worktree).await.unwrap();
    assert_eq!(worktree.path, place.path().join("real-state/lead/core"));
    assert_eq!(worktree.cwd(), worktree.path.join("crates/core"));
    assert!(worktree.cwd().join("lib.rs").exists());
    assert_eq!(left(&worktree).await, Left::Removed);
}

#[tokio::test]
async fn a_workspace_that_no_commit_has_is_an_empty_directory_and_no_change() {
    let place = Place::new();
    let below = place.repository().join("new/notes");
    fs::create_dir_all(&below).unwrap();
    fs::write(below.join("draft"), "").unwrap();
    let worktree = plan(&below, &place.root(), "notes").await.unwrap();
    make(&worktree).await.unwrap();
    assert!(worktree.cwd().is_dir());
    assert_eq!(left(&worktree).await, Left::Removed);
}

#[tokio::test]
async fn no_name_leads_anywhere_else() {
    let place = Place::new();
    let long = "a".repeat(41);
    for name in [
        "", "-f", "--force", "..", ".", "a/b", "../a", "/tmp/a", "a..b", "a.lock", "A", "ä", "a b",
        "a\n", "a\0", &long,
    ] {
        let refused = place.plan(name).await;
        assert!(matches!(refused, Err(WorktreeError::Name { .. })), "{name}");
    }
    place.plan(&"a".repeat(40)).await.unwrap();
}

#[tokio::test]
async fn what_cannot_have_a_worktree_is_told_apart() {
    let place = Place::new();
    let root = place.root();

    let elsewhere = tempfile::tempdir().unwrap();
    let refused = plan(elsewhere.path(), &root, "a").await;
    assert!(
        matches!(refused, Err(WorktreeError::NoRepository { .. })),
        "{refused:?}"
    );

    let refused = plan(&elsewhere.path().join("missing"), &root, "a").await;
    assert!(
        matches!(refused, Err(WorktreeError::Workspace { .. })),
        "{refused:?}"
    );

    let refused = plan(&place.repository().join(".git"), &root, "a").await;
    assert!(
        matches!(refused, Err(WorktreeError::NoWorkingTree { .. })),
        "{refused:?}"
    );

    place.git_in(elsewhere.path(), &["init", "-q", "-b", "main"]);
    let refused = plan(elsewhere.path(), &root, "a").await;
    assert!(
        matches!(refused, Err(WorktreeError::NoCommit { .. })),
        "{refused:?}"
    );

    place.git_in(elsewhere.path(), &["init", "-q", "--bare", "bare"]);
    let refused = plan(&elsewhere.path().join("bare"), &root, "a").await;
    assert!(
        matches!(refused, Err(WorktreeError::NoWorkingTree { .. })),
        "{refused:?}"
    );
}

#[tokio::test]
async fn a_branch_or_place_that_is_taken_is_not_planned_with() {
    let place = Place::new();
    place.git(&["branch", "tieline/a"]);
    place.git(&["branch", "tieline/b/c"]);
    for (name, taken) in [("a", "tieline/a"), ("b", "tieline/b/c")] {
        let refused = place.plan(name).await;
        assert!(
            matches!(&refused, Err(WorktreeError::BranchTaken { branch }) if branch == taken),
            "{refused:?}"
        );
    }
    place.plan("aa").await.unwrap();

    fs::create_dir_all(place.root().join("d")).unwrap();
    let refused = place.plan("d").await;
    assert!(
        matches!(refused, Err(WorktreeError::PathTaken { .. })),
        "{refused:?}"
    );

    let other = Place::new();
    other.git(&["branch", "tieline"]);
    let refused = other.plan("a").await;
    assert!(
        matches!(refused, Err(WorktreeError::BranchBlocked { .. })),
        "{refused:?}"
    );
}

#[tokio::test]
async fn a_path_that_cannot_be_recorded_is_refused() {
    let place = Place::new();
    for odd in [OsStr::from_bytes(b"\xff"), OsStr::new("a\nb")] {
        let refused = plan(&place.repository(), &place.root().join(odd), "a").await;
        assert!(
            matches!(refused, Err(WorktreeError::OddPath { .. })),
            "{refused:?}"
        );
    }
}

#[tokio::test]
async fn a_worktree_survives_being_recorded() {
    let worktree = Place::new().plan("a").await.unwrap();
    let recorded = serde_json::to_string(&worktree).unwrap();
    assert_eq!(
        serde_json::from_str::<Worktree>(&recorded).unwrap(),
        worktree
    );
}

// === making ===

#[tokio::test]
async fn a_worktree_begins_at_what_is_checked_out_when_it_is_made() {
    let place = Place::new();
    let worktree = place.plan("a").await.unwrap();
    let head = place.commit(&place.repository(), "later");
    make(&worktree).await.unwrap();
    assert_eq!(place.git_in(&worktree.path, &["rev-parse", "HEAD"]), head);
    let branch = place.git_in(&worktree.path, &["branch", "--show-current"]);
    assert_eq!(branch, "tieline/a");
}

#[tokio::test]
async fn the_checkout_of_people_is_not_touched() {
    let place = Place::new();
    fs::write(place.repository().join("README"), "changed").unwrap();
    fs::write(place.repository().join("staged"), "").unwrap();
    place.git(&["add", "staged"]);
    fs::write(place.repository().join("untracked"), "").unwrap();
    // Always: a setting that makes branches follow the one that they begin at.
    place.git(&["config", "branch.autoSetupMerge", "always"]);
    let config = fs::read(place.repository().join(".git/config")).unwrap();
    let (index, status, _) = place.state();

    let worktree = place.made("a").await;
    assert!(!worktree.path.join("untracked").exists());
    assert_eq!(left(&worktree).await, Left::Removed);

    let (index_after, status_after, _) = place.state();
    assert_eq!((index_after, status_after), (index, status));
    assert_eq!(
        fs::read(place.repository().join(".git/config")).unwrap(),
        config
    );
}

#[tokio::test]
async fn making_again_changes_nothing() {
    let place = Place::new();
    let worktree = place.made("a").await;
    let commit = place.commit(&worktree.path, "work");
    fs::write(worktree.path.join("draft"), "").unwrap();
    place.git_in(&worktree.path, &["switch", "-q", "-c", "other"]);
    make(&worktree).await.unwrap();
    assert!(worktree.path.join("draft").exists());
    assert_eq!(place.git_in(&worktree.path, &["rev-parse", "HEAD"]), commit);
    assert_eq!(place.worktrees(), 2);
}

#[tokio::test]
async fn no_program_that_the_repository_names_is_run() {
    let place = Place::new();
    let witness = place.path().join("ran");
    let hook = place.path().join("hooks/post-checkout");
    fs::create_dir(hook.parent().unwrap()).unwrap();
    fs::write(&hook, format!("#!/bin/sh\ntouch {}\n", witness.display())).unwrap();
    Command::new("chmod").arg("+x").arg(&hook).status().unwrap();
    place.git(&[
        "config",
        "core.hooksPath",
        hook.parent().unwrap().to_str().unwrap(),
    ]);
    place.git(&["config", "core.fsmonitor", hook.to_str().unwrap()]);
    let worktree = place.made("a").await;
    assert_eq!(left(&worktree).await, Left::Removed);
    assert!(!witness.exists());
}

#[tokio::test]
async fn what_git_left_half_made_is_made_again() {
    let place = Place::new();
    let worktree = place.made("a").await;
    fs::write(place.git_dir("a").join("locked"), "initializing").unwrap();
    fs::remove_file(worktree.path.join(".git")).unwrap();
    fs::write(worktree.path.join("README"), "half of i").unwrap();
    make(&worktree).await.unwrap();
    assert_eq!(place.git_in(&worktree.path, &["status", "--porcelain"]), "");
    assert_eq!(place.worktrees(), 2);
    assert_eq!(left(&worktree).await, Left::Removed);

    // Also when even the directory was not there yet.
    let worktree = place.plan("b").await.unwrap();
    make(&worktree).await.unwrap();
    fs::write(place.git_dir("b").join("locked"), "initializing").unwrap();
    fs::remove_dir_all(&worktree.path).unwrap();
    make(&worktree).await.unwrap();
    assert!(worktree.path.join("README").exists());
    assert_eq!(left(&worktree).await, Left::Removed);
}

#[tokio::test]
async fn a_git_that_is_broken_off_goes_with_all_that_it_started_and_is_made_up_for() {
    let place = Place::new();
    fs::write(
        place.repository().join(".gitattributes"),
        "slow filter=slow",
    )
    .unwrap();
    place.git(&["add", ".gitattributes"]);
    place.commit(&place.repository(), "slow");
    let started = place.path().join("started");
    Command::new("mkfifo").arg(&started).status().unwrap();
    let smudge = format!("cat; echo > '{}'; sleep 600", started.display());
    place.git(&["config", "filter.slow.smudge", &smudge]);

    let worktree = place.plan("a").await.unwrap();
    let mut making = JoinSet::new();
    let ours = worktree.clone();
    making.spawn(async move { make(&ours).await });
    // It is read when the checkout has come to the file.
    tokio::fs::read(&started).await.unwrap();
    making.shutdown().await;
    assert!(place.git_dir("a").join("locked").exists());

    place.git(&["config", "filter.slow.smudge", "cat"]);
    make(&worktree).await.unwrap();
    assert_eq!(fs::read(worktree.path.join("slow")).unwrap(), b"slow");
    assert_eq!(left(&worktree).await, Left::Removed);
}

#[tokio::test]
async fn a_directory_that_git_does_not_know_is_moved_aside() {
    let place = Place::new();
    let worktree = place.plan("a").await.unwrap();
    for number in 1..=2 {
        fs::create_dir_all(&worktree.path).unwrap();
        fs::write(worktree.path.join("work"), "").unwrap();
        make(&worktree).await.unwrap();
        assert!(worktree.path.join("README").exists());
        assert!(!worktree.path.join("work").exists());
        let aside = place.root().join(format!("a.aside-{number}"));
        assert!(aside.join("work").exists());
        assert_eq!(left(&worktree).await, Left::Removed);
    }
    // An empty one is nobody's.
    fs::create_dir_all(&worktree.path).unwrap();
    make(&worktree).await.unwrap();
    assert!(!place.root().join("a.aside-3").exists());
}

#[tokio::test]
async fn a_worktree_without_its_way_back_is_mended_with_all_that_is_in_it() {
    let place = Place::new();
    let worktree = place.made("a").await;
    fs::write(worktree.path.join("work"), "").unwrap();
    fs::remove_file(worktree.path.join(".git")).unwrap();
    make(&worktree).await.unwrap();
    let status = place.git_in(&worktree.path, &["status", "--porcelain"]);
    assert_eq!(status, "?? work");
}

#[tokio::test]
async fn a_worktree_that_cannot_be_mended_is_moved_aside() {
    let place = Place::new();
    let worktree = place.made("a").await;
    fs::remove_file(worktree.path.join(".git")).unwrap();
    place.git_in(&worktree.path, &["init", "-q"]);
    make(&worktree).await.unwrap();
    assert!(worktree.path.join(".git").is_file());
    assert!(place.root().join("a.aside-1/.git").is_dir());
    assert_eq!(place.worktrees(), 2);
}

#[tokio::test]
async fn a_worktree_whose_directory_was_deleted_is_made_again_with_its_commits() {
    let place = Place::new();
    for is_locked in [false, true] {
        let worktree = place.made(if is_locked { "a" } else { "b" }).await;
        let commit = place.commit(&worktree.path, "work");
        if is_locked {
            place.git(&["worktree", "lock", worktree.path.to_str().unwrap()]);
        }
        fs::remove_dir_all(&worktree.path).unwrap();
        make(&worktree).await.unwrap();
        assert_eq!(place.git_in(&worktree.path, &["rev-parse", "HEAD"]), commit);
    }
    assert_eq!(place.worktrees(), 3);
}

#[tokio::test]
async fn a_branch_that_an_earlier_try_made_is_taken() {
    let place = Place::new();
    let worktree = place.plan("a").await.unwrap();
    place.git(&["branch", "tieline/a"]);
    place.commit(&place.repository(), "later");
    make(&worktree).await.unwrap();
    let head = place.git_in(&worktree.path, &["rev-parse", "HEAD"]);
    assert_eq!(head, place.git(&["rev-parse", "tieline/a"]));
    assert_eq!(head, place.git(&["rev-parse", "main~1"]));
}

#[tokio::test]
async fn a_branch_that_somebody_else_has_checked_out_is_not_taken() {
    let place = Place::new();
    let worktree = place.plan("a").await.unwrap();
    place.git(&["switch", "-q", "-c", "tieline/a"]);
    let refused = make(&worktree).await;
    assert!(
        matches!(&refused, Err(WorktreeError::BranchInUse { at, .. }) if *at == place.repository()),
        "{refused:?}"
    );
    assert!(!worktree.path.exists());
}

#[tokio::test]
async fn a_repository_that_is_gone_is_told_as_that() {
    let place = Place::new();
    let worktree = place.plan("a").await.unwrap();
    fs::remove_dir_all(place.repository()).unwrap();
    let refused = make(&worktree).await;
    assert!(
        matches!(refused, Err(WorktreeError::RepositoryGone { .. })),
        "{refused:?}"
    );
}

#[tokio::test]
async fn worktrees_of_a_bare_repository_and_of_a_worktree_are_made_like_any() {
    let place = Place::new();
    place.git(&["clone", "-q", "--bare", ".", "../bare"]);
    let bare = place.path().join("bare");
    place.git_in(&bare, &["worktree", "add", "-q", "../linked", "main"]);
    let linked = place.path().join("linked");
    let worktree = plan(&linked, &place.root(), "a").await.unwrap();
    assert_eq!(worktree.repository, linked);
    make(&worktree).await.unwrap();
    assert!(worktree.path.join("README").exists());
    assert_eq!(left(&worktree).await, Left::Removed);
}

#[tokio::test]
async fn a_commit_without_a_branch_is_as_good_to_begin_from() {
    let place = Place::new();
    place.git(&["switch", "-q", "--detach"]);
    let head = place.commit(&place.repository(), "on no branch");
    let worktree = place.made("a").await;
    assert_eq!(place.git_in(&worktree.path, &["rev-parse", "HEAD"]), head);
    assert_eq!(left(&worktree).await, Left::Removed);
}

#[tokio::test]
async fn a_lock_of_another_git_is_told_as_that() {
    let place = Place::new();
    let worktree = place.plan("a").await.unwrap();
    let lock = place.repository().join(".git/refs/heads/tieline/a.lock");
    fs::create_dir_all(lock.parent().unwrap()).unwrap();
    fs::write(&lock, "").unwrap();
    let refused = make_now(&worktree).await;
    assert!(
        matches!(&refused, Err(WorktreeError::Locked { said }) if said.contains("a.lock")),
        "{refused:?}"
    );
    fs::remove_file(&lock).unwrap();
    make_now(&worktree).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_lock_is_waited_for_but_not_for_ever() {
    let locked = || WorktreeError::Locked {
        said: String::new(),
    };
    let mut failures = vec![locked(), locked(), locked()];
    let failures = std::cell::RefCell::new(&mut failures);
    let done = patiently(async || failures.borrow_mut().pop().map_or(Ok(7), Err)).await;
    assert_eq!(done.unwrap(), 7);

    let began_at = Instant::now();
    let ended = patiently(async || Err::<(), _>(locked())).await;
    assert!(matches!(ended, Err(WorktreeError::Locked { .. })));
    let waited = began_at.elapsed();
    assert!(waited >= PATIENCE && waited < PATIENCE * 2, "{waited:?}");

    let began_at = Instant::now();
    let ended = patiently(async || Err::<(), _>(WorktreeError::NoGit)).await;
    assert!(matches!(ended, Err(WorktreeError::NoGit)));
    assert!(began_at.elapsed().is_zero());
}

// === leaving ===

#[tokio::test]
async fn a_branch_that_is_merged_stays_when_its_worktree_goes() {
    let place = Place::new();
    let worktree = place.made("a").await;
    place.commit(&worktree.path, "one");
    let commit = place.commit(&worktree.path, "two");
    let reason = kept("branch tieline/a has 2 commits that no other branch has");
    assert_eq!(left(&worktree).await, reason);
    assert!(worktree.path.join("two").exists());

    place.git(&["merge", "-q", "--no-ff", "-m", "merge", "tieline/a"]);
    assert_eq!(left(&worktree).await, Left::Removed);
    assert!(!worktree.path.exists());
    assert_eq!(place.git(&["rev-parse", "tieline/a"]), commit);
    assert_eq!(place.worktrees(), 1);
    assert_eq!(left(&worktree).await, Left::Gone);
}

#[tokio::test]
async fn a_branch_that_a_remote_has_is_merged() {
    let place = Place::new();
    place.git(&["clone", "-q", "--bare", ".", "../remote"]);
    place.git(&["remote", "add", "origin", "../remote"]);
    let worktree = place.made("a").await;
    place.commit(&worktree.path, "one");
    let reason = kept("branch tieline/a has 1 commit that no other branch has");
    assert_eq!(left(&worktree).await, reason);
    place.git(&["push", "-q", "origin", "tieline/a"]);
    assert_eq!(left(&worktree).await, Left::Removed);
}

#[tokio::test]
async fn whatever_is_not_committed_keeps_a_worktree() {
    let place = Place::new();
    let worktree = place.made("a").await;
    place.git(&["config", "status.showUntrackedFiles", "no"]);
    fs::write(worktree.path.join("README"), "changed").unwrap();
    assert_eq!(left(&worktree).await, kept("it has 1 uncommitted change"));
    fs::write(worktree.path.join("untracked"), "").unwrap();
    fs::write(worktree.path.join("staged"), "").unwrap();
    place.git_in(&worktree.path, &["add", "staged"]);
    assert_eq!(left(&worktree).await, kept("it has 3 uncommitted changes"));
    place.git_in(&worktree.path, &["reset", "-q", "--hard"]);
    assert_eq!(left(&worktree).await, kept("it has 1 uncommitted change"));
    fs::remove_file(worktree.path.join("untracked")).unwrap();
    assert_eq!(left(&worktree).await, Left::Removed);
}

#[tokio::test]
async fn ignored_files_go_with_their_worktree() {
    let place = Place::new();
    fs::write(place.repository().join(".git/info/exclude"), "target\n").unwrap();
    let worktree = place.made("a").await;
    fs::create_dir(worktree.path.join("target")).unwrap();
    fs::write(worktree.path.join("target/built"), "").unwrap();
    assert_eq!(left(&worktree).await, Left::Removed);
    assert!(!worktree.path.exists());
}

#[tokio::test]
async fn force_removes_everything_but_the_commits() {
    let place = Place::new();
    let worktree = place.made("a").await;
    let commit = place.commit(&worktree.path, "one");
    fs::write(worktree.path.join("README"), "changed").unwrap();
    fs::write(worktree.path.join("untracked"), "").unwrap();
    place.git(&["worktree", "lock", worktree.path.to_str().unwrap()]);
    assert_eq!(leave(&worktree, true).await.unwrap(), Left::Removed);
    assert!(!worktree.path.exists());
    assert!(!doomed(&worktree.path).exists());
    assert_eq!(place.worktrees(), 1);
    assert_eq!(place.git(&["rev-parse", "tieline/a"]), commit);
    assert_eq!(place.git(&["show", "tieline/a:one"]), "one");
}

#[tokio::test]
async fn a_locked_worktree_is_kept() {
    let place = Place::new();
    let worktree = place.made("a").await;
    let path = worktree.path.to_str().unwrap();
    place.git(&["worktree", "lock", path]);
    assert_eq!(left(&worktree).await, kept("it is locked"));
    place.git(&["worktree", "unlock", path]);
    place.git(&["worktree", "lock", "--reason", "Ada looks at it", path]);
    assert_eq!(left(&worktree).await, kept("it is locked: Ada looks at it"));
}

#[tokio::test]
async fn commits_on_no_branch_keep_a_worktree() {
    let place = Place::new();
    let worktree = place.made("a").await;
    place.git_in(&worktree.path, &["switch", "-q", "--detach"]);
    place.commit(&worktree.path, "one");
    assert_eq!(
        left(&worktree).await,
        kept("it has 1 commit that no branch has")
    );
    // They would be gone with the worktree even if its files are.
    fs::remove_dir_all(&worktree.path).unwrap();
    assert_eq!(
        left(&worktree).await,
        kept("it has 1 commit that no branch has")
    );
    make(&worktree).await.unwrap();
}

#[tokio::test]
async fn a_worktree_with_another_branch_goes_and_that_branch_stays() {
    let place = Place::new();
    let worktree = place.made("a").await;
    place.git_in(&worktree.path, &["switch", "-q", "-c", "other"]);
    let commit = place.commit(&worktree.path, "one");
    place.git(&["branch", "-D", "tieline/a"]);
    assert_eq!(left(&worktree).await, Left::Removed);
    assert_eq!(place.git(&["rev-parse", "other"]), commit);
}

#[tokio::test]
async fn what_is_not_there_is_gone() {
    let place = Place::new();
    let worktree = place.plan("a").await.unwrap();
    assert_eq!(left(&worktree).await, Left::Gone);
    make(&worktree).await.unwrap();
    place.commit(&worktree.path, "one");
    fs::remove_dir_all(&worktree.path).unwrap();
    assert_eq!(left(&worktree).await, Left::Gone);
    assert_eq!(place.worktrees(), 1);
    assert_eq!(leave(&worktree, true).await.unwrap(), Left::Gone);
}

#[tokio::test]
async fn a_removal_that_was_broken_off_is_finished() {
    let place = Place::new();
    let worktree = place.made("a").await;
    // After the first step: the directory has its other name.
    fs::rename(&worktree.path, doomed(&worktree.path)).unwrap();
    assert_eq!(left(&worktree).await, Left::Removed);
    assert!(!doomed(&worktree.path).exists());
    assert_eq!(place.worktrees(), 1);
    // After the second: git has forgotten it as well.
    fs::create_dir_all(doomed(&worktree.path)).unwrap();
    assert_eq!(left(&worktree).await, Left::Removed);
    assert_eq!(left(&worktree).await, Left::Gone);
    // A name that is used again begins afresh.
    fs::create_dir_all(doomed(&worktree.path)).unwrap();
    make(&worktree).await.unwrap();
    assert!(!doomed(&worktree.path).exists());
}

#[tokio::test]
async fn what_git_left_half_made_is_removed() {
    let place = Place::new();
    let worktree = place.made("a").await;
    fs::write(place.git_dir("a").join("locked"), "initializing").unwrap();
    fs::remove_file(worktree.path.join("README")).unwrap();
    assert_eq!(left(&worktree).await, Left::Removed);
    assert_eq!(place.worktrees(), 1);
}

#[tokio::test]
async fn a_directory_that_git_does_not_know_is_kept_unless_forced() {
    let place = Place::new();
    let worktree = place.plan("a").await.unwrap();
    fs::create_dir_all(&worktree.path).unwrap();
    assert_eq!(left(&worktree).await, Left::Gone);
    assert!(!worktree.path.exists());
    fs::create_dir_all(&worktree.path).unwrap();
    fs::write(worktree.path.join("work"), "").unwrap();
    let reason = kept("git does not know it as a worktree any more");
    assert_eq!(left(&worktree).await, reason);
    assert_eq!(leave(&worktree, true).await.unwrap(), Left::Removed);
    assert!(!worktree.path.exists());
}

#[tokio::test]
async fn a_worktree_that_leads_to_another_repository_is_led_back_before_it_is_judged() {
    let place = Place::new();
    let worktree = place.made("a").await;
    // There, nothing would be a change.
    let other = Place::new();
    other.git(&["worktree", "add", "-q", "-b", "x", "../x"]);
    let foreign = fs::read(other.path().join("x/.git")).unwrap();
    fs::write(worktree.path.join(".git"), &foreign).unwrap();
    other.commit(&other.path().join("x"), "work");
    fs::write(worktree.path.join("work"), "work").unwrap();
    assert_eq!(left(&worktree).await, kept("it has 1 uncommitted change"));

    fs::remove_file(worktree.path.join(".git")).unwrap();
    place.git_in(&worktree.path, &["init", "-q"]);
    let reason = kept("its directory does not lead to its repository any more");
    assert_eq!(left(&worktree).await, reason);
    assert_eq!(leave(&worktree, true).await.unwrap(), Left::Removed);
    assert_eq!(place.worktrees(), 1);
}

#[tokio::test]
async fn without_its_repository_a_worktree_is_kept_unless_forced() {
    let place = Place::new();
    let worktree = place.made("a").await;
    let missing = place.plan("b").await.unwrap();
    let reason = kept("its repository is not there any more");
    fs::remove_dir_all(place.repository().join(".git")).unwrap();
    assert_eq!(left(&worktree).await, reason);
    fs::remove_dir_all(place.repository()).unwrap();
    assert_eq!(left(&worktree).await, reason);
    assert_eq!(left(&missing).await, Left::Gone);
    assert_eq!(leave(&worktree, true).await.unwrap(), Left::Removed);
    assert!(!worktree.path.exists());
}

#[tokio::test]
async fn submodules_keep_a_worktree_only_for_what_would_be_lost() {
    let place = Place::new();
    let library = Place::new();
    let library = library.repository();
    place.git(&[
        "submodule",
        "--quiet",
        "add",
        library.to_str().unwrap(),
        "deps/library",
    ]);
    place.git(&["commit", "-q", "-m", "library"]);
    let worktree = place.made("a").await;
    assert_eq!(left(&worktree).await, Left::Removed);

    let worktree = place.plan("b").await.unwrap();
    make(&worktree).await.unwrap();
    place.git_in(
        &worktree.path,
        &["submodule", "--quiet", "update", "--init"],
    );
    let submodule = worktree.path.join("deps/library");
    let published = place.git_in(&submodule, &["rev-parse", "HEAD"]);
    place.git_in(&worktree.path, &["config", "diff.ignoreSubmodules", "all"]);
    place.commit(&submodule, "fix");
    assert_eq!(left(&worktree).await, kept("it has 1 uncommitted change"));

    place.git_in(&submodule, &["branch", "fix"]);
    place.git_in(&submodule, &["checkout", "-q", &published]);
    let reason = kept("its submodules have 1 commit that no remote has");
    assert_eq!(left(&worktree).await, reason);

    place.git_in(&submodule, &["branch", "-D", "fix"]);
    let reason = "it has files in 1 submodule, which may be changed";
    assert_eq!(left(&worktree).await, kept(reason));
    place.git_in(&worktree.path, &["submodule", "--quiet", "deinit", "--all"]);
    assert_eq!(left(&worktree).await, Left::Removed);
    assert_eq!(place.worktrees(), 1);
}

#[tokio::test]
async fn a_directory_that_poses_as_the_files_of_a_repository_is_none() {
    let place = Place::empty();
    let posing = place.repository();
    fs::create_dir(&posing).unwrap();
    place.git(&["init", "-q", "--bare", "-b", "main"]);
    place.git(&["config", "core.bare", "false"]);
    place.git(&["config", "core.worktree", posing.to_str().unwrap()]);
    place.commit(&posing, "README");
    let refused = place.plan("a").await;
    assert!(
        matches!(refused, Err(WorktreeError::NoWorkingTree { .. })),
        "{refused:?}"
    );
}

#[tokio::test]
async fn nothing_is_run_that_the_settings_of_a_submodule_name() {
    let place = Place::new();
    let library = Place::new();
    let library = library.repository();
    let library = library.to_str().unwrap();
    place.git(&["submodule", "--quiet", "add", library, "library"]);
    place.git(&["commit", "-q", "-m", "library"]);
    let worktree = place.made("a").await;
    // A repository of its own, as anybody can make it who may write there.
    place.git_in(&worktree.path, &["clone", "-q", library, "library"]);
    let submodule = worktree.path.join("library");
    let mark = place.path().join("mark");
    let filter = format!("touch '{}'; cat", mark.display());
    place.git_in(&submodule, &["config", "filter.evil.clean", &filter]);
    place.git_in(&submodule, &["config", "core.fsmonitor", &filter]);
    fs::write(submodule.join(".git/info/attributes"), "* filter=evil").unwrap();
    // Of the same size, so that git has to look.
    fs::write(submodule.join("README"), "EMDAER").unwrap();
    let left = left(&worktree).await;
    assert!(!mark.exists(), "what the submodule names was run");
    let reason = "it has files in 1 submodule, which may be changed";
    assert_eq!(left, kept(reason));
    make(&worktree).await.unwrap();
    assert_eq!(leave(&worktree, true).await.unwrap(), Left::Removed);
    assert!(!mark.exists(), "what the submodule names was run");
}

#[tokio::test]
async fn read_only_directories_can_be_removed() {
    let place = Place::empty();
    let cache = place.path().join("cache");
    let module = cache.join("module");
    fs::create_dir_all(&module).unwrap();
    for path in [&module, &cache] {
        Command::new("chmod")
            .arg("a=rx")
            .arg(path)
            .status()
            .unwrap();
    }
    files::make_removable(&cache).await.unwrap();
    for path in [&module, &cache] {
        assert!(!fs::metadata(path).unwrap().permissions().readonly());
    }
}

// === together ===

#[tokio::test(flavor = "multi_thread")]
async fn ten_worktrees_are_made_and_left_at_once_while_people_commit() {
    let place = Place::new();
    let mut teammates = JoinSet::new();
    for number in 0..10 {
        let worktree = place.plan(&format!("mate-{number}")).await.unwrap();
        teammates.spawn(async move {
            // Twice, as after a restart.
            let (one, other) = tokio::join!(make(&worktree), make(&worktree));
            one.unwrap();
            other.unwrap();
            assert!(worktree.path.join("README").exists());
            if number % 2 == 1 {
                fs::write(worktree.path.join("draft"), "").unwrap();
            }
            let (one, other) = tokio::join!(leave(&worktree, false), leave(&worktree, false));
            (number, one.unwrap(), other.unwrap())
        });
    }
    for number in 0..10 {
        place.commit(&place.repository(), &format!("people-{number}"));
    }
    for (number, one, other) in teammates.join_all().await {
        let both = [one, other];
        if number % 2 == 1 {
            let reason = kept("it has 1 uncommitted change");
            assert_eq!(both, [reason.clone(), reason]);
        } else {
            assert!(
                both.contains(&Left::Removed) && both.contains(&Left::Gone),
                "{both:?}"
            );
        }
    }
    assert_eq!(place.worktrees(), 6);
    assert_eq!(
        place
            .git(&["branch", "--list", "tieline/*"])
            .lines()
            .count(),
        10
    );
    assert_eq!(place.git(&["fsck", "--no-dangling", "--no-progress"]), "");
}

#[test]
fn the_list_of_worktrees_is_read_with_what_newer_gits_add() {
    let list = "worktree /r\nbare\n\nworktree /a b\nHEAD 12\nbranch refs/heads/tieline/a\n\n\
                worktree /c\nHEAD 34\ndetached\nlocked\nprunable gone\nunknown thing\n\n\
                worktree /d\nHEAD 56\nbranch refs/heads/d\nlocked initializing\n";
    let entry = |path: &str, checked_out, lock: Option<&str>| Registered {
        path: PathBuf::from(path),
        checked_out,
        lock: lock.map(str::to_owned),
    };
    let branch = |name: &str| Some(CheckedOut::Branch(name.to_owned()));
    let expected = [
        entry("/r", None, None),
        entry("/a b", branch("tieline/a"), None),
        entry("/c", Some(CheckedOut::Commit("34".to_owned())), Some("")),
        entry("/d", branch("d"), Some("initializing")),
    ];
    assert_eq!(read_list(list), expected);
    assert_eq!(
        expected.map(|it| it.is_half_made()),
        [false, false, false, true]
    );
}
