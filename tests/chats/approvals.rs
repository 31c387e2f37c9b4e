//! What the model wants and people decide by buttons. Nothing runs that was not accepted by somebody
//! who may, and nothing twice.

use rustix::process::Signal;
use tieline::demo::model::ScriptedModel;

use crate::support::daemon::{Choices, World};
use crate::support::mock::{Asked, EventId, Fault, Mock};
use crate::support::service::Service;
use crate::support::wants::{Wants, runs};

/// A daemon whose people are asked, one who may decide, and one who may not.
struct Stage<S: Service> {
    service: Mock<S>,
    world: World,
    mei: String,
    jun: String,
    group: String,
}

/// A post that asks.
struct Question {
    chat: String,
    message: String,
    text: String,
}

impl<S: Service> Stage<S> {
    async fn set(options: S::Options, more: &str) -> Self {
        let service = S::start(options).await;
        let [mei, jun] = ["Mei", "Jun"].map(|name| S::person(&service, name));
        let choices = Choices {
            sandbox: "workspace-write",
            dispatcher: format!(
                "sessions = \"thread\"\nrestart = {{ base = \"20ms\", max = \"100ms\" }}\n\
                 approvals = \"chat\"\n{more}\n"
            ),
            ..Choices::standard()
        };
        let mut choices = S::join(&service, choices);
        let channel = choices.channels.last().unwrap();
        choices.tables += &format!("admins = [\"{channel}:{mei}\"]\n");
        let model = ScriptedModel::start(Wants).await.unwrap();
        let mut world = World::new(model, &choices);
        world.start();
        world.ready(0).await;
        service.wait_for_connections(1).await;
        let group = S::group(&service, "ops");
        Self {
            service,
            world,
            mei,
            jun,
            group,
        }
    }

    /// Asks for what runs these.
    fn ask(&self, names: &str) -> Asked {
        S::ask(
            &self.service,
            &self.jun,
            &self.group,
            &format!("run: {names}"),
        )
    }

    /// Waits until a post says this below a question.
    async fn says(&self, asked: &Asked, text: &str) -> Question {
        let what = format!("{text:?} below {asked:?}");
        let find = |state: &S| {
            let places = state.answers();
            let here = places.get(&asked.place())?;
            let post = here.iter().find(|it| it.text.contains(text))?;
            Some(Question {
                chat: asked.chat.clone(),
                message: post.message.to_owned(),
                text: post.text.clone(),
            })
        };
        self.service.wait_for(&what, find).await
    }

    /// Returns how many posts below a question say this.
    fn count(&self, asked: &Asked, text: &str) -> usize {
        self.service.shared.look(|state| {
            let places = state.answers();
            let here = places.get(&asked.place()).map(Vec::as_slice);
            let posts = here.unwrap_or_default().iter();
            posts.filter(|it| it.text.contains(text)).count()
        })
    }

    fn press(&self, person: &str, question: &Question, label: &str) -> EventId {
        S::press(
            &self.service,
            person,
            &question.chat,
            &question.message,
            label,
        )
    }

    /// Waits until a question shows how it was settled, and cannot be pressed any more.
    async fn shows(&self, question: &Question, asked: &Asked, text: &str) {
        let what = format!("{text:?} in place of the question below {asked:?}");
        let find = |state: &S| {
            let places = state.answers();
            let mut here = places.get(&asked.place())?.iter();
            let post = here.find(|it| it.message == question.message)?;
            let is_settled =
                post.text.contains(text) && !state.has_buttons(&question.chat, &question.message);
            is_settled.then_some(())
        };
        self.service.wait_for(&what, find).await;
    }

    /// Waits until the model has answered below a question.
    async fn answered(&self, asked: &Asked) {
        self.says(asked, "echo: ").await;
    }

    async fn finish(self) {
        self.service.all_acknowledged().await;
        self.world.at_rest().await;
        self.world.assert_keeps(S::SECRETS);
        self.world.finish().await;
        self.service.finish();
    }
}

