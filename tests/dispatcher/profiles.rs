//! What a profile gives codex, and what happens when it cannot.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use tieline::demo::model::ScriptedModel;
use tieline::ledger::Lifecycle;

use super::*;
use crate::support::daemon::rollouts;
use crate::support::model::{Fault, within};

/// Settings of codex without a provider: that is the profile's.
const QUIET: &str = "[dispatchers.test.codex]\nconfig = [\"features.plugins=false\", \
                     \"features.shell_snapshot=false\", \"web_search=\\\"disabled\\\"\"]\n";

fn write_private(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, Permissions::from_mode(0o600)).unwrap();
}

/// Returns a choice of a profile `p` at this model; `more` is the rest of its table.
fn with_profile(model: &ScriptedModel, preset: &str, more: &str) -> Choices {
    let mut choices = Choices::standard().with("profile = \"p\"");
    choices.tables = format!(
        "{QUIET}[profiles.p]\n{preset}\nprovider = {{ base_url = {url:?}, env_key = \"P_KEY\" }}\n{more}\n",
        url = model.base_url(),
    );
    choices
}

/// Waits until the first dispatcher is degraded.
async fn degraded(world: &World) {
    let degraded = async {
        loop {
            let status = world.status().await;
            let test = status
                .dispatchers
                .iter()
                .find(|it| it.id.as_str() == "test");
            if test.unwrap().state == Lifecycle::Degraded {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    within("a degraded dispatcher", degraded).await;
}

#[tokio::test]
async fn a_missing_credential_holds_up_its_dispatcher_alone_until_it_is_there() {
    let echo = Echo::new();
    let model = echo.start().await;
    let mut choices = with_profile(
        &model,
        "",
        "credentials = { P_KEY = { file = \"~/p-key\" } }",
    );
    choices.tables.push_str(
        "[channels.second]\nkind = \"console\"\n\
         [dispatchers.other]\nworkspace = \"work\"\nchannels = [\"second\"]\n",
    );
    let mut world = World::new(model, &choices);
    world.start();
    world.until_socket().await;
    degraded(&world).await;
    let id = world.platform.write("a", "one please");
    world.platform.posted("no credential").await;
    let status = world.status().await;
    let of = |name: &str| {
        status
            .dispatchers
            .iter()
            .find(|it| it.id.as_str() == name)
            .unwrap()
    };
    let problem = of("test").login_problem.clone().unwrap();
    assert_eq!(problem.kind, "secret-unavailable");
    assert!(
        problem.message.contains("profile `p` has no P_KEY"),
        "{problem:?}"
    );
    assert_eq!(of("other").login_problem, None);
    assert_eq!(of("other").state, Lifecycle::Ready);
    let profile = of("test").profile.clone().unwrap();
    assert_eq!(
        (profile.name.as_str(), profile.credentials),
        ("p", vec!["P_KEY".to_owned()])
    );
    assert!(world.model.requests().is_empty());

    let key = "profile-key-7d41b0c9";
    write_private(&world.path().join("p-key"), key);
    assert_eq!(
        world.platform.settled(&id).await[0].text,
        "echo: one please"
    );
    // Codex has it, and what the model runs has not.
    echo.once("print it", Fault::Command("echo \"<$P_KEY>\""));
    let id = world.platform.write("a", "print it");
    let posts = world.platform.settled(&id).await;
    assert!(posts.last().unwrap().text.contains("<>"), "{posts:?}");
    for leak in ["daemon.log", "state/logs"] {
        let path = world.path().join(leak);
        let text = fs::read_to_string(&path).unwrap_or_default();
        assert!(!text.contains(key), "{leak}");
    }
    world.platform.tally().assert_exactly_once();
    assert_eq!(world.stop_daemon().await, Some(0));
    world.finish().await;
}

#[tokio::test]
async fn a_private_home_is_made_of_secrets_and_its_rollouts_are_kept_in_a_storage() {
    let echo = Echo::new();
    let model = echo.start().await;
    let more = "credentials = { P_KEY = { env = \"P\" } }\n\
                home = { from = \"secrets\", files = [\"config.toml\"] }\n\
                storage = { name = \"team\", path = \"volume\", subdir = \"p\" }";
    let mut choices = with_profile(&model, "", more);
    choices
        .environment
        .push(("P".into(), "profile-key-7d41b0c9".into()));
    let mut world = World::new(model, &choices);
    let (secrets, volume) = (world.path().join("secrets"), world.path().join("volume"));
    fs::create_dir(&secrets).unwrap();
    fs::write(secrets.join("config.toml"), "model = \"of-the-home\"\n").unwrap();
    world.start();
    world.until_socket().await;

    // Nothing is begun anew in place of what is not mounted.
    degraded(&world).await;
    let first = world.platform.write("a", "one please");
    world.platform.posted("does not start").await;
    assert!(!volume.exists());
    assert!(world.model.requests().is_empty());
    let error = world.status().await.dispatchers[0]
        .last_error
        .clone()
        .unwrap();
    assert!(
        error.contains("the storage `team` of profile `p` is not at"),
        "{error}"
    );
    fs::create_dir(&volume).unwrap();
    assert_eq!(world.platform.settled(&first).await[0].kind, "answer");
    world.platform.posted("Codex is back").await;

    assert_eq!(rollouts(&volume.join("p")).len(), 1);
    let home = world.path().join("state/homes/p");
    let mode = fs::metadata(&home).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    // The model of the home's own configuration holds, for no other is named.
    let request = &world.model.requests()[0];
    assert_eq!(request.model(), Some("of-the-home"));
    let profile = world.status().await.dispatchers[0].profile.clone().unwrap();
    assert_eq!(profile.model, None);
    let storage = profile.storage.unwrap();
    assert_eq!(
        (storage.name.as_str(), storage.values_printed),
        ("team", false)
    );
    assert_eq!(
        (storage.path, storage.subdir),
        (volume.clone(), Some("p".into()))
    );

    // What was begun there goes on after a restart, and is missed when somebody has emptied it.
    assert_eq!(world.stop_daemon().await, Some(0));
    world.start();
    let second = world.platform.write("a", "two please");
    assert_eq!(world.platform.settled(&second).await[0].kind, "answer");
    assert_eq!(rollouts(&volume.join("p")).len(), 1);
    assert_eq!(world.stop_daemon().await, Some(0));
    fs::remove_dir_all(volume.join("p")).unwrap();
    for left in fs::read_dir(&home).unwrap().flatten() {
        if left.file_name().to_string_lossy().contains(".sqlite") {
            fs::remove_file(left.path()).unwrap();
        }
    }
    world.start();
    let third = world.platform.write("a", "three please");
    world.platform.settled(&third).await;
    world.platform.posted("was lost on the machine").await;
    assert!(!world.logged("the thread is lost").is_empty());
    world.finish().await;
}

#[tokio::test]
async fn codex_takes_the_description_of_a_model_with_a_million_tokens() {
    let echo = Echo::new();
    let model = echo.start().await;
    let preset = "preset = \"dsflash-go\"\nmodel = \"flash-1\"";
    let mut choices = with_profile(&model, preset, "credentials = { P_KEY = { env = \"P\" } }");
    choices
        .environment
        .push(("P".into(), "profile-key-7d41b0c9".into()));
    let mut world = World::new(model, &choices);
    world.start();
    let id = world.platform.write("a", "one please");
    assert_eq!(
        world.platform.settled(&id).await[0].text,
        "echo: one please"
    );
    let request = &world.model.requests()[0];
    assert_eq!(request.model(), Some("flash-1"));
    let profile = world.status().await.dispatchers[0].profile.clone().unwrap();
    assert_eq!(profile.preset.as_deref(), Some("dsflash-go"));
    assert_eq!(profile.provider.as_deref(), Some("DeepSeek Flash (Go)"));
    assert_eq!(profile.context_window, Some(1_000_000));
    let told = rollouts(&world.home().join("sessions"));
    let told = fs::read_to_string(&told[0]).unwrap();
    // Codex keeps five per cent for itself.
    assert!(told.contains("\"model_context_window\":950000"), "{told}");
    world.finish().await;
}

#[tokio::test]
async fn a_sandbox_is_narrowed_by_the_environment_and_both_are_told() {
    let mut choices = Choices {
        sandbox: "workspace-write",
        ..Choices::standard()
    };
    choices
        .environment
        .push(("TIELINE_SANDBOX".into(), "read-only".into()));
    let echo = Echo::new();
    let mut world = running(&echo, &choices).await;
    world.ready(0).await;
    let sandbox = world.status().await.dispatchers[0].sandbox.clone().unwrap();
    assert_eq!(
        (
            sandbox.requested.as_str(),
            sandbox.effective.as_str(),
            sandbox.source.as_str()
        ),
        ("workspace-write", "read-only", "TIELINE_SANDBOX")
    );
    let id = world.platform.write("a", "one please");
    world.platform.settled(&id).await;
    let told = fs::read_to_string(&rollouts(&world.home().join("sessions"))[0]).unwrap();
    assert!(told.contains("read-only"), "{told}");
    world.finish().await;
}
