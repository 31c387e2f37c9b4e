//! Answers that are too long for words.

use std::sync::{Arc, Mutex};

use pretty_assertions::assert_eq;
use tieline_channel::{
    Capabilities, Channel as _, File, FileContent, Language, Post, PostKind, Repeat, TextLimit,
    WireId,
};

use super::bench::{Bench, conversation};
use super::platform::{Answer, Kind, Platform, Shown};
use crate::ledger::{NewPost, PostState};
use crate::outbox::{self, Reply};

const BELOW: &str = "*The whole answer is in the file below.*";
const NO_FILE: &str = "*The file could not be sent, so here is the whole answer.*";

fn reply(platform: &Platform) -> Reply {
    Reply {
        channel: platform.id().clone(),
        to: conversation("C1"),
        reply_to: Some(WireId::new("m2")),
        settles: vec![WireId::new("m1"), WireId::new("m2")],
        kind: PostKind::Answer,
        language: Language::English,
    }
}

fn paragraphs(count: usize) -> String {
    let paragraph = |number| format!("Paragraph {number} says little, and says it twice.\n\n");
    (0..count).map(paragraph).collect()
}

fn takes_all() -> Arc<Platform> {
    Platform::with_files(Repeat::Findable, |_, _| Answer::Take)
}

/// Refuses files for good, in one way or another.
fn refuses_files(answer: Answer) -> Arc<Platform> {
    Platform::with_files(Repeat::Findable, move |kind, post| {
        if kind == Kind::Post && post.file.is_some() {
            answer
        } else {
            Answer::Take
        }
    })
}

fn file_post(bench: &Bench, text: &str) -> NewPost {
    NewPost {
        as_file: Some("answer.md".to_owned()),
        ..bench.new_post("C1", text)
    }
}

fn content(file: &File) -> &str {
    match &file.content {
        FileContent::Text(text) => text,
        FileContent::Path(path) => panic!("{} is no text", path.display()),
    }
}

/// Asserts that posts say `text` in words, all of it, and settle what it settles with the last.
fn assert_in_words(shown: &[Shown], text: &str) {
    assert!(shown.len() > 1, "{shown:#?}");
    let said: Vec<&str> = shown.iter().map(|shown| shown.text.as_str()).collect();
    let said = said.join("\n\n");
    assert_eq!(said.strip_prefix(NO_FILE).unwrap().trim(), text.trim());
    assert!(shown.iter().all(|shown| shown.file.is_none()));
    let (last, others) = shown.split_last().unwrap();
    assert_eq!(last.settles, [WireId::new("m")]);
    assert!(others.iter().all(|shown| shown.settles.is_empty()));
}

#[test]
fn text_becomes_a_file_only_when_it_takes_more_than_four_posts() {
    let platform = takes_all();
    let capabilities = platform.capabilities().clone();
    let without_files = Capabilities {
        files: false,
        ..capabilities.clone()
    };
    let mut by_count = Vec::new();
    for count in 1..30 {
        let text = paragraphs(count);
        let parts = outbox::compose(&reply(&platform), &text, Some(&without_files));
        assert!(parts.iter().all(|post| post.as_file.is_none()));
        let posts = outbox::compose(&reply(&platform), &text, Some(&capabilities));
        if parts.len() <= 4 {
            assert_eq!(posts, parts);
        } else {
            assert_eq!(posts.len(), 2, "{count}");
        }
        by_count.push(parts.len());
    }
    assert!(
        by_count.contains(&4) && by_count.contains(&5),
        "{by_count:?}"
    );
}

#[test]
fn long_text_is_its_beginning_and_a_file_with_all_of_it_that_settles() {
    let platform = takes_all();
    let capabilities = platform.capabilities();
    let text = paragraphs(40);
    let posts = outbox::compose(&reply(&platform), &text, Some(capabilities));
    let [beginning, file] = &posts[..] else {
        panic!("{posts:#?}");
    };
    assert!(capabilities.text.allows(&beginning.text));
    let begun = beginning.text.strip_suffix(BELOW).unwrap();
    assert!(
        begun.ends_with("says it twice.\n\n"),
        "{begun:?} is cut in a block"
    );
    assert!(text.starts_with(begun), "{begun}");
    assert_eq!(
        (&beginning.as_file, &beginning.settles),
        (&None, &Vec::new())
    );
    assert_eq!(file.text, text);
    assert!(file.as_file.is_some());
    assert_eq!(file.settles, reply(&platform).settles);
}

#[test]
fn what_is_added_to_a_text_is_in_the_language_of_its_channel() {
    let platform = takes_all();
    let reply = Reply {
        language: Language::Chinese,
        ..reply(&platform)
    };
    let posts = outbox::compose(&reply, &paragraphs(40), Some(platform.capabilities()));
    let beginning = &posts[0].text;
    assert!(
        beginning.ends_with("*完整的回答在下面的文件里。*"),
        "{beginning}"
    );
}

