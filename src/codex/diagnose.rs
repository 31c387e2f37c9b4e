//! Looking whether an app-server could be started, and trying what can be tried without one.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Output;

use rustix::fs::{Access, access};
use tieline_channel::WithCauses;
use tieline_channel::setup::{Problem, Severity};
use tieline_channel::socket::MAX_PATH;

use super::binary::{self, BinaryError, TESTED_VERSION, Version};
use super::connect::connect;
use super::home::{self, HomeError};
use super::launch::{LaunchConfig, Transport};
use super::profile::Profile;
use super::registry;

/// How long the name of a socket in the run directory is: a slash, the mark and its ending.
const SOCKET_NAME: usize = 1 + 32 + 5;

/// How much of what codex prints is quoted, in characters.
const QUOTED: usize = 300;

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// What: `bin`, `version`, `profile`, `home`, `login`, `socket` or `endpoint`; when it was tried,
    /// `config` or `sandbox`.
    pub name: &'static str,
    /// What was found, or what is wrong and what to do about it. No secret is in it.
    pub found: Result<String, Problem>,
}

/// Looks at everything a start depends on, without a start. An external server is only connected to.
pub async fn diagnose(config: &LaunchConfig) -> Vec<Check> {
    if let Transport::External(endpoint) = &config.transport {
        let found = match connect(endpoint).await {
            Ok(_) => Ok(format!("{endpoint} accepts")),
            Err(error) => Err(wrong(
                WithCauses(&error).to_string(),
                "start the app-server there, or set `transport` under [codex]",
            )),
        };
        return vec![Check::new("endpoint", found)];
    }
    let found = binary::find(config.bin.as_deref(), &config.inherited);
    let version = match &found {
        Ok(path) => Some(binary::version(path, &config.inherited.minimal()).await),
        Err(_) => None,
    };
    let bin = found.map(|path| path.display().to_string());
    let mut checks = vec![Check::new("bin", bin.map_err(|error| no_binary(&error)))];
    checks.extend(version.map(|version| Check::new("version", judge_version(version))));
    if let Some(profile) = &config.profile {
        let found = profile.check().await;
        let found = found.map(|()| profile.name.clone()).map_err(|error| {
            wrong(
                WithCauses(&error).to_string(),
                "mend [profiles] in the configuration, or what it refers to",
            )
        });
        checks.push(Check::new("profile", found));
    }
    // Looking makes nothing: a private home is made at the start.
    let is_made_later = |profile: &Profile| profile.has_private_home && !config.home.exists();
    if !config.profile.as_ref().is_some_and(is_made_later) {
        checks.extend(check_home(config));
    }
    checks.push(Check::new("socket", check_socket(config)));
    checks
}

/// Tries what codex does before its first turn and what a turn depends on: reading its
/// configuration, and, when `sandboxed`, running a command in its sandbox. Takes about 0.2 s.
///
/// Empty for an external server, and when there is no codex to try.
pub async fn try_out(config: &LaunchConfig, sandboxed: bool) -> Vec<Check> {
    if matches!(config.transport, Transport::External(_)) {
        return Vec::new();
    }
    let Ok(path) = binary::find(config.bin.as_deref(), &config.inherited) else {
        return Vec::new();
    };
    let mut checks = vec![Check::new("config", try_config(config, &path).await)];
    if sandboxed {
        checks.push(Check::new("sandbox", try_sandbox(config, &path).await));
    }
    checks
}

fn judge_version(version: Result<Version, BinaryError>) -> Result<String, Problem> {
    let version = version
        .and_then(|version| version.check().map(|()| version))
        .map_err(|error| no_binary(&error))?;
    if version < TESTED_VERSION {
        return Err(Problem {
            severity: Severity::Warning,
            what: format!(
                "codex {version} is older than {TESTED_VERSION}, with which tieline is tested"
            ),
            remedy: format!("run `npm install -g @openai/codex@{TESTED_VERSION}`"),
        });
    }
    Ok(version.to_string())
}

