//! The terminal, as a person and as a script use it.

use std::path::Path;
use std::time::Duration;

use tieline_channel::Channel as _;
use tieline_channel::{Link, PostKind, RefusalReason, Status};
use tieline_console::protocol::MAX_LINE;
use tieline_console::{ClientError, ClientOptions, Outcome, run_client};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::support::{Daemon, Place, message, post, texts, within};

fn script() -> ClientOptions {
    ClientOptions {
        chat: "main".into(),
        name: "Mei".into(),
        greeting: Some("Hello, Mei.".into()),
        stdin_is_terminal: false,
        stdout_is_terminal: false,
        stderr_is_terminal: false,
        colour: true,
        patience: None,
    }
}

fn person() -> ClientOptions {
    ClientOptions {
        stdin_is_terminal: true,
        stdout_is_terminal: true,
        stderr_is_terminal: true,
        ..script()
    }
}

/// What a client left behind.
#[derive(Debug)]
struct Run {
    result: Result<Outcome, ClientError>,
    stdout: String,
    stderr: String,
}

impl Run {
    #[track_caller]
    fn outcome(&self) -> Outcome {
        *self.result.as_ref().unwrap()
    }
}

async fn run(socket: &Path, options: ClientOptions, input: &[u8]) -> Run {
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    let stop = CancellationToken::new();
    let client = run_client(socket, options, input, &mut stdout, &mut stderr, &stop);
    let result = within("the client", client).await;
    Run {
        result,
        stdout: String::from_utf8(stdout).unwrap(),
        stderr: String::from_utf8(stderr).unwrap(),
    }
}

/// Answers the next `n` messages, each with itself.
async fn echo(daemon: &Daemon, n: usize) {
    for number in 0..n {
        let events = daemon.took(number + 1).await;
        let text = format!("echo {}", message(&events[number]).plain_text());
        daemon.answer(&events[number], &text).await;
    }
}

fn settled(settled: usize) -> Outcome {
    Outcome {
        settled,
        ..Outcome::default()
    }
}

#[tokio::test]
async fn lines_go_in_and_answers_come_out() {
    let place = Place::new();
    let daemon = Daemon::start(&place.socket);
    let input = b"one\n\n   \ntwo\r\nthree";
    let (run, ()) = tokio::join!(run(&place.socket, script(), input), echo(&daemon, 3));
    assert_eq!(run.stdout, "echo one\necho two\necho three\n");
    assert_eq!(run.stderr, "");
    assert_eq!(run.outcome(), settled(3));
    assert!(run.outcome().is_success());
    daemon.stop().await;
}

#[tokio::test]
async fn no_line_is_nothing_to_do() {
    let place = Place::new();
    let daemon = Daemon::start(&place.socket);
    let run = run(&place.socket, script(), b"\n\n").await;
    assert_eq!((run.stdout.as_str(), run.outcome()), ("", settled(0)));
    daemon.stop().await;
}

#[tokio::test]
async fn a_thousand_lines_keep_their_order() {
    let place = Place::new();
    let daemon = Daemon::start(&place.socket);
    let lines: Vec<_> = (0..1_000).map(|number| number.to_string()).collect();
    let input = lines.join("\n");
    let (run, ()) = tokio::join!(
        run(&place.socket, script(), input.as_bytes()),
        echo(&daemon, lines.len())
    );
    assert_eq!(run.stdout, format!("echo {}\n", lines.join("\necho ")));
    assert_eq!(run.outcome(), settled(1_000));
    daemon.stop().await;
}

#[tokio::test]
async fn a_line_that_is_not_utf_8_is_mended_and_said_to_be() {
    let place = Place::new();
    let daemon = Daemon::start(&place.socket);
    let (run, ()) = tokio::join!(
        run(&place.socket, script(), b"good\n\nb\xffd\n"),
        echo(&daemon, 2)
    );
    assert_eq!(run.stdout, "echo good\necho b\u{fffd}d\n");
    assert_eq!(
        run.stderr,
        "Line 3 is not UTF-8; what is not was replaced.\n"
    );
    assert_eq!(run.outcome(), settled(2));
    daemon.stop().await;
}

