//! What is written for systemd and launchd.

use std::path::{Path, PathBuf};

use super::seal;

/// What the service is.
#[derive(Clone, Debug)]
pub(super) struct Unit {
    /// The program.
    pub(super) program: PathBuf,
    /// The configuration, an absolute path.
    pub(super) config: PathBuf,
    /// The `PATH` of whoever installs it: services have a short one, on which Codex rarely is.
    pub(super) search_path: String,
    /// Who it runs as; `None` for a service of the user who installs it.
    pub(super) user: Option<String>,
    /// A file with variables, which need not be there.
    pub(super) environment_file: PathBuf,
}

/// Returns the unit for systemd.
///
/// Codex makes the sandbox of its commands with namespaces and mounts of its own. Settings of systemd
/// that hide or protect parts of the file system, filter system calls or restrict namespaces (such as
/// `ProtectSystem`, `PrivateTmp`, `NoNewPrivileges`) break that, or the work of an agent that may do
/// anything; what the daemon protects, it protects by modes of files. So there are none.
pub(super) fn systemd(unit: &Unit) -> String {
    let is_system = unit.user.is_some();
    let program = quoted(&unit.program.display().to_string());
    let config = quoted(&unit.config.display().to_string());
    let search_path = quoted(&format!("PATH={}", unit.search_path));
    let environment_file = unit.environment_file.display().to_string();
    let environment_file = environment_file.replace('%', "%%");
    let network = if is_system {
        "Wants=network-online.target\nAfter=network-online.target\n"
    } else {
        ""
    };
    let user = unit
        .user
        .as_ref()
        .map_or(String::new(), |user| format!("User={user}\n"));
    let home = if is_system { "~" } else { "%h" };
    let edit = if is_system {
        "systemctl edit tieline"
    } else {
        "systemctl --user edit tieline"
    };
    let target = if is_system {
        "multi-user.target"
    } else {
        "default.target"
    };
    let seal = seal::line();
    seal::seal(&format!(
        "\
# Written by `tieline service install`, which replaces it only as long as nobody has changed it.
# For settings of your own: {edit}
# {seal}

[Unit]
Description=tieline, which joins chat to Codex on this machine
{network}# It is started again for ever: what is wrong may be mended while nobody looks.
StartLimitIntervalSec=0

[Service]
Type=notify
NotifyAccess=main
{user}WorkingDirectory={home}
ExecStart={program} run --config {config}
# The PATH of whoever installed the service, so that Codex, git and other tools are found.
Environment={search_path}
# Secrets that are variables, a line NAME=value each; the file is for the eyes of its user alone.
EnvironmentFile=-{environment_file}
UMask=0077
LimitNOFILE=65536
LimitCORE=0

Restart=always
RestartSec=5
RestartSteps=5
RestartMaxDelaySec=60
# A command line that is not understood is not understood the next time either.
RestartPreventExitStatus=64
# Without a sign of life for so long it is ended and started again.
WatchdogSec=90
TimeoutStartSec=90
# It ends within 20 seconds by itself, and ends Codex; what is left then is killed.
KillMode=mixed
TimeoutStopSec=30
# A command of an agent that takes all the memory is ended alone.
OOMPolicy=continue

[Install]
WantedBy={target}
"
    ))
}

/// Returns the property list for launchd.
pub(super) fn launchd(unit: &Unit) -> String {
    let seal = seal::line();
    let text = |text: &str| {
        text.replace('&', "&amp;")
            .replace('<', "&lt;")
            .replace('>', "&gt;")
    };
    let path = |path: &Path| text(&path.display().to_string());
    let user = unit.user.as_ref().map_or(String::new(), |user| {
        format!(
            "    <key>UserName</key>\n    <string>{}</string>\n",
            text(user)
        )
    });
    seal::seal(&format!(
        "\
<?xml version=\"1.0\" encoding=\"UTF-8\"?>
<!DOCTYPE plist PUBLIC \"-//Apple//DTD PLIST 1.0//EN\" \"http://www.apple.com/DTDs/PropertyList-1.0.dtd\">
<!-- Written by `tieline service install`, which replaces it only as long as nobody has changed it. -->
<!-- {seal} -->
<plist version=\"1.0\">
<dict>
    <key>Label</key>
    <string>{LABEL}</string>
{user}    <key>ProgramArguments</key>
    <array>
        <string>{program}</string>
        <string>run</string>
        <string>--quiet</string>
        <string>--config</string>
        <string>{config}</string>
    </array>
    <key>EnvironmentVariables</key>
    <dict>
        <key>PATH</key>
        <string>{search_path}</string>
    </dict>
    <key>RunAtLoad</key>
    <true/>
    <key>KeepAlive</key>
    <true/>
    <key>ThrottleInterval</key>
    <integer>5</integer>
    <key>ExitTimeOut</key>
    <integer>30</integer>
    <key>Umask</key>
    <integer>63</integer>
    <key>ProcessType</key>
    <string>Interactive</string>
</dict>
</plist>
",
        program = path(&unit.program),
        config = path(&unit.config),
        search_path = text(&unit.search_path),
    ))
}

/// The name of the service for launchd.
pub(super) const LABEL: &str = "dev.tieline.daemon";

/// Returns a word as systemd reads it back.
fn quoted(word: &str) -> String {
    let mut quoted = String::from("\"");
    for c in word.chars() {
        match c {
            '"' | '\\' => {
                quoted.push('\\');
                quoted.push(c);
            }
            '%' => quoted.push_str("%%"),
            '$' => quoted.push_str("$$"),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::super::seal::is_whole;
    use super::*;

    fn unit(user: Option<&str>) -> Unit {
        Unit {
            program: "/opt/my tools/100%/tieline".into(),
            config: "/home/mei/.config/tieline/\"odd\".toml".into(),
            search_path: "/usr/local/bin:/usr/bin".to_owned(),
            user: user.map(str::to_owned),
            environment_file: "/home/mei/.config/tieline/environment".into(),
        }
    }

    #[test]
    fn unit_of_a_user_for_systemd() {
        let text = systemd(&unit(None));
        assert!(is_whole(&text));
        insta::assert_snapshot!(text);
    }

    #[test]
    fn unit_of_the_machine_for_systemd_names_the_user_and_waits_for_the_network() {
        let text = systemd(&unit(Some("mei")));
        for line in [
            "User=mei",
            "WorkingDirectory=~",
            "After=network-online.target",
            "WantedBy=multi-user.target",
        ] {
            assert!(text.lines().any(|it| it == line), "{line}\n{text}");
        }
    }

    #[test]
    fn property_list_for_launchd() {
        let text = launchd(&Unit {
            config: "/Users/mei/<a&b>.toml".into(),
            ..unit(None)
        });
        assert!(is_whole(&text));
        insta::assert_snapshot!(text);
    }

    #[test]
    fn words_are_quoted_so_that_systemd_expands_nothing() {
        assert_eq!(quoted(r#"a b"c\d%e$f"#), r#""a b\"c\\d%%e$$f""#);
    }
}