/// Looks at the home, and whether somebody is logged in there.
fn check_home(config: &LaunchConfig) -> Vec<Check> {
    let checked = home::check(&config.home, &config.config);
    let mut checks = Vec::new();
    match &checked {
        Ok(_) | Err(HomeError::NoLogin(_)) => {
            checks.push(Check::new("home", check_privacy(&config.home)));
        }
        Err(error) => checks.push(Check::new("home", Err(no_home(error)))),
    }
    match checked {
        Ok(home) => checks.push(Check::new("login", check_login(config, &home))),
        Err(error @ HomeError::NoLogin(_)) => {
            checks.push(Check::new("login", Err(no_home(&error))));
        }
        Err(_) => {}
    }
    checks
}

/// Codex writes what was said into files that anybody may read: the directory has to be closed.
fn check_privacy(home: &Path) -> Result<String, Problem> {
    let shown = home.display();
    let Ok(metadata) = fs::metadata(home) else {
        return Ok(shown.to_string());
    };
    let mode = metadata.mode() & 0o777;
    let doubt = |what: String, remedy: String| Problem {
        severity: Severity::Warning,
        what,
        remedy,
    };
    if metadata.uid() != rustix::process::geteuid().as_raw() {
        return Err(doubt(
            format!("the codex home {shown} belongs to another user"),
            "run tieline as that user, or give it a home of its own by `home` under [codex]"
                .to_owned(),
        ));
    }
    if mode & 0o077 != 0 {
        return Err(doubt(
            format!(
                "the codex home {shown} is open to other users (mode {mode:03o}), and codex writes \
                 whole conversations there"
            ),
            format!("run `chmod 700 {shown}`"),
        ));
    }
    Ok(shown.to_string())
}

fn check_login(config: &LaunchConfig, home: &home::Home) -> Result<String, Problem> {
    let Some(provider) = &home.model_provider else {
        return Ok(if config.home.join("auth.json").is_file() {
            "auth.json is there".to_owned()
        } else {
            "with the keyring, which only codex can look into".to_owned()
        });
    };
    match &home.key_variable {
        None => Ok(format!(
            "the model provider {provider} takes no key from a variable"
        )),
        Some(name) => {
            let is_set = config.env.get(name).is_some_and(|value| !value.is_empty())
                || (config.inherited.get(name)).is_some_and(|value| !value.is_empty());
            if is_set {
                return Ok(format!("${name} is set, for the model provider {provider}"));
            }
            Err(wrong(
                format!("${name}, the key for the model provider {provider}, is not set"),
                &format!(
                    "set it where tieline is started, for a service in the file of its environment, or \
                     in `env` under [codex]; then look again with {name} set here too"
                ),
            ))
        }
    }
}

fn check_socket(config: &LaunchConfig) -> Result<String, Problem> {
    let length = config.run_dir.as_os_str().len() + SOCKET_NAME;
    let shown = config.run_dir.display();
    if config.transport == Transport::Unix && length > MAX_PATH {
        return Err(wrong(
            format!(
                "{shown} is too long: a socket there has {length} bytes, and {MAX_PATH} are possible"
            ),
            "set `state_dir` under [daemon] to a shorter path",
        ));
    }
    // Looking makes nothing: a directory that is not there yet is made at the start.
    if config.run_dir.exists() {
        registry::prepare(&config.run_dir).map_err(|error| {
            let causes = std::error::Error::source(&error)
                .map_or(String::new(), |cause| format!(": {cause}"));
            wrong(format!("{}{causes}", error.what()), &error.remedy())
        })?;
    }
    if config.transport == Transport::Unix {
        let user = rustix::process::geteuid().as_raw();
        check_codex_directory(Path::new(&format!("/tmp/codex-daemon-{user}")))?;
    }
    Ok(shown.to_string())
}