#[tokio::test]
async fn a_line_that_is_too_long_is_refused_and_others_go_on() {
    let place = Place::new();
    let daemon = Daemon::start(&place.socket);
    // The second is short enough as a line, and too long with its quotes escaped.
    let input = [
        "x".repeat(MAX_LINE + 1),
        "\"".repeat(MAX_LINE / 2),
        "short".into(),
    ]
    .join("\n");
    let (run, ()) = tokio::join!(
        run(&place.socket, script(), input.as_bytes()),
        echo(&daemon, 1)
    );
    assert_eq!(run.stdout, "echo short\n");
    let told: Vec<_> = run.stderr.lines().collect();
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[0].starts_with("Line 1 was not sent: it has 1048577 bytes"));
    assert!(told[1].starts_with("Line 2 was not sent: it has 10486"));
    let outcome = Outcome {
        settled: 1,
        failed: 2,
        unsettled: 0,
    };
    assert_eq!(run.outcome(), outcome);
    assert!(!run.outcome().is_success());
    daemon.stop().await;
}

#[tokio::test]
async fn a_refusal_is_said_and_counts_as_a_failure() {
    let place = Place::new();
    let daemon = Daemon::start(&place.socket);
    daemon.intake.refuse_next(RefusalReason::TooLong);
    let run = run(&place.socket, script(), b"war and peace\n").await;
    assert_eq!(run.stdout, "");
    assert_eq!(
        run.stderr,
        "Not taken: it is too long; put it into a file and name the file.\n"
    );
    assert_eq!(run.outcome().failed, 1);
    daemon.stop().await;
}

#[tokio::test]
async fn a_failure_is_the_answer_to_its_message() {
    let place = Place::new();
    let daemon = Daemon::start(&place.socket);
    let (run, ()) = tokio::join!(run(&place.socket, script(), b"hello\n"), async {
        let events = daemon.took(1).await;
        let mut post = post("f", "The model is over its limit.");
        post.kind = PostKind::Failure;
        post.settles = vec![message(&events[0]).id.clone()];
        daemon.deliver(&post).await;
    });
    assert_eq!(run.stdout, "The model is over its limit.\n");
    assert_eq!(run.outcome().failed, 1);
    daemon.stop().await;
}

#[tokio::test]
async fn an_answer_in_parts_settles_with_the_last() {
    let place = Place::new();
    let daemon = Daemon::start(&place.socket);
    let (run, ()) = tokio::join!(run(&place.socket, script(), b"hello\n"), async {
        let events = daemon.took(1).await;
        let id = message(&events[0]).id.clone();
        for (number, text) in ["part one", "part two"].into_iter().enumerate() {
            let mut part = post(&format!("p{number}"), text);
            part.reply_to = Some(id.clone());
            daemon.deliver(&part).await;
        }
        daemon.answer(&events[0], "part three").await;
    });
    assert_eq!(run.stdout, "part one\npart two\npart three\n");
    assert_eq!(run.outcome(), settled(1));
    daemon.stop().await;
}

#[tokio::test]
async fn a_script_sees_only_its_own_answers_on_stdout() {
    let place = Place::new();
    let daemon = Daemon::start(&place.socket);
    let (run, ()) = tokio::join!(run(&place.socket, script(), b"hello\n"), async {
        let events = daemon.took(1).await;
        let mut other = post("o", "an answer to somebody else");
        other.settles = vec![tieline_channel::WireId::new("somebody-elses")];
        daemon.deliver(&other).await;
        let mut notice = post("n", "Codex restarts.");
        notice.kind = PostKind::Notice;
        daemon.deliver(&notice).await;
        let progress = Status::Working {
            progress: Some("I look at it.".into()),
        };
        let message = message(&events[0]);
        let shown = daemon
            .channel
            .show_status(&message.conversation, &message.id, &progress)
            .await;
        assert_eq!(shown, Ok(()));
        daemon.answer(&events[0], "an answer").await;
    });
    assert_eq!(run.stdout, "an answer\n");
    assert_eq!(
        run.stderr,
        "an answer to somebody else\nCodex restarts.\nI look at it.\n"
    );
    daemon.stop().await;
}

#[tokio::test]
async fn a_post_that_comes_again_is_confirmed_and_not_shown() {
    let place = Place::new();
    let daemon = Daemon::start(&place.socket);
    let (run, ()) = tokio::join!(run(&place.socket, script(), b"hello\n"), async {
        let events = daemon.took(1).await;
        let part = post("p", "once");
        daemon.deliver(&part).await;
        daemon.deliver(&part).await;
        daemon.answer(&events[0], "done").await;
    });
    assert_eq!(run.stdout, "once\ndone\n");
    daemon.stop().await;
}