#[test]
fn beginning_fits_also_where_there_is_room_for_little() {
    let platform = takes_all();
    for max in [60, 100, 4_000] {
        let capabilities = Capabilities {
            text: TextLimit {
                max,
                ..platform.capabilities().text
            },
            ..platform.capabilities().clone()
        };
        let text = "```\ncode code code\n".to_owned() + &"line\n".repeat(max) + "```\n";
        let posts = outbox::compose(&reply(&platform), &text, Some(&capabilities));
        assert_eq!(posts.len(), 2, "{max}");
        assert!(
            capabilities.text.allows(&posts[0].text),
            "{}",
            posts[0].text
        );
        assert_eq!(
            posts[0].text.matches("```").count() % 2,
            0,
            "{}",
            posts[0].text
        );
    }
}

#[tokio::test]
async fn name_of_a_file_is_the_same_at_every_attempt_and_no_other_has_it() {
    let names: Arc<Mutex<Vec<String>>> = Arc::default();
    let heard = Arc::clone(&names);
    let mut answers = [
        Answer::Again(None),
        Answer::Unclear { taken: false },
        Answer::Take,
        Answer::Take,
        Answer::Unclear { taken: true },
    ]
    .into_iter();
    let platform = Platform::with_files(Repeat::Findable, move |_, post: &Post| {
        let file = post.file.as_ref().unwrap();
        heard.lock().unwrap().push(file.name.clone());
        answers.next().unwrap_or(Answer::Take)
    });
    let mut bench = Bench::new(platform);
    let posts = vec![file_post(&bench, "one"), file_post(&bench, "other")];
    let ids = bench.enqueue_all(posts).await;
    bench.start();
    for id in ids {
        let state = bench.settled(id).await;
        assert!(matches!(state, PostState::Delivered { .. }), "{state:?}");
    }
    let mut names = names.lock().unwrap().clone();
    assert_eq!(
        names.len(),
        6,
        "two attempts, look-ups, one that is repeated: {names:?}"
    );
    names.dedup();
    assert_eq!(names.len(), 2, "{names:?}");
    for name in &names {
        assert!(
            name.starts_with("answer-") && name.ends_with(".md"),
            "{name}"
        );
        assert!(name.len() < 30, "{name}");
    }
    let shown = bench.platform.seen().shown;
    let contents: Vec<&str> = shown
        .iter()
        .map(|shown| content(shown.file.as_ref().unwrap()))
        .collect();
    assert_eq!(contents, ["one", "other"]);
    assert!(shown.iter().all(|shown| shown.text.is_empty()));
}

#[tokio::test]
async fn file_that_is_refused_for_good_is_said_in_words_once() {
    let mut bench = Bench::new(refuses_files(Answer::Never));
    let text = paragraphs(30);
    let id = bench.enqueue_all(vec![file_post(&bench, &text)]).await[0];
    bench.start();
    let state = bench.settled(id).await;
    assert!(matches!(state, PostState::Failed { .. }), "{state:?}");
    let next = bench.enqueue("C1", "next").await;
    bench.settled(next).await;
    let mut shown = bench.platform.seen().shown;
    assert_eq!(shown.pop().unwrap().text, "next");
    assert_in_words(&shown, &text);
}

#[tokio::test]
async fn file_is_said_in_words_also_when_tieline_has_a_defect_or_the_channel_no_files() {
    let text = paragraphs(30);
    let breaks = refuses_files(Answer::Panic { taken: false });
    let takes_none = Platform::new(Repeat::Findable, |_, _| Answer::Take);
    for platform in [breaks, takes_none] {
        let mut bench = Bench::new(platform);
        let id = bench.enqueue_all(vec![file_post(&bench, &text)]).await[0];
        bench.start();
        bench.settled(id).await;
        let next = bench.enqueue("C1", "next").await;
        bench.settled(next).await;
        let mut shown = bench.platform.seen().shown;
        assert_eq!(shown.pop().unwrap().text, "next");
        assert_in_words(&shown, &text);
    }
}

#[tokio::test]
async fn file_waits_for_the_operator_as_a_text_does() {
    let mut refused = 0;
    let platform = Platform::with_files(Repeat::Findable, move |_, _| {
        refused += 1;
        if refused > 3 {
            Answer::Take
        } else {
            Answer::Operator
        }
    });
    let mut bench = Bench::new(platform);
    let id = bench.enqueue_all(vec![file_post(&bench, "text")]).await[0];
    bench.start();
    bench.settled(id).await;
    let shown = bench.platform.seen().shown;
    assert_eq!(shown.len(), 1);
    assert_eq!(content(shown[0].file.as_ref().unwrap()), "text");
}

#[tokio::test]
async fn file_that_may_be_there_twice_is_marked_where_nobody_can_tell() {
    let mut answers = [Answer::Unclear { taken: true }].into_iter();
    let platform = Platform::with_files(Repeat::Blind, move |_, _| {
        answers.next().unwrap_or(Answer::Take)
    });
    let mut bench = Bench::new(platform);
    let id = bench.enqueue_all(vec![file_post(&bench, "text")]).await[0];
    bench.start();
    bench.settled(id).await;
    let shown = bench.platform.seen().shown;
    let [first, repeat] = &shown[..] else {
        panic!("{shown:#?}");
    };
    assert_eq!(first.text, "");
    assert_eq!(repeat.text, super::MARK.trim_end());
    assert_eq!(repeat.file, first.file);
    assert_eq!(repeat.settles, first.settles);
}