/// Looks at where codex puts the socket itself: ours is a link to it.
fn check_codex_directory(directory: &Path) -> Result<(), Problem> {
    let shown = directory.display();
    let metadata = match fs::symlink_metadata(directory) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let parent = directory.parent().unwrap_or(directory);
            return access(parent, Access::WRITE_OK | Access::EXEC_OK).map_err(|error| {
                wrong(
                    format!(
                        "codex makes its socket in {shown}, and {} is not writable: {error}",
                        parent.display()
                    ),
                    "make it writable, in a container by a volume; or set `transport = \"stdio\"` \
                     under [codex]",
                )
            });
        }
        Err(error) => {
            return Err(wrong(
                format!("{shown}, where codex makes its socket, cannot be looked at: {error}"),
                "see that this user may enter it",
            ));
        }
    };
    let is_ours = metadata.uid() == rustix::process::geteuid().as_raw();
    if !metadata.is_dir() || !is_ours || metadata.mode() & 0o777 != 0o700 {
        return Err(wrong(
            format!(
                "{shown}, where codex makes its socket, is not a directory of mode 0700 of this user"
            ),
            &format!("remove it (`rm -r {shown}`) when no codex runs: it makes a new one"),
        ));
    }
    Ok(())
}

/// Has codex read its configuration as it will at a start.
async fn try_config(config: &LaunchConfig, path: &Path) -> Result<String, Problem> {
    let mut arguments: Vec<OsString> = vec!["app-server".into(), "--print-startup-config".into()];
    for assignment in &config.config {
        arguments.extend(["-c".into(), assignment.into()]);
    }
    arguments.extend(config.args.iter().map(OsString::from));
    let output = run(config, path, &arguments).await?;
    let place = config.home.join("config.toml");
    match output.status.code() {
        Some(0) if place.exists() => Ok(format!("{} is understood", place.display())),
        Some(0) => Ok(format!(
            "{} has none; codex's defaults hold",
            config.home.display()
        )),
        // An older one does not know the question.
        Some(2) => Ok("this codex does not tell".to_owned()),
        _ => Err(wrong(
            format!("codex cannot read its configuration: {}", reason(&output)),
            &format!(
                "mend {}, or `config` under [codex], which is laid over it",
                place.display()
            ),
        )),
    }
}

/// Has codex run nothing, in its sandbox.
async fn try_sandbox(config: &LaunchConfig, path: &Path) -> Result<String, Problem> {
    let arguments = ["sandbox", "--", "/bin/sh", "-c", ":"].map(OsString::from);
    let output = run(config, path, &arguments).await?;
    match output.status.code() {
        Some(0) => Ok(
            if cfg!(target_os = "linux")
                && binary::on_path(Path::new("bwrap"), &config.inherited).is_none()
            {
                "a command ran in it, with the bubblewrap that comes with codex".to_owned()
            } else {
                "a command ran in it".to_owned()
            },
        ),
        Some(2) => Ok("this codex cannot be asked to try it".to_owned()),
        _ => Err(wrong(
            format!(
                "codex cannot run commands in its sandbox: {}",
                reason(&output)
            ),
            "install bubblewrap and allow user namespaces (`sysctl kernel.unprivileged_userns_clone=1`, on \
             Ubuntu `sysctl kernel.apparmor_restrict_unprivileged_userns=0`); in a container that keeps \
             everything else out, set `sandbox = \"danger-full-access\"`",
        )),
    }
}

async fn run(
    config: &LaunchConfig,
    path: &Path,
    arguments: &[OsString],
) -> Result<Output, Problem> {
    // No child of ours: nobody looks for this mark.
    let environment = config.environment("doctor", &[]);
    binary::ask(path, arguments, &environment)
        .await
        .map_err(|error| {
            wrong(
                format!("{} cannot be run: {error}", path.display()),
                "see that `bin` under [codex] is codex itself, and that this user may run it",
            )
        })
}

/// Returns what codex said of a failure: the message of an error in JSON, else its last telling line.
fn reason(output: &Output) -> String {
    let stdout = String::from_utf8_lossy(&output.stdout);
    let told = stdout.lines().find_map(|line| {
        let answer: serde_json::Value = serde_json::from_str(line).ok()?;
        Some(answer["error"]["message"].as_str()?.to_owned())
    });
    let stderr = String::from_utf8_lossy(&output.stderr);
    let last = || {
        let mut lines = stderr.lines().map(str::trim);
        let is_telling = |line: &&str| {
            !line.is_empty() && !line.starts_with("WARNING") && !line.starts_with("note:")
        };
        lines.find(is_telling).map(str::to_owned)
    };
    let text = told.or_else(last);
    let text = text.unwrap_or_else(|| format!("it ended with {}", output.status));
    text.chars()
        .filter(|c| !c.is_control())
        .take(QUOTED)
        .collect()
}