#[tokio::test]
async fn a_message_that_was_not_recorded_comes_again_with_its_id_before_the_next() {
    let place = Place::new();
    let daemon = Daemon::start(&place.socket);
    daemon.intake.reject_next(2);
    let (run, ()) = tokio::join!(
        run(&place.socket, script(), b"one\ntwo\n"),
        echo(&daemon, 2)
    );
    assert_eq!(run.stdout, "echo one\necho two\n");
    let calls = daemon.intake.calls();
    assert_eq!(texts(&calls), ["one", "one", "one", "two"]);
    assert_eq!(calls[0].key, calls[1].key);
    assert_eq!(calls[0].key, calls[2].key);
    daemon.stop().await;
}

#[tokio::test]
async fn a_message_in_flight_survives_the_daemon() {
    let place = Place::new();
    let first = Daemon::start(&place.socket);
    first.intake.hold_all();
    let socket = place.socket.clone();
    let (run, second) = tokio::join!(run(&place.socket, script(), b"hello\n"), async {
        let before = within("the first delivery", first.intake.called(1)).await;
        first.stop().await;
        let second = Daemon::start(&socket);
        echo(&second, 1).await;
        assert_eq!(second.intake.taken()[0].key, before[0].key);
        second
    });
    assert_eq!(run.stdout, "echo hello\n");
    assert_eq!(run.outcome(), settled(1));
    second.stop().await;
}

