//! A model that wants what people have to allow: what it is asked to `run`, it runs outside of its
//! sandbox, and each run leaves a trace.

use std::fs;

use async_trait::async_trait;
use serde_json::{Value, json};
use tieline::demo::model::{Gone, Phase, Request, Responder, Script};

use super::daemon::World;
use super::model::echo_of;

/// How the line of a message begins that says what to run: names, each a command's.
pub(crate) const RUN: &str = "run:";

/// The script. Without such a line it echoes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Wants;

#[async_trait]
impl Script for Wants {
    async fn answer(&self, request: &Request, responder: &mut Responder) -> Result<(), Gone> {
        let text = request.last_user_text().unwrap_or_default();
        let outputs = request.fresh_tool_outputs();
        // What was cut off is wanted again.
        let was_cut_off = outputs.iter().any(|it| it.text().starts_with("aborted"));
        if let Some(output) = outputs.last().filter(|_| !was_cut_off) {
            let answer = format!("{}\n{}", echo_of(text), output.text());
            return responder.message(&answer, Phase::FinalAnswer).await;
        }
        let Some((_, rest)) = text.split_once(RUN) else {
            return responder.message(&echo_of(text), Phase::FinalAnswer).await;
        };
        let line = rest.lines().next().unwrap_or_default();
        for name in line
            .split('<')
            .next()
            .unwrap_or_default()
            .split_whitespace()
        {
            let (tool, arguments) = escalated(request, &command(name));
            responder.call(tool, &arguments).await?;
        }
        Ok(())
    }
}

/// Returns the command of a name: it leaves a line in a file of that name.
pub(crate) fn command(name: &str) -> String {
    format!("echo ran >> trace-{name}")
}

/// Returns the call that runs a command outside of the sandbox.
fn escalated(request: &Request, command: &str) -> (&'static str, Value) {
    let is_offered = |name: &str| request.tools().iter().any(|tool| tool == name);
    let (tool, key) = if is_offered("shell_command") {
        ("shell_command", "command")
    } else {
        ("exec_command", "cmd")
    };
    let arguments = json!({
        key: command,
        "login": false,
        "sandbox_permissions": "require_escalated",
        "justification": "it has to leave a trace",
    });
    (tool, arguments)
}

/// Returns how often the command of a name has run.
pub(crate) fn runs(world: &World, name: &str) -> usize {
    let path = world.path().join("work").join(format!("trace-{name}"));
    fs::read_to_string(path).unwrap_or_default().lines().count()
}