fn no_binary(error: &BinaryError) -> Problem {
    let cause =
        std::error::Error::source(error).map_or(String::new(), |cause| format!(": {cause}"));
    wrong(format!("{}{cause}", error.what()), error.remedy())
}

fn no_home(error: &HomeError) -> Problem {
    let cause =
        std::error::Error::source(error).map_or(String::new(), |cause| format!(": {cause}"));
    wrong(format!("{}{cause}", error.what()), &error.remedy())
}

fn wrong(what: String, remedy: &str) -> Problem {
    Problem {
        severity: Severity::Error,
        what,
        remedy: remedy.to_owned(),
    }
}

impl Check {
    fn new(name: &'static str, found: Result<String, Problem>) -> Self {
        Self { name, found }
    }

    /// Returns what is wrong so much that codex would not work.
    pub fn failed(&self) -> Option<&Problem> {
        let problem = self.found.as_ref().err();
        problem.filter(|problem| problem.severity == Severity::Error)
    }
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;
    use std::path::PathBuf;

    use tempfile::TempDir;

    use super::*;
    use crate::codex::Environment;

    /// A machine with a program that plays codex as `body` says.
    struct Machine {
        directory: TempDir,
        config: LaunchConfig,
    }

    impl Machine {
        fn new(body: &str) -> Self {
            let directory = tempfile::tempdir().unwrap();
            let at = directory.path();
            let bin = at.join("codex");
            fs::write(&bin, format!("#!/bin/sh\n{body}\n")).unwrap();
            fs::set_permissions(&bin, Permissions::from_mode(0o755)).unwrap();
            let home = at.join("home");
            fs::create_dir(&home).unwrap();
            fs::set_permissions(&home, Permissions::from_mode(0o700)).unwrap();
            fs::write(home.join("auth.json"), "{}").unwrap();
            let mut config = LaunchConfig::new("flow", home, at, at.join("run"), at.join("logs"));
            config.bin = Some(bin);
            config.inherited = Environment::from_iter([("PATH", "/bin:/usr/bin")]);
            Self { directory, config }
        }

        fn home(&self) -> PathBuf {
            self.directory.path().join("home")
        }

        async fn diagnosed(&self, name: &str) -> Result<String, Problem> {
            let checks = diagnose(&self.config).await;
            found(checks, name)
        }

        async fn tried(&self, name: &str) -> Result<String, Problem> {
            found(try_out(&self.config, true).await, name)
        }
    }

    fn found(checks: Vec<Check>, name: &str) -> Result<String, Problem> {
        let found = checks.into_iter().find(|check| check.name == name);
        found.unwrap_or_else(|| panic!("no check {name}")).found
    }

    fn assert_tells(found: Result<String, Problem>, severity: Severity, what: &str, remedy: &str) {
        let problem = found.unwrap_err();
        assert_eq!(problem.severity, severity, "{problem:?}");
        assert!(problem.what.contains(what), "{problem:?}");
        assert!(problem.remedy.contains(remedy), "{problem:?}");
    }

    const GOOD: &str = "echo codex-cli 0.169.0";

    #[tokio::test]
    async fn everything_in_order_is_told_with_what_it_is() {
        let machine = Machine::new(GOOD);
        let checks = diagnose(&machine.config).await;
        let names: Vec<_> = checks.iter().map(|check| check.name).collect();
        assert_eq!(names, ["bin", "version", "home", "login", "socket"]);
        assert!(checks.iter().all(|check| check.found.is_ok()), "{checks:?}");
        let checks = try_out(&machine.config, true).await;
        assert!(checks.iter().all(|check| check.found.is_ok()), "{checks:?}");
        assert_eq!(try_out(&machine.config, false).await.len(), 1);
    }

    #[tokio::test]
    async fn an_old_codex_is_a_doubt_and_one_that_is_too_old_is_wrong() {
        let machine = Machine::new("echo codex-cli 0.140.0");
        let found = machine.diagnosed("version").await;
        assert_tells(found, Severity::Warning, "0.140.0 is older", "@0.169.0");
        let machine = Machine::new("echo codex-cli 0.100.0");
        let found = machine.diagnosed("version").await;
        assert_tells(found, Severity::Error, "needs 0.137.0", "@latest");
        let machine = Machine::new("echo hello");
        let found = machine.diagnosed("version").await;
        assert_tells(found, Severity::Error, "hello", "`bin`");
    }