pub(crate) async fn the_first_decision_of_somebody_who_may_counts<S: Service>(options: S::Options) {
    let stage = Stage::<S>::set(options, "").await;
    for (label, told, ran) in [
        ("Accept", "was accepted by Mei", 1),
        (
            "Accept for session",
            "was accepted for the session by Mei",
            1,
        ),
        ("Decline", "was declined by Mei", 0),
        ("Cancel turn", "who also stopped the turn", 0),
    ] {
        let name = label.replace(' ', "-");
        let asked = stage.ask(&name);
        let question = stage.says(&asked, "Codex wants to run a command").await;
        assert!(
            question.text.contains(&format!("trace-{name}")),
            "{}",
            question.text
        );
        // Somebody who may not changes nothing, and hears so once.
        stage.press(&stage.jun, &question, "Accept");
        stage.press(&stage.jun, &question, "Cancel turn");
        stage.service.all_acknowledged().await;
        stage.says(&asked, "Only an approver can decide").await;
        assert_eq!(runs(&stage.world, &name), 0);
        // Pressed twice, and something else behind it.
        stage.press(&stage.mei, &question, label);
        stage.press(&stage.mei, &question, label);
        stage.press(&stage.mei, &question, "Accept");
        stage.shows(&question, &asked, told).await;
        match label {
            "Cancel turn" => drop(stage.says(&asked, "Stopped").await),
            _ => stage.answered(&asked).await,
        }
        stage.service.all_acknowledged().await;
        assert_eq!(runs(&stage.world, &name), ran, "{label}");
        assert_eq!(stage.count(&asked, "Only an approver"), 1);
        assert_eq!(
            stage.count(&asked, "#1"),
            2,
            "the question, and that Jun may not"
        );
    }
    stage.finish().await;
}

pub(crate) async fn several_are_decided_in_any_order_and_what_is_accepted_for_the_session_is_not_asked_again<
    S: Service,
>(
    options: S::Options,
) {
    let stage = Stage::<S>::set(options, "").await;
    let asked = stage.ask("a b c");
    for (name, label) in [
        ("c", "Accept"),
        ("a", "Decline"),
        ("b", "Accept for session"),
    ] {
        let question = stage.says(&asked, &format!("trace-{name}'")).await;
        stage.press(&stage.mei, &question, label);
        let told = if name == "a" { "declined" } else { "accepted" };
        stage.shows(&question, &asked, told).await;
    }
    stage.answered(&asked).await;
    assert_eq!(["a", "b", "c"].map(|it| runs(&stage.world, it)), [0, 1, 1]);
    let marker = "run: b";
    let root = &asked.message;
    let again = S::ask_below(&stage.service, &stage.jun, &stage.group, root, marker);
    stage.says(&again, "echo: run: b").await;
    assert_eq!(runs(&stage.world, "b"), 2);
    assert_eq!(stage.count(&asked, "#4"), 0);
    stage.finish().await;
}

pub(crate) async fn what_is_pressed_too_late_changes_nothing_and_the_post_shows_it_in_the_end<
    S: Service,
>(
    options: S::Options,
) {
    let stage = Stage::<S>::set(options, "approval_timeout = \"3s\"").await;
    // As long as posts cannot be changed, they can be pressed.
    stage
        .service
        .fail_always(|call| (call.method == S::EDITS).then_some(Fault::Broken(503)));
    let expired = stage.ask("expired");
    let question = stage.says(&expired, "Codex wants").await;
    stage.world.until_logged("state=\"expired\"").await;
    stage.press(&stage.mei, &question, "Accept");
    let declined = stage.ask("declined");
    let other = stage.says(&declined, "Codex wants").await;
    stage.press(&stage.mei, &other, "Decline");
    stage.world.until_logged("decision=\"decline\"").await;
    stage.press(&stage.mei, &other, "Accept");
    stage.service.all_acknowledged().await;
    stage.service.heal();
    stage
        .shows(&question, &expired, "nobody decided within 3 seconds")
        .await;
    stage.shows(&other, &declined, "was declined by Mei").await;
    for (asked, name) in [(&expired, "expired"), (&declined, "declined")] {
        stage.answered(asked).await;
        assert_eq!(runs(&stage.world, name), 0);
    }
    stage.finish().await;
}

