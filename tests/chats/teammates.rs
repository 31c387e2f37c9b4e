//! Work that is asked for in a thread, done by two teammates, and answered there, once.

use std::io::Write as _;
use std::time::Duration;

use rustix::process::Signal;

use crate::support::crowd::{Crowd, Sessions};
use crate::support::foreman::{Foreman, SharedJob};
use crate::support::mock::Asked;
use crate::support::model::{Hold, TRIGGER, completions_in, completions_told, within};
use crate::support::random::{Random, seed};
use crate::support::service::Service;

/// How many people have work shared out while everything is killed, and how often it is.
const JOBS: usize = 8;
const KILLS: usize = 16;

/// A chat, and a thread in it.
type Place = (String, Option<String>);

/// Something that was asked for and is under way.
struct Job {
    asked: Asked,
    shared: SharedJob,
}

impl Job {
    fn result(&self, half: usize) -> String {
        format!("teammate:{}#1", self.shared.names[half])
    }

    /// Returns how the end of the half is told.
    fn end(&self, half: usize) -> String {
        format!("{} is done", self.shared.names[half])
    }
}

/// Asks for something that is shared out, in a thread of its own, and waits until both work at it.
async fn share_out<S: Service>(crowd: &mut Crowd<S, Foreman>) -> Job {
    let shared = crowd.script.shares_out(&crowd.next_marker());
    crowd.open();
    let asked = crowd.asked.last().unwrap().clone();
    for half in &shared.halves {
        half.reached().await;
    }
    shared.handed_out.reached().await;
    Job { asked, shared }
}

/// Waits until a post says so, and returns where.
async fn said<S: Service>(crowd: &Crowd<S, Foreman>, text: &str) {
    let is_said = |state: &S| {
        let places = state.answers();
        let mut answers = places.values().flatten();
        answers
            .any(|answer| plain(&answer.text).contains(text))
            .then_some(())
    };
    crowd.service.wait_for(text, is_said).await;
}

/// Lets one of the halves go on, and waits until the model has looked at it in vain.
async fn finish_one<S: Service>(crowd: &Crowd<S, Foreman>, job: &Job, half: usize) {
    job.shared.halves[half].release();
    said(crowd, &job.end(half)).await;
    let result = job.result(half);
    let model = &crowd.world.model;
    let looked = model.wait_for(|requests| {
        requests.iter().any(|request| {
            let text = request.last_user_text().unwrap_or_default();
            text.starts_with(TRIGGER) && completions_in(request.items()).contains(&result)
        })
    });
    within("the model to look at a result", looked).await;
    crowd.world.at_rest_but_for_teammates().await;
    assert!(
        !is_answered(crowd, job),
        "answered although half is missing"
    );
}

fn is_answered<S: Service>(crowd: &Crowd<S, Foreman>, job: &Job) -> bool {
    let tally = crowd.service.tally(std::slice::from_ref(&job.asked));
    tally.lost.is_empty()
}

/// Fails unless the thread of each job has what belongs there, and no other has anything of it.
async fn finish<S: Service>(crowd: Crowd<S, Foreman>, jobs: &[Job]) {
    crowd.answered().await;
    crowd.world.at_rest().await;
    let mut elsewhere = posts(&crowd);
    for job in jobs {
        let [left, right] = &job.shared.names;
        let expected = [
            format!("Handed to {left}: the part of {left}."),
            format!("Handed to {right}: the part of {right}."),
            job.shared.under_way(),
            job.end(0),
            job.end(1),
            format!("both parts are done: {}", job.asked.marker),
        ];
        let place = place_of(&job.asked);
        let here = elsewhere.extract_if(.., |(it, _)| *it == place);
        let here: Vec<_> = here.map(|(_, text)| text).collect();
        assert_eq!(here.len(), expected.len(), "{here:#?}");
        for text in &expected {
            let times = here.iter().filter(|it| it.contains(text)).count();
            assert_eq!(times, 1, "{text}: {here:#?}");
        }
    }
    let is_echo = |(_, text): &(_, String)| text.starts_with("echo: ");
    assert!(elsewhere.iter().all(is_echo), "{elsewhere:#?}");
    let results = jobs.iter().flat_map(|job| [job.result(0), job.result(1)]);
    let told = completions_told(&crowd.world.model);
    assert_eq!(told, results.map(|name| (name, 1)).collect());
    crowd.finish().await;
}

/// Two people have work shared out at the same time, a third one something that is done before
/// anybody looks at it; others ask meanwhile.
pub(crate) async fn one_answer_comes_where_it_was_asked_for_when_all_is_there<S: Service>(
    options: S::Options,
    sessions: Sessions,
) {
    let mut crowd = Crowd::<S, _>::start_under(options, sessions, Foreman::default()).await;
    let mut jobs = Vec::new();
    for _ in 0..2 {
        let job = share_out(&mut crowd).await;
        job.shared.handed_out.release();
        jobs.push(job);
    }
    for (job, first) in jobs.iter().zip([0, 1]) {
        finish_one(&crowd, job, first).await;
    }
    // Others are answered meanwhile, and whoever waits as well.
    let elsewhere = crowd.open();
    crowd.ask(&elsewhere);
    for (job, last) in jobs.iter().zip([1, 0]) {
        assert!(
            !is_answered(&crowd, job),
            "answered although half is missing"
        );
        job.shared.halves[last].release();
    }
    crowd.answered().await;

    let job = share_out(&mut crowd).await;
    for half in [0, 1] {
        job.shared.halves[half].release();
        said(&crowd, &job.end(half)).await;
    }
    let triggers = n_triggers(&crowd);
    job.shared.handed_out.release();
    jobs.push(job);
    crowd.answered().await;
    crowd.world.at_rest().await;
    assert_eq!(n_triggers(&crowd), triggers + 1, "they go together");
    finish(crowd, &jobs).await;
}

