//! What an execution leaves, and how it is ended.

use std::time::{Duration, Instant};

use shared::Stream;
use stage_06_advanced::{ExecutionEvent, ExecutionExit, StartFailedKind};

use super::{Inside, Kernel, finish, sh};

/// Long enough for no test to see its end.
const LONG: &str = "4567";

async fn until_gone(inside: &Inside) {
    let gone = async || !inside.processes().await.iter().any(|line| line.contains(LONG));
    let started = Instant::now();
    while !gone().await {
        assert!(started.elapsed() < super::TEST_TIMEOUT, "{:?}", inside.processes().await);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn an_execution_ends_when_its_first_process_ends(kernel: Kernel) {
    let inside = Inside::on(kernel).await;
    let script =
        format!("sleep {LONG} & echo started; exec 3>&1; (sleep 0.05; echo late) & exit 3");
    let mut execution = inside.start(&sh(&script)).await;
    let control = execution.control();
    let done = finish(&mut execution).await;
    assert_eq!((done.text(), done.code()), ("started\nlate\n", 3), "the grace for held pipes");
    let left = |lines: Vec<String>| lines.iter().any(|line| line.contains(LONG));
    assert!(left(inside.processes().await), "the daemon lives");
    assert!(inside.sh("echo on").await.text() == "on\n");
    // What it has left is still its own.
    control.kill();
    until_gone(&inside).await;
}

/// A daemon that writes to the pipes of its execution goes on to live.
async fn a_daemon_that_writes_lives_on(kernel: Kernel) {
    let inside = Inside::on(kernel).await;
    let script = "(trap '' HUP; i=0; while :; do echo line; i=$((i+1)); echo $i > count; sleep 0.01; done) & echo $!";
    let done = inside.sh(script).await;
    let pid = done.text().lines().find(|line| *line != "line").unwrap().to_owned();
    let count = async || inside.sh("cat count").await.text().trim().parse::<u64>().unwrap_or(0);
    let first = count().await;
    let started = Instant::now();
    while count().await <= first + 10 {
        assert!(started.elapsed() < super::TEST_TIMEOUT, "process {pid} does not go on");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn a_kill_ends_the_whole_tree(kernel: Kernel) {
    let inside = Inside::on(kernel).await;
    // A child, one in a session of its own, one whose parents have ended, one without the
    // environment, and one that ignores every signal that can be ignored.
    let script = format!(
        "sleep {LONG} & setsid sleep {LONG} & (setsid sh -c 'sleep {LONG} & sleep {LONG} &' &) ; \
         (env -i /bin/sh -c 'trap \"\" TERM HUP INT; setsid setsid sleep {LONG} & exit' &) ; \
         sh -c 'trap \"\" TERM INT HUP; sleep {LONG}; sleep {LONG}' & echo ready; \
         printf part; wait; sleep {LONG}"
    );
    let mut execution = inside.start(&sh(&script)).await;
    let mut stdout = Vec::new();
    while !stdout.ends_with(b"part") {
        if let ExecutionEvent::Output { stream: Stream::Stdout, bytes } =
            execution.next().await.unwrap().unwrap()
        {
            stdout.extend(bytes);
        }
    }
    let bystander = inside.start(&sh("read line; echo $line")).await;
    let count =
        async || inside.processes().await.iter().filter(|line| line.starts_with("sleep")).count();
    let started = Instant::now();
    while count().await < 6 {
        assert!(started.elapsed() < super::TEST_TIMEOUT, "{:?}", inside.processes().await);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    execution.kill();
    let done = finish(&mut execution).await;
    assert_eq!(done.exit, Some(ExecutionExit::Signal(9)));
    until_gone(&inside).await;
    let (mut input, mut bystander) = (bystander.input(), bystander);
    input.write(b"unharmed\n").await.unwrap();
    assert_eq!(finish(&mut bystander).await.text(), "unharmed\n");
}

async fn signals_reach_the_process_or_the_tree(kernel: Kernel) {
    let inside = Inside::on(kernel).await;
    let script = "trap 'echo outer; exit 5' USR1; \
        sh -c 'trap \"echo inner; exit\" USR1; echo ready; while :; do sleep 0.01; done' & \
        echo ready; while :; do sleep 0.01; done";
    for (tree, expected) in [(false, "outer\n"), (true, "inner\nouter\n")] {
        let mut execution = inside.start(&sh(script)).await;
        let mut seen = Vec::new();
        while seen.len() < "ready\nready\n".len() {
            if let ExecutionEvent::Output { bytes, .. } = execution.next().await.unwrap().unwrap() {
                seen.extend(bytes);
            }
        }
        assert!(execution.signal(10, tree).await.unwrap());
        let done = finish(&mut execution).await;
        let mut lines: Vec<_> = done.text().split_inclusive('\n').collect();
        lines.sort_unstable();
        assert_eq!((lines.concat().as_str(), done.code()), (expected, 5));
        assert!(!execution.signal(10, tree).await.unwrap(), "it has ended");
        execution.kill();
    }
    let mut execution = inside.start(&sh("sleep 4567")).await;
    assert!(!execution.signal(0, false).await.unwrap(), "no signal");
    assert!(execution.signal(15, false).await.unwrap());
    assert_eq!(finish(&mut execution).await.exit, Some(ExecutionExit::Signal(15)));
}

async fn a_dropped_execution_is_killed(kernel: Kernel) {
    let inside = Inside::on(kernel).await;
    // One that floods, and one that was not started yet.
    let mut execution = inside.start(&sh(&format!("setsid sleep {LONG} & yes"))).await;
    while !matches!(execution.next().await, Ok(Some(ExecutionEvent::Output { .. }))) {}
    drop(execution);
    drop(inside.start(&sh(&format!("sleep {LONG}"))).await);
    until_gone(&inside).await;
    let started = Instant::now();
    while inside.channel.running() > 0 {
        assert!(started.elapsed() < super::TEST_TIMEOUT);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A program that is root kills the shim above it: its end is reported, and a kill finds its tree.
async fn a_root_that_kills_its_shim_is_still_ended(kernel: Kernel) {
    let inside = Inside::on(kernel).await;
    let root = Some("0".to_owned());
    let script = "sleep 0.1; kill -9 $PPID; sleep 0.1; echo alone; exit 7";
    let done = inside.run(&sh(script).user(root.clone())).await;
    assert_eq!((done.text(), done.code()), ("alone\n", 7));
    let script =
        format!("sleep 0.1; kill -9 $PPID; setsid sleep {LONG} & echo ready; sleep {LONG}");
    let mut execution = inside.start(&sh(&script).user(root)).await;
    while !matches!(execution.next().await, Ok(Some(ExecutionEvent::Output { .. }))) {}
    execution.kill();
    assert_eq!(finish(&mut execution).await.exit, Some(ExecutionExit::Signal(9)));
    until_gone(&inside).await;
    assert_eq!(inside.sh("echo on").await.text(), "on\n");
}

async fn the_sandbox_ends_with_its_lifetime_and_with_its_channel(kernel: Kernel) {
    let mut inside = Inside::on(kernel).await;
    let mut execution = inside.start(&sh(&format!("sleep {LONG}"))).await;
    inside.channel.set_lifetime(Duration::from_secs(100));
    inside.channel.set_lifetime(Duration::from_secs(0));
    let closed = tokio::time::timeout(super::TEST_TIMEOUT, inside.channel.closed()).await.unwrap();
    assert_eq!(closed.to_string(), "the sandbox closed its socket");
    // It was started, or not; it has no end that was not reported.
    let end = loop {
        match execution.next().await {
            Ok(Some(ExecutionEvent::Started { .. })) => {}
            end => break end,
        }
    };
    end.unwrap_err();
    assert!(tokio::time::timeout(super::TEST_TIMEOUT, inside.process.wait()).await.is_ok());

    let inside = Inside::on(kernel).await;
    let execution = inside.start(&sh(&format!("sleep {LONG}"))).await;
    let Inside { channel, mut process, dir } = inside;
    drop(channel);
    assert!(tokio::time::timeout(super::TEST_TIMEOUT, process.wait()).await.is_ok());
    drop((execution, dir));
}

async fn a_kill_before_the_start_is_no_end_of_a_program(kernel: Kernel) {
    let inside = Inside::on(kernel).await;
    let mut execution = inside.start(&sh(&format!("sleep {LONG}"))).await;
    execution.kill();
    let done = finish(&mut execution).await;
    let is_killed = match done.failed {
        Some(failed) => failed.kind == StartFailedKind::Killed,
        None => done.exit == Some(ExecutionExit::Signal(9)),
    };
    assert!(is_killed, "{done:?}");
    until_gone(&inside).await;
}

super::on_each_kernel!(
    an_execution_ends_when_its_first_process_ends,
    a_daemon_that_writes_lives_on,
    a_kill_ends_the_whole_tree,
    signals_reach_the_process_or_the_tree,
    a_dropped_execution_is_killed,
    a_root_that_kills_its_shim_is_still_ended,
    the_sandbox_ends_with_its_lifetime_and_with_its_channel,
    a_kill_before_the_start_is_no_end_of_a_program,
);