pub(crate) async fn where_a_post_cannot_be_changed_another_one_says_it<S: Service>(
    options: S::Options,
) {
    let stage = Stage::<S>::set(options, "").await;
    stage
        .service
        .fail_always(|call| (call.method == S::EDITS).then_some(Fault::Error(S::NOT_PERMITTED)));
    let asked = stage.ask("a");
    let question = stage.says(&asked, "Codex wants").await;
    stage.press(&stage.mei, &question, "Accept");
    let said = stage.says(&asked, "was accepted by Mei").await;
    assert_ne!(said.message, question.message);
    stage.answered(&asked).await;
    assert_eq!(runs(&stage.world, "a"), 1);
    stage.finish().await;
}

pub(crate) async fn a_killed_daemon_declines_what_was_open<S: Service>(options: S::Options) {
    let mut stage = Stage::<S>::set(options, "").await;
    let asked = stage.ask("a");
    let question = stage.says(&asked, "Codex wants").await;
    stage.world.kill_daemon().await;
    stage.world.start();
    stage
        .shows(
            &question,
            &asked,
            "tieline was restarted before anybody decided",
        )
        .await;
    // The turn goes on, and the model wants it again.
    let again = stage.says(&asked, "**Approval #2").await;
    assert_eq!(runs(&stage.world, "a"), 0);
    stage.press(&stage.mei, &again, "Accept");
    stage.answered(&asked).await;
    assert_eq!(runs(&stage.world, "a"), 1);
    stage.finish().await;
}

pub(crate) async fn killed_between_the_decision_and_codex_it_runs_nothing_twice<S: Service>(
    options: S::Options,
) {
    let mut stage = Stage::<S>::set(options, "").await;
    let asked = stage.ask("a");
    let question = stage.says(&asked, "Codex wants").await;
    // It does not hear of the decision.
    stage.world.signal_app_server(Signal::STOP);
    stage.press(&stage.mei, &question, "Accept");
    stage.service.all_acknowledged().await;
    stage.world.kill_daemon().await;
    stage.world.start();
    stage.shows(&question, &asked, "was accepted by Mei").await;
    let again = stage.says(&asked, "**Approval #2").await;
    assert_eq!(runs(&stage.world, "a"), 0);
    stage.press(&stage.mei, &again, "Accept");
    stage.answered(&asked).await;
    assert_eq!(runs(&stage.world, "a"), 1);
    stage.finish().await;
}

pub(crate) async fn what_the_disk_does_not_take_is_not_decided<S: Service>(options: S::Options) {
    let stage = Stage::<S>::set(options, "").await;
    let asked = stage.ask("a");
    let question = stage.says(&asked, "Codex wants").await;
    stage.world.all_posted().await;
    let before = stage.world.limit_files(Some(0));
    let press = stage.press(&stage.mei, &question, "Accept");
    stage
        .service
        .until("the press", |service| {
            (service.deliveries(&press) > 0).then_some(())
        })
        .await;
    stage.world.until_logged("is not acknowledged").await;
    assert_eq!(runs(&stage.world, "a"), 0);
    stage.world.limit_files(before);
    stage.world.disk_works().await;
    // Not every service brings it again; people do.
    stage.press(&stage.mei, &question, "Accept");
    stage.shows(&question, &asked, "was accepted by Mei").await;
    stage.answered(&asked).await;
    assert_eq!(runs(&stage.world, "a"), 1);
    stage.world.at_rest().await;
    stage.world.finish().await;
}