    #[tokio::test]
    async fn a_home_that_others_may_read_is_a_doubt() {
        let machine = Machine::new(GOOD);
        fs::set_permissions(machine.home(), Permissions::from_mode(0o755)).unwrap();
        let found = machine.diagnosed("home").await;
        assert_tells(found, Severity::Warning, "mode 755", "chmod 700");
    }

    #[tokio::test]
    async fn a_missing_login_and_a_missing_key_say_what_mends_them_and_no_value_is_told() {
        let mut machine = Machine::new(GOOD);
        fs::remove_file(machine.home().join("auth.json")).unwrap();
        let found = machine.diagnosed("login").await;
        assert_tells(found, Severity::Error, "nobody is logged in", "codex login");
        machine.config.config = vec![
            "model_provider=\"gw\"".to_owned(),
            "model_providers.gw.env_key=\"GW_KEY\"".to_owned(),
        ];
        let found = machine.diagnosed("login").await;
        assert_tells(found, Severity::Error, "$GW_KEY", "set it where");
        (machine.config.env).insert("GW_KEY".to_owned(), "sk-hunter2".to_owned());
        let told = machine.diagnosed("login").await.unwrap();
        assert_eq!(told, "$GW_KEY is set, for the model provider gw");
    }

    #[tokio::test]
    async fn a_run_directory_that_is_open_or_too_long_is_wrong() {
        let mut machine = Machine::new(GOOD);
        fs::create_dir(&machine.config.run_dir).unwrap();
        fs::set_permissions(&machine.config.run_dir, Permissions::from_mode(0o755)).unwrap();
        let found = machine.diagnosed("socket").await;
        assert_tells(found, Severity::Error, "mode 0700", "chmod 700");
        machine.config.run_dir = machine.directory.path().join("x".repeat(80));
        let found = machine.diagnosed("socket").await;
        assert_tells(found, Severity::Error, "too long", "`state_dir`");
    }

    #[test]
    fn where_codex_makes_its_socket_must_be_closed() {
        let directory = tempfile::tempdir().unwrap();
        let place = directory.path().join("codex-daemon-1");
        assert_eq!(check_codex_directory(&place), Ok(()));
        fs::create_dir(&place).unwrap();
        fs::set_permissions(&place, Permissions::from_mode(0o755)).unwrap();
        let found = check_codex_directory(&place).map(|()| String::new());
        assert_tells(found, Severity::Error, "mode 0700", "rm -r");
        fs::set_permissions(&place, Permissions::from_mode(0o700)).unwrap();
        assert_eq!(check_codex_directory(&place), Ok(()));
        let found = check_codex_directory(Path::new("/nonexistent/codex-daemon-1"));
        let found = found.map(|()| String::new());
        assert_tells(found, Severity::Error, "not writable", "stdio");
    }

    #[tokio::test]
    async fn a_configuration_that_codex_refuses_is_quoted() {
        let machine = Machine::new(
            r#"echo 'WARNING: noise' >&2; echo '{"error":{"message":"config.toml:1:6: unclosed array"}}'; exit 1"#,
        );
        let found = machine.tried("config").await;
        assert_tells(found, Severity::Error, "1:6: unclosed array", "config.toml");
    }

    #[tokio::test]
    async fn a_sandbox_that_does_not_work_is_quoted_and_an_old_codex_is_not_blamed() {
        let machine = Machine::new(
            "echo 'WARNING: noise' >&2; echo 'bwrap: No permissions to create new namespace' >&2; exit 1",
        );
        let found = machine.tried("sandbox").await;
        assert_tells(found, Severity::Error, "No permissions", "user namespaces");
        let machine = Machine::new("echo 'error: unrecognized subcommand' >&2; exit 2");
        assert!(machine.tried("sandbox").await.is_ok());
        assert!(machine.tried("config").await.is_ok());
    }
}