/// The daemon is killed between the two results: as soon as the first one is there, and after the
/// model has looked at it.
pub(crate) async fn one_answer_comes_although_the_daemon_is_killed_between_the_results<
    S: Service,
>(
    options: S::Options,
    sessions: Sessions,
) {
    let mut crowd = Crowd::<S, _>::start_under(options, sessions, Foreman::default()).await;
    let mut jobs = Vec::new();
    for has_looked in [false, true] {
        let job = share_out(&mut crowd).await;
        job.shared.handed_out.release();
        said(&crowd, &job.shared.under_way()).await;
        if has_looked {
            finish_one(&crowd, &job, 0).await;
        } else {
            job.shared.halves[0].release();
            said(&crowd, &job.end(0)).await;
        }
        crowd.kill_daemon().await;
        crowd.world.start();
        crowd.world.ready(0).await;
        assert!(
            !is_answered(&crowd, &job),
            "answered although half is missing"
        );
        job.shared.halves[1].release();
        crowd.answered().await;
        jobs.push(job);
    }
    finish(crowd, &jobs).await;
}

/// Daemon and codex are killed while people have work shared out.
pub(crate) async fn one_answer_comes_whatever_is_killed<S: Service>(
    options: S::Options,
    sessions: Sessions,
) {
    let seed = seed();
    let mut random = Random(seed);
    let mut crowd = Crowd::<S, _>::start_under(options, sessions, Foreman::default()).await;
    let mut names = Vec::new();
    for round in 0..KILLS {
        if round < JOBS {
            let shared = crowd.script.shares_out(&crowd.next_marker());
            let holds = shared.halves.iter().chain([&shared.handed_out]);
            holds.for_each(Hold::release);
            crowd.open();
            names.push((crowd.asked.len() - 1, shared.names));
        }
        // The moment of the fault is what is random here.
        tokio::time::sleep(Duration::from_micros(random.below(700_000))).await;
        if random.below(2) == 0 {
            crowd.kill_daemon().await;
            crowd.world.start();
        } else {
            crowd.world.signal_app_server(Signal::KILL);
        }
    }
    crowd.answered().await;
    crowd.world.at_rest().await;
    let tally = crowd.service.tally(&crowd.asked);
    let line = format!(
        "seed {seed}: {} asked, {} answered, {} unclear\n",
        tally.asked, tally.answered, tally.unclear
    );
    std::io::stderr().write_all(line.as_bytes()).unwrap();
    let posts = posts(&crowd);
    let (mut handed_out, mut without) = (0, 0);
    for (asked, names) in names {
        let here = place_of(&crowd.asked[asked]);
        let before = handed_out;
        for name in names {
            let about = posts.iter().filter(|(_, text)| {
                // Two lines of it are about the name: that it was handed out, and how it ended.
                text.starts_with('🧩') && text.contains(&name)
            });
            let about: Vec<_> = about.collect();
            assert!(about.iter().all(|(place, _)| *place == here), "{about:#?}");
            let handed = about.iter().filter(|(_, text)| text.contains("Handed to"));
            match (handed.count(), about.len()) {
                (0, 0) => {}
                counts => {
                    assert_eq!(counts, (1, 2), "{about:#?}");
                    handed_out += 1;
                }
            }
        }
        without += usize::from(handed_out < before + 2);
    }
    // A question that nobody can say of whether it was worked on may not have been shared out.
    assert!(without <= tally.unclear, "{without} were not shared out");
    let told = completions_told(&crowd.world.model);
    assert_eq!(told.len(), handed_out, "{told:#?}");
    assert!(told.values().all(|times| *times == 1), "{told:#?}");
    crowd.finish().await;
}

/// Returns everything that was posted, and where.
fn posts<S: Service>(crowd: &Crowd<S, Foreman>) -> Vec<(Place, String)> {
    crowd.service.shared.look(|state| {
        let mut posts = Vec::new();
        for ((chat, thread), answers) in state.answers() {
            let place = (chat.to_owned(), thread.map(str::to_owned));
            let texts = answers.iter().map(|answer| plain(&answer.text));
            posts.extend(texts.map(|text| (place.clone(), text)));
        }
        posts
    })
}

fn place_of(asked: &Asked) -> Place {
    (asked.chat.clone(), asked.thread.clone())
}

fn n_triggers<S: Service>(crowd: &Crowd<S, Foreman>) -> usize {
    let requests = crowd.world.model.requests();
    let texts = requests.iter().filter_map(|it| it.last_user_text());
    texts.filter(|text| text.starts_with(TRIGGER)).count()
}

/// Returns a text without what marks names in it, which services show in their own ways.
fn plain(text: &str) -> String {
    text.replace('`', "")
}
