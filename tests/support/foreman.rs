//! A model that shares work out: it has two teammates do what a person asks for, says so, and
//! answers when it has heard from both.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use serde_json::{Value, json};
use tieline::demo::model::{Gone, Phase, Request, Responder, Script};

use super::model::{Gate, Hold, TRIGGER, completions_in, echo_of};

/// A script that shares work out, and the handle that steers it. Clones share everything.
#[derive(Clone, Debug, Default)]
pub(crate) struct Foreman(Arc<Mutex<Vec<Job>>>);

/// Something that two teammates do.
#[derive(Clone, Debug)]
struct Job {
    /// What only the question says that asks for it.
    marker: String,
    halves: [Half; 2],
    /// The end of the turn that hands it out.
    handed_out: Arc<Gate>,
}

/// What one of the teammates does.
#[derive(Clone, Debug)]
struct Half {
    name: String,
    task: String,
    done: Arc<Gate>,
}

/// Something that two teammates will do, as far as it is let go on.
pub(crate) struct SharedJob {
    /// The names of the teammates.
    pub(crate) names: [String; 2],
    /// The end of what each of them does.
    pub(crate) halves: [Hold; 2],
    /// The end of the turn that hands it out.
    pub(crate) handed_out: Hold,
}

impl SharedJob {
    /// Returns what the person is told when both have begun.
    pub(crate) fn under_way(&self) -> String {
        under_way(&self.names.each_ref().map(String::as_str))
    }
}

fn under_way([left, right]: &[&str; 2]) -> String {
    format!("under way: {left} and {right}")
}

impl Foreman {
    /// Has what `marker` asks for shared out.
    pub(crate) fn shares_out(&self, marker: &str) -> SharedJob {
        let mut jobs = self.0.lock().unwrap();
        let number = jobs.len();
        let halves = ["left", "right"].map(|side| {
            let name = format!("{side}-{number}");
            let task = format!("the part of {name}.");
            let done = Arc::default();
            Half { name, task, done }
        });
        let job = Job {
            marker: marker.to_owned(),
            halves,
            handed_out: Arc::default(),
        };
        let shared = SharedJob {
            names: job.halves.each_ref().map(|half| half.name.clone()),
            halves: job.halves.each_ref().map(|half| Hold::of(&half.done)),
            handed_out: Hold::of(&job.handed_out),
        };
        jobs.push(job);
        shared
    }

    fn jobs(&self) -> Vec<Job> {
        self.0.lock().unwrap().clone()
    }
}

impl Job {
    /// Returns the answer to who has asked for it.
    fn answer(&self) -> String {
        format!("both parts are done: {}", self.marker)
    }

    /// Returns whether both teammates have reported, and nobody was told before this turn.
    fn is_ripe(&self, request: &Request) -> bool {
        let told = completions_in(request.items());
        let has_reported = |half: &Half| {
            let name = format!("teammate:{}#", half.name);
            told.iter().any(|it| it.starts_with(&name))
        };
        let answer = self.answer();
        let is_answer = |item: &Value| {
            item["role"] == "assistant" && item["content"][0]["text"].as_str() == Some(&answer)
        };
        let is_trigger = |item: &Value| {
            let text = item["content"][0]["text"].as_str().unwrap_or_default();
            item["role"] == "user" && text.starts_with(TRIGGER)
        };
        let items = request.items();
        let turn = items.iter().rposition(is_trigger).unwrap_or(items.len());
        self.halves.iter().all(has_reported) && !items[..turn].iter().any(is_answer)
    }

    /// Hands it out, all at once and again what was cut off, and then says so.
    async fn hand_out(&self, request: &Request, responder: &mut Responder) -> Result<(), Gone> {
        let halves = self.halves.iter();
        let missing: Vec<_> = halves.filter(|half| !half.has_begun(request)).collect();
        for Half { name, task, .. } in &missing {
            let arguments = json!({"name": name, "task": task});
            responder.call("spawn_teammate", &arguments).await?;
        }
        if !missing.is_empty() {
            return Ok(());
        }
        let text = under_way(&self.halves.each_ref().map(|half| &*half.name));
        let mut message = responder.begin(Phase::FinalAnswer).await?;
        message.say(&text).await?;
        message.until(self.handed_out.pass()).await?;
        message.end().await
    }
}

impl Half {
    /// Returns whether a call has said that the teammate has begun, or is there already.
    fn has_begun(&self, request: &Request) -> bool {
        let outputs = request.tool_outputs();
        let is_good = |call: &Value| {
            outputs.iter().any(|output| {
                let text = output.text();
                let is_there = text.starts_with("started") || text.contains(&self.name);
                call["call_id"] == output.call_id && is_there
            })
        };
        let calls = request.items().iter();
        let mut calls = calls.filter(|item| item["type"] == "function_call");
        calls.any(|call| {
            let arguments = call["arguments"].as_str().unwrap_or_default();
            arguments.contains(&self.task) && is_good(call)
        })
    }
}

#[async_trait]
impl Script for Foreman {
    async fn answer(&self, request: &Request, responder: &mut Responder) -> Result<(), Gone> {
        let text = request.last_user_text().unwrap_or_default();
        let jobs = self.jobs();
        if text.starts_with(TRIGGER) {
            let ripe = jobs.iter().filter(|job| job.is_ripe(request));
            let answers: Vec<_> = ripe.map(Job::answer).collect();
            // As long as something is missing, there is nothing to say.
            return match answers.as_slice() {
                [] => Ok(()),
                answers => {
                    let answer = answers.join("\n");
                    responder.message(&answer, Phase::FinalAnswer).await
                }
            };
        }
        if text.starts_with("<task ") {
            let mut halves = jobs.iter().flat_map(|job| &job.halves);
            let half = halves.find(|half| text.contains(&half.task));
            if let Some(half) = half {
                responder.until(half.done.pass()).await?;
            }
        } else if let Some(job) = jobs.iter().find(|job| text.contains(&job.marker)) {
            return job.hand_out(request, responder).await;
        }
        responder.message(&echo_of(text), Phase::FinalAnswer).await
    }
}