#[tokio::test]
async fn an_answer_comes_through_a_later_daemon() {
    let place = Place::new();
    let first = Daemon::start(&place.socket);
    let socket = place.socket.clone();
    let (run, second) = tokio::join!(run(&place.socket, script(), b"hello\n"), async {
        let events = first.took(1).await;
        first.stop().await;
        let second = Daemon::start(&socket);
        second.answer(&events[0], "at last").await;
        second
    });
    assert_eq!(run.stdout, "at last\n");
    assert_eq!(run.outcome(), settled(1));
    second.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_daemon_that_is_not_there_is_mentioned_after_a_second_then_given_up() {
    let place = Place::new();
    let options = ClientOptions {
        patience: Some(Duration::from_secs(20)),
        ..script()
    };
    let begun = Instant::now();
    let run = run(&place.socket, options, b"hello\n").await;
    assert!((20..25).contains(&begun.elapsed().as_secs()));
    assert!(
        matches!(run.result, Err(ClientError::NoDaemon { .. })),
        "{run:?}"
    );
    let socket = place.socket.display();
    assert_eq!(run.stderr, format!("Waiting for tieline at {socket} …\n"));
}

#[tokio::test]
async fn a_client_may_come_before_its_daemon() {
    let place = Place::new();
    let socket = place.socket.clone();
    let (run, daemon) = tokio::join!(run(&place.socket, script(), b"hello\n"), async {
        let daemon = Daemon::start(&socket);
        echo(&daemon, 1).await;
        daemon
    });
    assert_eq!(run.stdout, "echo hello\n");
    assert_eq!(run.stderr, "");
    daemon.stop().await;
}

#[tokio::test]
async fn a_name_that_the_daemon_refuses_ends_the_client() {
    let place = Place::new();
    let daemon = Daemon::start(&place.socket);
    let options = ClientOptions {
        name: String::new(),
        ..script()
    };
    let run = run(&place.socket, options, b"hello\n").await;
    let error = run.result.unwrap_err().to_string();
    assert_eq!(error, "the daemon turned this client away: `name` is empty");
    daemon.stop().await;
}

#[tokio::test]
async fn a_person_sees_a_greeting_a_prompt_and_dim_progress() {
    let place = Place::new();
    let daemon = Daemon::start(&place.socket);
    let (mut typed, input) = tokio::io::duplex(64);
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    let stop = CancellationToken::new();
    let client = run_client(
        &place.socket,
        person(),
        input,
        &mut stdout,
        &mut stderr,
        &stop,
    );
    let (result, ()) = tokio::join!(within("the client", client), async {
        typed.write_all(b"hello\n").await.unwrap();
        let events = daemon.took(1).await;
        let message = message(&events[0]);
        let progress = Status::Working {
            progress: Some("I look at it.\u{1b}[2J".into()),
        };
        let at = &message.conversation;
        let shown = daemon.channel.show_status(at, &message.id, &progress).await;
        assert_eq!(shown, Ok(()));
        daemon.answer(&events[0], "Hi\u{1b}]0;pwned\u{7}!").await;
        drop(typed);
    });
    assert_eq!(result.unwrap(), settled(1));
    assert_eq!(
        String::from_utf8(stdout).unwrap(),
        "Hello, Mei.\n> > > \r\u{1b}[KHi\u{fffd}]0;pwned\u{fffd}!\n> \n"
    );
    assert_eq!(
        String::from_utf8(stderr).unwrap(),
        "\r\u{1b}[K\u{1b}[2mI look at it.\u{fffd}[2J\u{1b}[0m\n"
    );
    daemon.stop().await;
}

#[tokio::test]
async fn without_colour_progress_is_plain() {
    let place = Place::new();
    let daemon = Daemon::start(&place.socket);
    let options = ClientOptions {
        colour: false,
        stdout_is_terminal: false,
        ..person()
    };
    let (run, ()) = tokio::join!(run(&place.socket, options, b"hello\n"), async {
        let events = daemon.took(1).await;
        let message = message(&events[0]);
        let progress = Status::Working {
            progress: Some("I look at it.".into()),
        };
        let at = &message.conversation;
        let shown = daemon.channel.show_status(at, &message.id, &progress).await;
        assert_eq!(shown, Ok(()));
        daemon.answer(&events[0], "Hi!").await;
    });
    assert_eq!(run.stdout, "Hi!\n");
    assert_eq!(run.stderr, "I look at it.\n");
    daemon.stop().await;
}

#[tokio::test]
async fn a_person_who_leaves_does_not_wait_for_the_answer() {
    let place = Place::new();
    let daemon = Daemon::start(&place.socket);
    let run = run(&place.socket, person(), b"hello\n").await;
    assert_eq!(texts(&daemon.intake.taken()), ["hello"]);
    let outcome = Outcome {
        unsettled: 1,
        ..Outcome::default()
    };
    assert_eq!(run.outcome(), outcome);
    daemon.stop().await;
}

#[tokio::test]
async fn stopping_ends_a_client_that_waits_and_says_what_was_not_taken() {
    let place = Place::new();
    let daemon = Daemon::start(&place.socket);
    daemon.intake.hold_all();
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    let stop = CancellationToken::new();
    let input: &[u8] = b"hello\n";
    let client = run_client(
        &place.socket,
        script(),
        input,
        &mut stdout,
        &mut stderr,
        &stop,
    );
    let (result, ()) = tokio::join!(within("the client", client), async {
        within("the delivery", daemon.intake.called(1)).await;
        stop.cancel();
    });
    assert_eq!(result.unwrap().unsettled, 1);
    assert_eq!(stderr, b"The last message was not taken.\n");
    daemon.becomes(Link::Down).await;
    daemon.stop().await;
}

#[tokio::test]
async fn an_output_that_nobody_reads_is_an_end_and_no_error() {
    let place = Place::new();
    let daemon = Daemon::start(&place.socket);
    let (output, reader) = tokio::net::UnixStream::pair().unwrap();
    drop(reader);
    let (mut typed, input) = tokio::io::duplex(64);
    let stop = CancellationToken::new();
    let mut stderr = Vec::new();
    let client = run_client(&place.socket, script(), input, output, &mut stderr, &stop);
    let (result, ()) = tokio::join!(within("the client", client), async {
        typed.write_all(b"hello\n").await.unwrap();
        let events = daemon.took(1).await;
        let mut answer = post("a", "anybody?");
        answer.settles = vec![message(&events[0]).id.clone()];
        // It was not shown, so it is not confirmed.
        let posted = within("the post", daemon.channel.post(&answer)).await;
        assert!(posted.is_err(), "{posted:?}");
    });
    assert_eq!(result.unwrap().unsettled, 1);
    daemon.stop().await;
}

#[tokio::test]
async fn an_answer_is_confirmed_only_when_it_was_written() {
    let place = Place::new();
    let daemon = Daemon::start(&place.socket);
    // It holds less than the answer.
    let (output, mut reader) = tokio::io::duplex(16);
    let stop = CancellationToken::new();
    let input: &[u8] = b"hello\n";
    let mut stderr = Vec::new();
    let client = run_client(&place.socket, script(), input, output, &mut stderr, &stop);
    let text = "a long answer ".repeat(10);
    let (result, ()) = tokio::join!(within("the client", client), async {
        let events = daemon.took(1).await;
        let answering = daemon.answer(&events[0], &text);
        tokio::pin!(answering);
        let mut read = vec![0; text.len() - 16];
        tokio::select! {
            biased;
            () = &mut answering => panic!("confirmed before it was read"),
            read = reader.read_exact(&mut read) => assert!(read.is_ok()),
        }
        let mut rest = vec![0; 17];
        let (read, ()) = tokio::join!(reader.read_exact(&mut rest), answering);
        assert!(read.is_ok());
        assert!(text.ends_with(str::from_utf8(&rest[..16]).unwrap()));
    });
    assert_eq!(result.unwrap(), settled(1));
    daemon.stop().await;
}
